"""A saved plan on its way from one job to the next: for which commit it is, and that no secret is open."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cli.ci_secrets import Secrets
from cli.errors import REFUSED, CliError


def about(plan: Path) -> Path:
    """The file beside a plan that says what it is for."""
    return plan.with_name(f"{plan.name}.about")


def refuse_open_secrets(plan: Path, secrets: Secrets) -> None:
    """Deletes a plan that holds a secret in clear text; the engine encrypts them, and this makes sure.

    Raises:
        CliError: It did.
    """
    if secrets.are_in(plan.read_text(encoding="utf-8")):
        plan.unlink()
        raise CliError(
            "the saved plan holds a secret of the stack in clear text and was deleted: an output or an input "
            "repeats a secure value; find it with `pulumi preview --diff` on your own machine"
        )


def sign_off(plan: Path, stack: str, commit: str) -> None:
    """Writes down beside a plan what it is for.

    Args:
        plan: The saved plan.
        stack: Name of its stack.
        commit: That it was made from.
    """
    about(plan).write_text(json.dumps(_about(plan, stack, commit), indent=2) + "\n", encoding="utf-8")


def refuse_other(plan: Path, stack: str, commit: str) -> None:
    """Makes sure that a plan is the one that was made for this stack and commit.

    Raises:
        CliError: It is another one, or was changed since.
    """
    try:
        said = json.loads(about(plan).read_text(encoding="utf-8"))
        now = _about(plan, stack, commit)
    except (OSError, ValueError):
        raise CliError(
            f"{plan} and {about(plan).name} can not be read: make them with `gpuplane ci preview --save-plan`"
        ) from None
    for what in ("stack", "commit", "sha256"):
        if not isinstance(said, dict) or said.get(what) != now[what]:
            was = said.get(what) if isinstance(said, dict) else None
            raise CliError(
                f"plan {plan.name} is refused: its {what} is {was or 'none'}, not {now[what] or 'none'}",
                REFUSED,
            )


def _about(plan: Path, stack: str, commit: str) -> dict[str, str]:
    return {"stack": stack, "commit": commit, "sha256": hashlib.sha256(plan.read_bytes()).hexdigest()}
