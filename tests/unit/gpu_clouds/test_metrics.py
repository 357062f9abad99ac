from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import logs
from gpu_clouds.metrics import Metrics, parse, render
from tests.unit.gpu_clouds.harness import KEY, Net, answer, runpod

REQUESTS = 'gpuplane_cloud_requests_total{cloud="runpod",operation="get_pod",status="200"}'


def test_two_processes_add_up_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.prom"
    monkeypatch.setenv("GPUPLANE_METRICS_FILE", str(file))
    first, second = Metrics(), Metrics()
    first.record("runpod", "get_pod", "200", 0.2)
    first.flush()
    first.flush()
    second.record("runpod", "get_pod", "200", 3.0)
    second.record_retry("runpod", "get_pod")
    second.flush()
    first.record("runpod", "get_pod", "200", 0.01)
    first.flush()
    found = parse(file.read_text())
    labels = 'cloud="runpod",operation="get_pod"'
    assert found[REQUESTS] == 3
    assert found[f"gpuplane_cloud_request_seconds_count{{{labels}}}"] == 3
    assert found[f"gpuplane_cloud_request_seconds_sum{{{labels}}}"] == pytest.approx(3.21)
    assert found[f'gpuplane_cloud_request_seconds_bucket{{{labels},le="0.25"}}'] == 2
    assert found[f'gpuplane_cloud_request_seconds_bucket{{{labels},le="+Inf"}}'] == 3
    assert found[f"gpuplane_cloud_retries_total{{{labels}}}"] == 1
    assert "# TYPE gpuplane_cloud_request_seconds histogram" in file.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.prom", "m.prom.lock"]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.just(REQUESTS) | st.just('gpuplane_cloud_retries_total{cloud="a"}'), st.floats(0, 1e12)
    )
)
def test_what_is_written_is_read_again(series: dict[str, float]) -> None:
    assert parse(render(series)) == pytest.approx(series)


def test_a_folder_that_is_missing_fails_no_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPUPLANE_METRICS_FILE", str(tmp_path / "file" / "m.prom"))
    subject = Metrics()
    subject.record("runpod", "get_pod", "200", 0.2)
    subject.flush()
    assert "metrics are not written" in caplog.text


def test_the_pushgateway_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, str, bytes]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.command, self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("GPUPLANE_PUSHGATEWAY_URL", f"http://127.0.0.1:{server.server_port}/")
        subject = Metrics()
        subject.record("runpod", "get_pod", "200", 0.2)
        subject.flush()
        thread.join()
    assert got[0][1].startswith("/metrics/job/gpuplane/instance/")
    assert f"{REQUESTS} 1\n".encode() in got[0][2]


def test_a_gateway_that_is_away_fails_no_operation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GPUPLANE_PUSHGATEWAY_URL", "http://127.0.0.1:1")
    Metrics().flush()
    assert "metrics are not pushed" in caplog.text


def test_each_call_is_one_structured_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "gpuplane.clouds")
    runpod(Net(answer(404, {"detail": "pod not found"}, x_request_id="r-9"))).get("p1")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "gpuplane.clouds"]
    assert len(lines) == 1
    assert lines[0].pop("duration_ms") >= 0
    assert lines[0] == {
        "event": "cloud_call",
        "operation": "get_pod",
        "cloud": "runpod",
        "credentials": "main",
        "status": "404",
        "request_id": "r-9",
    }


def test_the_log_goes_to_standard_error_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger(logs.LOGGER)
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setenv("LOG_LEVEL", "debug")
    logs.configure_from_environment()
    logs.configure_from_environment()
    logging.getLogger("gpuplane.clouds").debug("key %s", KEY)
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert KEY not in captured.err
    assert captured.out == ""
    logger.setLevel(logging.NOTSET)
