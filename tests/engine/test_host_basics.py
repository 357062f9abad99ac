"""The host's gains that one ordinary run shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.engine.conftest import NewStack


def calls(tmp_path: Path, event: str | None = None) -> list[dict[str, Any]]:
    path = tmp_path / "toys.jsonl"
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if event in (None, line["event"])]


def test_24_creates_of_a_second_run_at_once(toys: NewStack, tmp_path: Path) -> None:
    stack = toys("from toys.provider import Toy\nfor i in range(24): Toy(f'n{i}', mode='slow', seconds=1)\n")
    stack.up().expect_ok()
    begun = calls(tmp_path, "create")
    ended = calls(tmp_path, "created")
    assert len(begun) == len(ended) == 24
    assert max(call["at"] for call in begun) < min(call["at"] for call in ended)
    assert max(call["at"] for call in ended) - min(call["at"] for call in begun) < 3
    assert len(calls(tmp_path, "configure")) == 1
