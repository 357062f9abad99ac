"""A project folder and a `pulumi` that answers from a script and writes down how it was called."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.pulumi_cli import Pulumi

FAKE = """\
#!{python} -S
import json, os, sys
here = {here!r}
arguments = [a for a in sys.argv[1:] if a != "--non-interactive"]
if "--stack" in arguments:
    at = arguments.index("--stack")
    del arguments[at : at + 2]
given = "" if sys.stdin.isatty() else sys.stdin.read()
with open(os.path.join(here, "calls.jsonl"), "a") as log:
    log.write(json.dumps({{"arguments": arguments, "stdin": given,
                          "experimental": os.environ.get("PULUMI_EXPERIMENTAL", "")}}) + "\\n")
answers = json.load(open(os.path.join(here, "answers.json")))
code, out, err = answers.get(" ".join(arguments), answers.get(arguments[0], [0, "", ""]))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@dataclass(frozen=True)
class Project:
    """A project with a fake engine."""

    root: Path
    pulumi: Pulumi
    backend: Path

    def answers(self, table: Mapping[str, tuple[int, str, str]]) -> None:
        (self.root / "bin" / "answers.json").write_text(json.dumps(table))

    def calls(self) -> list[list[str]]:
        return [call["arguments"] for call in self.raw_calls()]

    def raw_calls(self) -> list[dict[str, Any]]:
        log = self.root / "bin" / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def lock(self, **content: object) -> Path:
        folder = self.backend / ".pulumi" / "locks" / "organization" / "gpuplane" / "prod"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{len(list(folder.iterdir()))}.json"
        file.write_text(json.dumps(content))
        (folder / f"{file.name}.attrs").write_text("{}")
        return file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root, backend = tmp_path / "project", tmp_path / "backend"
    fake = root / "bin" / "pulumi"
    fake.parent.mkdir(parents=True)
    backend.mkdir()
    (root / "Pulumi.yaml").write_text("name: gpuplane\nruntime: python\n")
    fake.write_text(FAKE.format(python=sys.executable, here=str(fake.parent)))
    fake.chmod(0o755)
    (fake.parent / "answers.json").write_text("{}")
    environment = {
        "PATH": f"{fake.parent}{os.pathsep}{os.defpath}",
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "canary-passphrase",
    }
    monkeypatch.setenv("PATH", environment["PATH"])
    monkeypatch.chdir(root)

    # The commands look for an engine of their own; here the fake one is on PATH already.
    def same(*_arguments: object) -> dict[str, str]:
        return dict(environment)

    monkeypatch.setattr("cli.project.engine_environment", same)
    monkeypatch.setattr("cli.stacks.engine_environment", same)
    return Project(root, Pulumi(root, environment, "prod"), backend)
