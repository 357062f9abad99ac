"""How many faults a session has gone through."""

from __future__ import annotations

from collections import Counter


class Counted:
    """Faults by the part of the matrix that they are in; random runs apart, since not all of theirs hit.

    Attributes:
        by_part: Faults.
        random_runs: Runs with random faults.
        kills: Those of them with a kill.
    """

    def __init__(self) -> None:
        self.by_part: Counter[str] = Counter()
        self.random_runs = 0
        self.kills = 0

    def add(self, part: str, count: int = 1) -> None:
        self.by_part[part] += count

    def line(self) -> str:
        """For the end of the run."""
        parts = ", ".join(f"{part} {count}" for part, count in self.by_part.items())
        besides = f"; besides {self.random_runs} random runs, {self.kills} killed" if self.random_runs else ""
        return f"{self.by_part.total()} faults ({parts}{besides})"


COUNTED = Counted()
