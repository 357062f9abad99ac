"""Serves one engine until it ends."""

import logging
import sys
import threading
from collections.abc import Sequence
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from engine.language_host.fence import raise_fence
from engine.standins.kubernetes.servicer import Servicer

#: More than any engine asks for at once; threads are made when they are needed.
_OPERATIONS = 4096
_STACK_BYTES = 1 << 20
_LARGEST = 400 << 20


def main(arguments: Sequence[str]) -> None:
    """Prints the port, which is how the engine finds this process, and serves.

    Args:
        arguments: the engine's address; further ones are passed over.
    """
    raise_fence()
    # What it warns about comes back as an error, which the engine shows with the resource.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    threading.stack_size(_STACK_BYTES)
    server = grpc.server(
        futures.ThreadPoolExecutor(_OPERATIONS, thread_name_prefix="operation"),
        options=[("grpc.max_receive_message_length", _LARGEST), ("grpc.max_send_message_length", _LARGEST)],
    )
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    servicer = Servicer(addresses[0] if addresses else "")
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1:])
