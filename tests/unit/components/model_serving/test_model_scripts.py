"""The scripts of a copy on several nodes: who serves, and when all start anew."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.model_serving import probe

START = Path(probe.__file__).with_name("start.sh")


@pytest.mark.parametrize(
    ("pod", "rank", "serves"), [("chat-0-0", "0", True), ("chat-0-1", "1", False), ("chat-1-12", "12", False)]
)
def test_the_number_of_the_pod_is_its_rank_and_the_first_serves(
    tmp_path: Path, pod: str, rank: str, serves: bool
) -> None:
    for name, body in {"getent": "exit 0", "vllm": 'printf "%s\\n" "$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    env = {"POD_NAME": pod, "LEADER": "chat-0-0.chat-0.ns.svc", "NODES": "13", "MASTER_PORT": "29501"}
    done = subprocess.run(
        ["sh", str(START), "Qwen/Qwen3-8B", "--chat-template", "a b"],
        env={**env, "PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    called = done.stdout.splitlines()
    assert called[:4] == ["serve", "Qwen/Qwen3-8B", "--chat-template", "a b"]
    assert ("--headless" in called) != serves
    assert called[-8:] == [
        *("--nnodes", "13", "--node-rank", rank),
        *("--master-addr", "chat-0-0.chat-0.ns.svc", "--master-port", "29501"),
    ]


@pytest.fixture
def health() -> Iterator[list[int]]:
    """A server whose answer is the last number of the list; its port is in PORT."""
    answers = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers[-1] if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "LEADER", "127.0.0.1")
        patch.setitem(os.environ, "PORT", str(server.server_port))
        yield answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_all_are_well_while_the_first_is(health: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main() == 0
    health.append(503)
    assert probe.main() == 1
    assert "503" in capsys.readouterr().err


def test_nobody_is_well_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "LEADER", "127.0.0.1")
    monkeypatch.setitem(os.environ, "PORT", "1")
    assert probe.main() == 1
    assert "127.0.0.1:1/health" in capsys.readouterr().err
