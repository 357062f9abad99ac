"""Fixtures for tests in the real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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

    def make(program: str, **options: object) -> Stack:
        stack = Stack(tmp_path / f"stack{len(made)}", program, template=template, **options)  # type: ignore[arg-type]
        made.append(stack)
        return stack

    return make


@pytest.fixture
def toys(new_stack: NewStack, tmp_path: Path) -> NewStack:
    """Makes stacks whose programs can import the toy provider; its calls are logged to `TOY_LOG`."""

    def make(program: str, **options: object) -> Stack:
        env = {"TOY_LOG": str(tmp_path / "toys.jsonl"), **dict(options.pop("env", None) or {})}  # type: ignore[call-overload]
        files = {"dynamic-providers.json": (PROGRAMS / "dynamic-providers.json").read_text()}
        return new_stack(program, packages=[PROGRAMS / "toys"], env=env, files=files, **options)

    return make
