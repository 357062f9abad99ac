"""How many cut points a session has gone through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Outcome(Protocol):
    """What became of a case, whichever matrix it is from."""

    @property
    def case(self) -> object:
        """The case; its text names it."""

    @property
    def reached(self) -> bool:
        """Whether there was something to cut."""

    @property
    def failure(self) -> str:
        """Empty when all went well."""


@dataclass(slots=True)
class Counted:
    """Sums of one session, by scenario."""

    by_scenario: dict[str, int] = field(default_factory=dict)
    not_reached: int = 0

    @property
    def cut_points(self) -> int:
        """Cases in which the cut came."""
        return sum(self.by_scenario.values())

    def line(self) -> str:
        """For the end of the run."""
        parts = ", ".join(f"{name} {count}" for name, count in self.by_scenario.items())
        missed = f"; {self.not_reached} calls did not come again" if self.not_reached else ""
        return f"{self.cut_points} cut points ({parts}{missed})"


COUNTED = Counted()


def judge(name: str, outcomes: Sequence[Outcome], *, may_miss: float = 0.1) -> None:
    """Counts the cases of a scenario and fails with every case that went wrong.

    Args:
        name: Of the scenario.
        outcomes: What became of its cases.
        may_miss: Share of the cuts that may not come: how often a client polls depends on the time it takes.
    """
    reached = sum(outcome.reached for outcome in outcomes)
    COUNTED.by_scenario[name] = COUNTED.by_scenario.get(name, 0) + reached
    COUNTED.not_reached += len(outcomes) - reached
    failures = [f"--- {outcome.case}\n{outcome.failure}" for outcome in outcomes if outcome.failure]
    shown = "\n".join(failures[:6])
    assert not failures, f"{name}: {len(failures)} of {len(outcomes)} cases went wrong:\n{shown}"
    assert reached >= len(outcomes) * (1 - may_miss), f"{name}: only {reached} of {len(outcomes)} cuts came"
