"""How many faults a session has gone through."""

from __future__ import annotations

from collections import Counter


class Counted:
    """Faults by the part of the matrix that they are in."""

    def __init__(self) -> None:
        self.by_part: Counter[str] = Counter()

    def add(self, part: str, count: int = 1) -> None:
        self.by_part[part] += count

    def line(self) -> str:
        """For the end of the run."""
        parts = ", ".join(f"{part} {count}" for part, count in self.by_part.items())
        return f"{self.by_part.total()} faults ({parts})"


COUNTED = Counted()
