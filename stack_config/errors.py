"""What is wrong with a stack file, as sentences for the person who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule.

    Attributes:
        path: Full key path: `gpuplane:clusters.chat.nodeClass`.
        rule: What is wrong, without a full stop; never holds a secret value.
        nearest: The valid value nearest to what was written; empty for none.
        next_step: What to do, as an imperative sentence without a full stop; empty where the rule says it.
    """

    path: str
    rule: str
    nearest: str = ""
    next_step: str = ""

    def __str__(self) -> str:
        guess = f'; did you mean "{self.nearest}"?' if self.nearest else ""
        step = f"{'' if guess else ';'} {self.next_step}" if self.next_step else ""
        return f"{self.path}: {self.rule}{guess}{step}"


class StackConfigError(Exception):
    """The configuration of a stack breaks one or more rules.

    Args:
        file: Name of the stack file: `Pulumi.dev.yaml`.
        problems: Every broken rule found; at least one.
    """

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """One line for one problem; a head line and one line for each of several."""
        if len(self.problems) == 1:
            return f"{self.file}: {self.problems[0]}"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        return f"{self.file}: {len(self.problems)} errors\n{lines}"


def nearest(written: str, valid: Collection[str]) -> str:
    """The valid word that a typing error most likely meant; empty where none is near."""
    folded = {word.lower(): word for word in valid}
    found = difflib.get_close_matches(written.lower(), list(folded), n=1, cutoff=0.5)
    return folded[found[0]] if found else ""


def listing(valid: Collection[str]) -> str:
    """Valid values for the end of a sentence: `one of a, b`; `(none declared)` for an empty collection."""
    return f"one of {', '.join(sorted(valid))}" if valid else "(none declared)"
