"""`gpuplane up` with a key in clear text: refused before the engine writes anything."""

from __future__ import annotations

import json

import pytest

from cli.main import run
from tests.unit.cli.conftest import Project

CANARY = "canary-60b1"
FILE = "config:\n  gpuplane:credentials:\n    main:\n      cloud: runpod\n      apiKey:"


def test_the_engine_is_not_started(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.root / "Pulumi.prod.yaml").write_text(f"{FILE} {CANARY}\n")
    assert run(["up", "--stack", "prod", "--yes"]) != 0
    shown = capsys.readouterr()
    assert "pulumi config set --secret --path gpuplane:credentials.main.apiKey" in shown.err
    assert CANARY not in shown.err + shown.out
    assert project.calls() == []


def test_a_secure_value_is_fine(project: Project) -> None:
    (project.root / "Pulumi.prod.yaml").write_text(f"{FILE}\n        secure: v1:abc:def\n")
    project.answers({"stack export": (0, json.dumps({"version": 3, "deployment": {}}), "")})
    assert run(["up", "--stack", "prod", "--yes"]) == 0
    assert project.calls()[-1] == ["up", "--yes"]
