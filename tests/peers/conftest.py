"""Fixtures of the tests with real peers: a Slurm cluster with fake GPUs and the real SkyPilot API server.

    slurm         the cluster (`tests.peers.slurm.Slurm`): `jobs()`, `job_states()`, `cancel(name)` is a real
                  preemption, `occupy("H100:8")` takes GPUs, `empty(wait_s)`. 8 H100 on one node, 8 A100 on
                  the other. Stacks name it `INFRA` (tests.peers.skypilot_server).
    server        a server that asks for no credentials (`SkyPilotServer`): `url`; `kill()` is kill -9 of all
                  of it, `up()` starts it again at the same address. Prices: `PRICES`, USD per GPU and hour.
    client        a `SkyPilotClient` of that server, for looking; patient. `PATIENT` are its settings.
    guarded       a second server that asks for credentials, behind a proxy: `url`, `admin` (user and
                  password), `proxy.seen` (what arrived). `admin` is its administrator's client.
    nothing_left  when the test is over, no cluster of the server and no job that it made is there; what is
                  left fails the test and is ended. For modules:
                  `pytestmark = pytest.mark.usefixtures("nothing_left")`.

Cluster and servers are started at their first use and shared by all tests of the session. A cluster that runs
already (`python -m tests.peers up`) is used and left running; the servers are always the tests' own. Sessions
on one machine wait for each other, except lanes (`GPUPLANE_PEERS_LANE`): they share the cluster, so a test
counts only machines of its own stack, and only `test_stack_life` uses A100s.

A launch takes about 30 s, a restart of the server 10 s to 25 s. A stack of the real engine needs no more:
`endpoint: <server.url>`, `infra: <INFRA>`.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import BasicAuth, SkyPilotConnection
from gpu_clouds.skypilot.errors import ApiError
from gpu_clouds.skypilot.models import Refresh
from gpu_clouds.skypilot.settings import SkyPilotSettings
from tests.peers import machine, together
from tests.peers.forwarder import Forwarder, forwarder
from tests.peers.processes import let_go, until
from tests.peers.skypilot_server import Auth, SkyPilotServer, home_of
from tests.peers.slurm import OPERATOR, Slurm

#: For a machine that has much else to do.
PATIENT = SkyPilotSettings(
    request_timeout_s=600.0, launch_timeout_s=900.0, terminate_timeout_s=600.0, status_timeout_s=300.0
)
_PARTS: dict[str, float] = {}


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """The cluster, alone for this session or for the lanes of it."""
    reason = machine.why_not()
    if reason is not None:
        pytest.skip(reason)
    together.ready(parts=_PARTS)
    begin = time.monotonic()
    alone = machine.LANE == "all"
    with (
        (machine.ROOT / f"lane-{machine.LANE}.lock").open("w") as lane,
        (machine.ROOT / "session.lock").open("w") as session,
    ):
        fcntl.flock(lane, fcntl.LOCK_EX)
        fcntl.flock(session, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        _PARTS["waiting for another session"] = time.monotonic() - begin
        if not Slurm().running():
            together.FOR_TESTS.touch()
        yield together.slurm_up(parts=_PARTS)
        with contextlib.suppress(BlockingIOError):  # another lane has not ended: it stops the cluster
            fcntl.flock(session, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if together.FOR_TESTS.exists():
                together.down()
                together.FOR_TESTS.unlink()
        let_go()


@contextmanager
def _started(server: SkyPilotServer, slurm: Slurm, part: str) -> Iterator[SkyPilotServer]:
    """A server that runs for this session, without what an earlier session left that was killed."""
    slurm.cancel(*_jobs_of(server, slurm).values())
    server.remove()
    begin = time.monotonic()
    server.up()
    server.settle()
    _PARTS[part] = time.monotonic() - begin
    try:
        yield server
    finally:
        slurm.cancel(*_jobs_of(server, slurm).values())
        server.remove()


@pytest.fixture(scope="session")
def server(slurm: Slurm) -> Iterator[SkyPilotServer]:
    """The server that asks for no credentials."""
    named = SkyPilotServer(home_of(f"open-{machine.LANE}", slurm.root), slurm.client_config)
    with _started(named, slurm, "the server") as started:
        yield started


@pytest.fixture(scope="session")
def client(server: SkyPilotServer) -> Iterator[SkyPilotClient]:
    """A client of the open server."""
    connection = SkyPilotConnection(server.url, user_name="looker", settings=PATIENT)
    with SkyPilotClient(connection) as made:
        yield made


@dataclass(frozen=True)
class Guarded:
    """The server that asks for credentials."""

    server: SkyPilotServer
    proxy: Forwarder
    admin: BasicAuth

    @property
    def url(self) -> str:
        """Its address, through the proxy."""
        return self.proxy.url


@pytest.fixture(scope="session")
def guarded(slurm: Slurm) -> Iterator[Guarded]:
    """A server with basic authentication and service accounts, behind a proxy."""
    auth = Auth("admin", secrets.token_urlsafe(12))
    named = SkyPilotServer(home_of(f"guarded-{machine.LANE}", slurm.root), slurm.client_config, auth)
    with (
        _started(named, slurm, "the server with credentials") as started,
        forwarder(started.port) as proxy,
    ):
        yield Guarded(started, proxy, BasicAuth(auth.user, auth.password))


@pytest.fixture(scope="session")
def admin(guarded: Guarded) -> Iterator[SkyPilotClient]:
    """A client of that server's administrator."""
    with SkyPilotClient(SkyPilotConnection(guarded.url, auth=guarded.admin, settings=PATIENT)) as made:
        yield made


def _jobs_of(server: SkyPilotServer, slurm: Slurm) -> dict[str, str]:
    """Jobs of this lane on the cluster, which others may use too: id -> name."""
    return {job: name for job, name in slurm.jobs().items() if name.startswith(OPERATOR) or server.owns(name)}


@pytest.fixture
def nothing_left(slurm: Slurm, server: SkyPilotServer, client: SkyPilotClient) -> Iterator[None]:
    """Nothing of the test is there when it is over."""
    yield
    until(lambda: not _jobs_of(server, slurm), 30.0, 0.2)
    jobs, clusters = _jobs_of(server, slurm), [item.name for item in client.status(refresh=Refresh.NONE)]
    for name in clusters:
        end(client, name)
    slurm.cancel(*_jobs_of(server, slurm).values())
    assert not jobs, f"the test left jobs on the cluster: {jobs}"
    assert not clusters, f"the test left clusters at the server: {clusters}"


def end(client: SkyPilotClient, name: str) -> None:
    """Takes a cluster down; one that is gone is fine."""
    try:
        client.down(name).result()
    except ApiError as error:
        if not error.is_not_found:
            raise


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long the parts took that are no test."""
    if _PARTS:
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in _PARTS.items() if seconds >= 0.05)
        terminalreporter.write_line(f"peers: {parts or 'all was there'}")
