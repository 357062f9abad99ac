"""What holds for every test: no network but loopback, and on CI a skipped test is a failed one."""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

HERE = Path(__file__).resolve().parent
ON_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

# How long an example takes says more of the machine than of the code.
settings.register_profile("gpuplane", deadline=None)
settings.load_profile("gpuplane")

MARKERS = {
    "engine": "runs the real Pulumi engine (everything in tests/engine)",
    "crash": "kills processes in the middle of their work (everything in tests/crash)",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            room = item.path.relative_to(HERE).parts[0]
            if room in MARKERS:
                item.add_marker(room)


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A machine that cannot run a test has not passed it. An expected failure stays what it is."""
    if report.skipped and not hasattr(report, "wasxfail"):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as failed on CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    report = yield
    if ON_CI:
        fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    if ON_CI:
        fail_if_skipped(report)
    return report


class NetworkClosed(OSError):
    """A test tried to reach another machine."""


def refuse_other_machines(address: Any) -> None:
    """Raises NetworkClosed unless the address is a local socket file or loopback."""
    host = address[0] if isinstance(address, tuple) else ""
    if host in ("", "localhost", None):
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise NetworkClosed(f"tests reach no other machine than this one, and this one tried {host}")


@pytest.fixture(autouse=True, scope="session")
def _closed_network() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
        lookup = socket.getaddrinfo

        def guarded_connect(self: socket.socket, address: Any) -> None:
            refuse_other_machines(address)
            connect(self, address)

        def guarded_connect_ex(self: socket.socket, address: Any) -> int:
            refuse_other_machines(address)
            return connect_ex(self, address)

        def guarded_lookup(host: Any, *arguments: Any, **options: Any) -> Any:
            refuse_other_machines((host.decode() if isinstance(host, bytes) else host,))
            return lookup(host, *arguments, **options)

        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_lookup)
        yield
