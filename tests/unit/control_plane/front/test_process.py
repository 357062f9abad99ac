"""The process: exit codes, and one line for what is wrong; logs are JSON without secrets."""

import io
import json
import logging as standard
import os
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.gateway import log as logging

ROOT = Path(__file__).resolve().parents[4]


def start(**env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "REDIS_"))}
    return subprocess.run(
        [sys.executable, "-m", "control_plane.gateway"],
        cwd=ROOT,
        env={**kept, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("env", "code", "line"),
    [
        ({"GATEWAY_PORT": "x"}, 2, "gateway: GATEWAY_PORT: Input should be a valid integer"),
        ({"GATEWAY_SEED": "/none/seed.json"}, 2, "gateway: GATEWAY_SEED: /none/seed.json cannot be read"),
        ({"GATEWAY_HOST": "203.0.113.1"}, 1, "gateway: cannot listen at 203.0.113.1:8080"),
        (
            {"GATEWAY_DATA_DIR": "/dev/null/x"},
            2,
            "gateway: GATEWAY_DATA_DIR: /dev/null/x cannot be used: Not a",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(tmp_path, env, code, line):
    done = start(**{"GATEWAY_DATA_DIR": str(tmp_path), **env})
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


@pytest.fixture
def written():
    return io.BytesIO()


def test_logs_are_lines_of_json_from_the_level_on(written):
    log = logging.configure("warning", written)
    log.info("unseen")
    log.warning("seen", nodes=["a"], count=1)
    (line,) = written.getvalue().splitlines()
    fields = json.loads(line)
    assert fields.pop("timestamp").endswith("Z")
    assert fields == {"event": "seen", "level": "warning", "nodes": ["a"], "count": 1}


def test_what_libraries_log_has_the_same_form_and_secrets_are_removed(written):
    log = logging.configure("info", written)
    standard.getLogger("lib.part").info("chatty")
    standard.getLogger("lib.part").error("no way to %s", "postgresql://user:hunter2@host/db")
    try:
        raise RuntimeError("Authorization: Bearer hunter2hunter2")
    except RuntimeError:
        log.exception("it failed")
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert (first["logger"], first["level"]) == ("lib.part", "error")
    assert second["event"] == "it failed"
    assert "RuntimeError" in second["exception"]
    assert b"hunter2" not in written.getvalue()
