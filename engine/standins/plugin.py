"""The process of a stand-in: serves one engine until that is gone."""

from __future__ import annotations

import os
import sys
from concurrent import futures
from pathlib import Path

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from engine.language_host.fence import raise_fence
from engine.standins.announcing import is_first, warn
from engine.standins.cloud import Cloud
from engine.standins.sdk_types import Sdk
from engine.standins.servicer import STATE_VARIABLE, StandIn
from engine.standins.store import Store

_WORKERS = 32


def serve(cloud: Cloud, arguments: list[str]) -> None:
    """Serves. Prints the port, which is how the engine finds it; ends with the engine.

    Args:
        cloud: for which the stand-in is.
        arguments: the engine's: the address of its own services.
    """
    raise_fence()
    try:
        sdk = Sdk(cloud.package)
    except ModuleNotFoundError:
        sys.exit(f"{sys.executable} lacks pulumi-{cloud.package}, which inputs are checked against")
    folder = os.environ.get(STATE_VARIABLE)
    store = Store(Path(folder) / f"{cloud.package}.json") if folder else None
    address = arguments[0] if arguments else ""
    server = grpc.server(futures.ThreadPoolExecutor(_WORKERS), options=_GRPC_CHANNEL_OPTIONS)

    def announce(message: str) -> None:
        if is_first(address, cloud.package):
            warn(address, message)

    stand_in = StandIn(cloud, sdk, store, announce)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(stand_in, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()
