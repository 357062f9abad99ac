"""The cluster and the server together, as tests, the recorder and the example stack use them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import EngineError
from engine.skypilot_server import server_python
from tests.peers import machine
from tests.peers.processes import PeerError
from tests.peers.skypilot_server import SkyPilotServer, home_of
from tests.peers.slurm import Slurm

#: Is there while the cluster runs only because tests do.
FOR_TESTS = machine.ROOT / "for-tests"


@dataclass
class Peers:
    """What runs.

    Args:
        slurm: the cluster.
        server: a server that knows the cluster and asks for no credentials.
        parts: what was done and how long it took, seconds.
    """

    slurm: Slurm
    server: SkyPilotServer
    parts: dict[str, float] = field(default_factory=dict)


def ready(yes: bool = False, parts: dict[str, float] | None = None) -> Path:
    """Prepares this machine, and the server's environment at the same time; does only what was not done.

    Args:
        yes: whether this machine may be changed; CI=true allows it too.
        parts: takes how long each part took, seconds.

    Returns:
        A program `uv`.

    Raises:
        PeerError: it isn't allowed or didn't work.
    """
    parts = parts if parts is not None else {}
    if reason := machine.why_not(yes):
        raise PeerError(reason)
    with ThreadPoolExecutor(1) as pool:
        with _timed(parts, "packages, user, host names"):
            environment = pool.submit(server_python)
            machine.prepare(yes)
        with _timed(parts, "the rest of the server's environment"):
            try:
                return environment.result().with_name("uv")
            except EngineError as error:
                raise PeerError(str(error)) from error


def slurm_up(yes: bool = False, parts: dict[str, float] | None = None) -> Slurm:
    """Prepares this machine and starts the cluster; does only what was not done before.

    Args:
        yes: whether this machine may be changed; CI=true allows it too.
        parts: takes how long each part took, seconds.

    Raises:
        PeerError: it isn't allowed or didn't work.
    """
    parts = parts if parts is not None else {}
    uv = ready(yes, parts)
    slurm = Slurm()
    with _timed(parts, "the cluster"):
        slurm.up(uv)
    return slurm


def up(yes: bool = False) -> Peers:
    """Starts the cluster and the open server; does only what was not done before.

    Raises:
        PeerError: it isn't allowed or didn't work.
    """
    parts: dict[str, float] = {}
    slurm = slurm_up(yes, parts)
    FOR_TESTS.unlink(missing_ok=True)
    server = SkyPilotServer(home_of("open", slurm.root), slurm.client_config)
    with _timed(parts, "the server"):
        if server.up():
            server.settle()
    return Peers(slurm, server, parts)


def running() -> bool:
    """Whether cluster and open server run already."""
    return bool(Slurm().running()) and SkyPilotServer(home_of("open", machine.ROOT)).process is not None


def down() -> None:
    """Stops the servers and the cluster. The folder, the user and the host names stay."""
    for folder in sorted(machine.ROOT.glob("server-*")):
        SkyPilotServer(folder).kill()
    if machine.ROOT.is_dir() and machine.user_exists():
        Slurm().down()


class _timed:
    def __init__(self, parts: dict[str, float], name: str) -> None:
        self._parts, self._name = parts, name

    def __enter__(self) -> None:
        self._begin = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._parts[self._name] = time.monotonic() - self._begin
