"""A SkyPilot API server on this machine, as a supervised service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from components.sky_pilot_way_in import WayIn
from dynamic_providers.generated_secret import GeneratedSecret
from dynamic_providers.local_service import LocalService

if TYPE_CHECKING:
    from components.sky_pilot_api_server import SkyPilotApiServerArgs

PINS = Path(__file__).resolve().parents[1] / "requirements" / "skypilot.txt"
DEFAULT_PORT, DEFAULT_QUEUE_PORT = 46580, 50011
STOP_GRACE_S = 20.0
"""Its shutdown waits for requests that run; measured idle: 1 s to 21 s."""


def local_rules(args: SkyPilotApiServerArgs) -> Iterator[str]:
    """Every broken rule of a server on this machine.

    Args:
        args: Its arguments.
    """
    auth = args.auth
    if auth.kind in ("oauth2", "external_proxy"):
        yield f"auth of kind {auth.kind} is for target kubernetes"
    if auth.kind == "none" and args.host not in ("127.0.0.1", "::1", "localhost"):
        yield f"a server without auth listens on this machine alone, not on {args.host!r}"
    if args.metrics_port == args.port:
        yield "port and metrics_port must differ"
    for name in ("kubernetes", "database_url", "accounts", "oauth2_client_secret"):
        if getattr(args, name):
            yield f"{name} is for target kubernetes"


def declare_local(parent: pulumi.Resource, name: str, args: SkyPilotApiServerArgs) -> WayIn:
    """Declares the service.

    Args:
        parent: The component.
        name: Its name.
        args: Its arguments.
    """
    user, password = "", pulumi.Output.from_input("")
    if args.auth.kind != "none":
        user = args.auth.user
        given = args.auth.password
        if given is None:
            given = GeneratedSecret(f"{name}-password", opts=pulumi.ResourceOptions(parent=parent)).value
        password = pulumi.Output.secret(given)
    service = LocalService(
        name,
        service_inputs(args, user, password),
        pulumi.ResourceOptions(parent=parent),
    )
    return WayIn(service.url, user, password)


def service_inputs(
    args: SkyPilotApiServerArgs, user: str, password: pulumi.Output[str] | str
) -> Mapping[str, Any]:
    """Inputs of the LocalService.

    Args:
        args: Arguments of the component.
        user: Name of the administrator; empty without authentication.
        password: Its password.
    """
    config = {**({"allowed_clouds": list(args.allowed_clouds)} if args.allowed_clouds else {}), **args.config}
    env: dict[str, Any] = {
        # What `sky api start` sets: without it workspaces can't be changed.
        "IS_SKYPILOT_SERVER": "true",
        "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        # Moves the port of its queue as well.
        "SKYPILOT_API_SERVER_LOCAL_PORT": str(args.port),
        # Other pinned packages are another server: it is started anew with them.
        "GPUPLANE_SKYPILOT_PINS": hashlib.sha256(PINS.read_bytes()).hexdigest()[:16],
        **args.env,
    }
    if user:
        env |= {"ENABLE_BASIC_AUTH": "true", "GPUPLANE_BASIC_USER": user, "GPUPLANE_BASIC_PASSWORD": password}
    if args.auth.kind == "service_accounts":
        env["ENABLE_SERVICE_ACCOUNTS"] = "true"
    command = ["{prepared}", "-P", "{packages}/local_services/start_skypilot.py"]
    command += [f"--host={args.host}", f"--port={args.port}"]
    ports = [args.port, queue_port(args.port)]
    if args.metrics_port is not None:
        env["SKY_API_SERVER_METRICS_ENABLED"] = "true"
        command.append(f"--metrics-port={args.metrics_port}")
        ports.append(args.metrics_port)
    return {
        "command": command,
        "prepare": ["{python}", "-m", "engine", "skypilot"],
        "env": env,
        "home": "home",
        "keepHome": args.keep_home,
        "files": {**args.files, ".sky/gpuplane.json": json.dumps(config, sort_keys=True)},
        "healthUrl": f"http://{_from_here(args.host)}:{args.port}/api/health",
        "healthTimeoutS": args.start_timeout_s,
        "stopGraceS": STOP_GRACE_S,
        "portHolders": ports,
        "replaceTrigger": args.replace_trigger,
    }


def queue_port(port: int) -> int:
    """Port of the queue of a server (`sky/server/requests/queues/mp_queue.py` of 0.14.1).

    Args:
        port: The server's own.
    """
    if port == DEFAULT_PORT:
        return DEFAULT_QUEUE_PORT
    return 50000 + (DEFAULT_QUEUE_PORT - 50000 + port - DEFAULT_PORT) % 10000


def _from_here(host: str) -> str:
    """The address by which this machine reaches a server that listens there."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
