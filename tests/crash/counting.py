"""How many cut points a session has gone through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.crash.operations import WRITING


class Cutting(Protocol):
    """A case; its text names it."""

    @property
    def operation(self) -> str:
        """Name of the call that is cut."""

    @property
    def nth(self) -> int:
        """Which of them, from 1."""


class Outcome(Protocol):
    """What became of a case, whichever matrix it is from."""

    @property
    def case(self) -> Cutting:
        """The case."""

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


def judge(name: str, outcomes: Sequence[Outcome], *, may_miss: float = 1 / 3) -> None:
    """Counts the cases of a scenario and fails with every case that went wrong.

    Args:
        name: Of the scenario.
        outcomes: What became of its cases.
        may_miss: Share of the calls whose cut may not come, where it is one of the polls or a repeated call:
            how many of them there are depends on the time they take.
    """
    missed = [outcome.case for outcome in outcomes if not outcome.reached]
    COUNTED.by_scenario[name] = COUNTED.by_scenario.get(name, 0) + len(outcomes) - len(missed)
    COUNTED.not_reached += len(missed)
    failures = [f"--- {outcome.case}\n{outcome.failure}" for outcome in outcomes if outcome.failure]
    shown = "\n".join(failures[:6])
    assert not failures, f"{name}: {len(failures)} of {len(outcomes)} cases went wrong:\n{shown}"
    firsts = [str(case) for case in missed if case.operation in WRITING and case.nth == 1]
    assert not firsts, f"{name}: cuts that never came: {firsts}"
    assert len(missed) <= len(outcomes) * may_miss, (
        f"{name}: {len(missed)} of {len(outcomes)} cuts never came"
    )
