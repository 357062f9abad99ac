"""Fixtures for tests in the real engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine.harness import PROGRAMS, Stack, engine_bin

NewStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backend with an empty stack, made once; every test's stack is a copy of it."""
    if engine_bin() is None:
        pytest.fail("these tests need an engine: run `make engine`")
    root = tmp_path_factory.mktemp("template")
    Stack(root / "stack", "")
    return root / "stack"


@pytest.fixture
def new_stack(template: Path, tmp_path: Path) -> NewStack:
    """Makes stacks with an empty state; keyword arguments as for `Stack`."""
    made: list[Stack] = []

    def make(program: str, **options: Any) -> Stack:
        stack = Stack(tmp_path / f"stack{len(made)}", program, template=template, **options)
        made.append(stack)
        return stack

    return make


class ToyStack(Stack):
    """A stack whose program can import the toy providers."""

    def calls(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the toy providers logged so far, in order; of one event, or of all."""
        log = Path(self.env["TOY_LOG"])
        if not log.exists():
            return []
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if event in (None, line["event"])]


NewToyStack = Callable[..., ToyStack]


@pytest.fixture
def toys(template: Path, tmp_path: Path) -> NewToyStack:
    """Makes one stack whose program can import the toy providers; keyword arguments as for `Stack`."""

    def make(program: str, *, env: Mapping[str, str] | None = None, **options: Any) -> ToyStack:
        return ToyStack(
            tmp_path / "stack",
            program,
            template=template,
            packages=[PROGRAMS / "toys"],
            files={"dynamic-providers.json": (PROGRAMS / "dynamic-providers.json").read_text()},
            env={"TOY_LOG": str(tmp_path / "toys.jsonl"), **(env or {})},
            **options,
        )

    return make
