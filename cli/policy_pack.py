"""The project's policy pack: where it is, whether this stack wants it, what it is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.errors import Ended
from cli.pulumi_cli import Pulumi
from cli.stacks import stack_file

if TYPE_CHECKING:
    from stack_config.policies import Policies


def policies_of(pulumi: Pulumi) -> Policies:
    """The section `gpuplane:policies` of the stack's file; it needs no secret to be read.

    Args:
        pulumi: The stack.

    Raises:
        StackConfigError: The section, or the file, breaks a rule.
    """
    from stack_config import read_stack_file
    from stack_config.loader import load_policies

    file = stack_file(pulumi.root, pulumi.stack)
    section = read_stack_file(file).get("policies", {}) if file.is_file() else {}
    return load_policies(section, pulumi.stack)


def pack_folder(pulumi: Pulumi) -> Path | None:
    """The pack's folder; None in a project that has none."""
    folder = pulumi.root / "policies"
    return folder if (folder / "PulumiPolicy.yaml").is_file() else None


def pack_arguments(pulumi: Pulumi) -> list[str]:
    """What makes the engine run the pack; nothing where the stack's file leaves it out.

    Args:
        pulumi: The stack.
    """
    folder = pack_folder(pulumi)
    if folder is None or not policies_of(pulumi).enabled:
        return []
    return ["--policy-pack", str(folder)]


def refuse_broken(pulumi: Pulumi, pack: list[str]) -> None:
    """Runs a preview with the pack, for an `up` that skips its own.

    Only a preview knows the whole stack and its price before the first resource is made.

    Args:
        pulumi: The stack.
        pack: What `pack_arguments` says.

    Raises:
        Ended: The preview failed, and has said why.
    """
    if not pack:
        return
    done = pulumi.run("preview", *pack)
    if done.code:
        typer.echo(done.stdout, nl=False)
        typer.echo(done.stderr, nl=False, err=True)
        raise Ended(done.code)
