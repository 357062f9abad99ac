"""`gpuplane policies`: the policy pack over what exists."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.stacks import StackOption

BROKEN = 2
"""Exit code: a mandatory policy is broken."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A policy that is broken.

    Attributes:
        policy: Its name.
        enforcement: `mandatory` or `advisory`.
        severity: `low` to `critical`.
        resource: URN of the resource, or of the first of several.
        message: The rule, what breaks it, and the remedy: a line each.
    """

    policy: str
    enforcement: str
    severity: str
    resource: str
    message: str


def command(
    stack: StackOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Holds the policies against what the stack's state says: no program runs, no cloud is asked.

    Limits come from `gpuplane:policies` of the stack's file as it is now. The exit code is 0 where no
    mandatory policy is broken, 2 where one is, and 1 where the policies could not run.
    """
    from cli.errors import CliError, Ended
    from cli.policy_pack import pack_folder, policies_of
    from cli.pulumi_cli import error_line
    from cli.stacks import open_stack
    from stack_config.policies import pack_config

    pulumi = open_stack(stack)
    pack = pack_folder(pulumi)
    if pack is None:
        raise CliError("this project has no policy pack: the folder policies/ is missing")
    with tempfile.TemporaryDirectory(prefix="gpuplane-") as folder:
        config = Path(folder) / "policies.json"
        config.write_text(json.dumps(pack_config(policies_of(pulumi))), encoding="utf-8")
        done = pulumi.run(
            "policy", "analyze", "--json", "--policy-pack", str(pack), "--policy-pack-config", str(config)
        )
    found = sorted(
        set(findings(done.stdout)), key=lambda each: (each.enforcement != "mandatory", each.policy)
    )
    mandatory = sum(each.enforcement == "mandatory" for each in found)
    if done.code and not mandatory:
        raise CliError(f"the policies could not run: {error_line(done.stderr or done.stdout)}")
    if as_json:
        typer.echo(json.dumps({"stack": pulumi.stack, "findings": [asdict(each) for each in found]}))
    else:
        typer.echo("\n".join([*lines(found), summary(pulumi.stack, found)]))
    if mandatory:
        raise Ended(BROKEN)


def findings(output: str) -> Iterator[Finding]:
    """The findings in the engine's events, one JSON object a line.

    Args:
        output: What `pulumi policy analyze --json` prints.
    """
    for line in output.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        told = event.get("policyEvent") if isinstance(event, Mapping) else None
        if isinstance(told, Mapping):
            yield _finding(told)


def lines(found: list[Finding]) -> Iterator[str]:
    """Each finding with a line that says which policy, and how bad."""
    for each in found:
        yield f"[{each.enforcement}] {each.policy} ({each.severity or 'no severity'})"
        yield from (f"  {line}" for line in each.message.splitlines())


def summary(stack: str, found: list[Finding]) -> str:
    """The last line."""
    if not found:
        return f"stack {stack}: every policy is kept"
    mandatory = sum(each.enforcement == "mandatory" for each in found)
    return f"stack {stack}: {len(found)} finding(s), {mandatory} of them mandatory"


def _finding(told: Mapping[str, Any]) -> Finding:
    return Finding(
        policy=str(told.get("policyName", "")),
        enforcement=str(told.get("enforcementLevel", "")),
        severity=str(told.get("severity", "")),
        resource=str(told.get("resourceUrn", "")),
        message=str(told.get("message", "")).strip(),
    )
