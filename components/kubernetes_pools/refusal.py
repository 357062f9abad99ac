"""Broken rules become the one message with which a preview ends."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from stack_config.errors import Problem


def refuse(problems: Sequence[Problem]) -> None:
    """Ends the program if there is any problem; called before a resource is registered.

    Raises:
        pulumi.RunError: One line for each; the engine shows it without a traceback.
    """
    if not problems:
        return
    if len(problems) == 1:
        raise pulumi.RunError(str(problems[0]))
    lines = "\n".join(f"  {problem}" for problem in problems)
    raise pulumi.RunError(f"{len(problems)} errors\n{lines}")
