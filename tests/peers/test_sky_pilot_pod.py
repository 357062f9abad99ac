"""The program that a pod starts with, run by SkyPilot's own Python: what it leaves is what SkyPilot reads."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import local_services
from engine.skypilot_server import server_python
from tests.peers import machine

PREPARE_S = 600.0
READ = (
    "import json, sky.skypilot_config as c;"
    "from sky.server import config as s;"
    "print('READ', json.dumps([c.to_dict(), s.load_external_proxy_config().enabled]))"
)


class Pod:
    """A home, and what is mounted.

    Args:
        root: Empty folder.
        uri: Of the database; empty without one.
    """

    def __init__(self, root: Path, uri: str) -> None:
        self.home, self.ours = root / "home", root / "gpuplane"
        (self.home / ".sky").mkdir(parents=True)
        (self.ours / "local_services").mkdir(parents=True)
        for name in ("start_skypilot.py", "sky_pilot_pod.py"):
            text = (Path(local_services.__file__).parent / name).read_text()
            (self.ours / "local_services" / name).write_text(text)
        self.env = {
            "HOME": str(self.home),
            "PATH": f"{server_python().parent}:{os.defpath}",
            "IS_SKYPILOT_SERVER": "true",
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
            **({"SKYPILOT_DB_CONNECTION_URI": uri} if uri else {}),
        }

    def _run(self, *arguments: str, **env: str) -> str:
        done = subprocess.run(
            [server_python(), *arguments],
            cwd=self.ours,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=PREPARE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, config: dict[str, Any]) -> str:
        """Prepares the home as at a start; what a shell would set."""
        declared = {
            "config": config,
            "server": {"auth": {"external_proxy": {"enabled": False}}},
            "files": [],
            "commands": [],
            "user": "admin",
            "arguments": [],
        }
        (self.ours / "declared.json").write_text(json.dumps(declared))
        return self._run(
            "-m", "local_services.sky_pilot_pod", "shell", GPUPLANE_BASIC_PASSWORD="a-long-password"
        )

    def reads(self) -> Any:
        """The configuration as SkyPilot reads it, and whether it trusts a proxy's header."""
        lines = [line for line in self._run("-c", READ).splitlines() if line.startswith("READ ")]
        return json.loads(lines[0].removeprefix("READ "))


@pytest.mark.parametrize("database", [False, True], ids=["file", "database"])
def test_skypilot_reads_what_the_start_program_has_merged(tmp_path: Path, database: bool):
    if reason := machine.why_not():
        pytest.skip(reason)
    pod = Pod(tmp_path, f"sqlite:///{tmp_path}/db.sqlite" if database else "")
    stored = pod.home / ".sky" / "config.yaml"
    stored.write_text("workspaces: {default: {}, team: {private: false}}\n")
    shell = pod.start({"allowed_clouds": ["aws"], "jobs": {"bucket": "s3://x"}})
    assert shell.startswith("export SKYPILOT_INITIAL_BASIC_AUTH='admin:$6$rounds=")
    workspaces = {"default": {}, "team": {"private": False}}
    expected = {"workspaces": workspaces, "allowed_clouds": ["aws"], "jobs": {"bucket": "s3://x"}}
    assert pod.reads() == [expected, False]
    assert stored.exists() is not database
    pod.start({"allowed_clouds": ["gcp"]})
    assert pod.reads() == [{"workspaces": workspaces, "allowed_clouds": ["gcp"]}, False]
