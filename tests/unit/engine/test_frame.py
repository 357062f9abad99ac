"""The test frame itself: the closed network and what a skip is on CI."""

import socket
import urllib.error
import urllib.request

import pytest

from tests.conftest import NetworkClosed, fail_if_skipped


def test_no_other_machine_can_be_reached():
    with socket.socket() as plain, pytest.raises(NetworkClosed):
        plain.connect(("192.0.2.1", 80))
    with socket.socket() as plain, pytest.raises(NetworkClosed):
        plain.connect_ex(("192.0.2.1", 80))
    with pytest.raises(urllib.error.URLError, match="no other machine"):
        urllib.request.urlopen("http://example.invalid/", timeout=1)


def test_loopback_can():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("expected_failure", [False, True])
def test_a_skip_fails_on_ci_and_an_expected_failure_does_not(expected_failure):
    report = pytest.TestReport("id", ("f", 1, "t"), {}, "skipped", ("f", 1, "Skipped: no engine"), "call")
    if expected_failure:
        report.wasxfail = "known"
    fail_if_skipped(report)
    assert report.outcome == ("skipped" if expected_failure else "failed")
    assert expected_failure or "no engine" in str(report.longrepr)
