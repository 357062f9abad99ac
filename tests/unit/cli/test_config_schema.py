"""`gpuplane config-schema` prints the schema, or writes it where stack files look for it."""

from __future__ import annotations

import json

import pytest

from cli.main import run
from stack_config.json_schema import FILE, schema_text, stack_schema
from tests.unit.cli.conftest import Project


def test_it_prints_the_schema(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config-schema"]) == 0
    assert json.loads(capsys.readouterr().out) == stack_schema()
    assert not (project.root / FILE).exists()


def test_it_writes_the_schema(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config-schema", "--write"]) == 0
    assert (project.root / FILE).read_text(encoding="utf-8") == schema_text()
    assert capsys.readouterr().out == f"{FILE} is written\n"
