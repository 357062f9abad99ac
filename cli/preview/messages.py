"""What the engine and the policies said during a preview."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SEVERITIES = ("error", "warning", "info", "debug")
_NOTES = ("weights cache of ",)
"""Lines of information that say what no output does: the cost of a disk depends on where nodes will be."""
_EMPTY = re.compile(r"(preview|update) failed|using pulumi-\S+ from \$PATH at .*")
"""Says no more than that it failed, which the report does by itself; or where a plugin is on this machine."""


@dataclass(frozen=True, slots=True)
class Message:
    """One error or warning.

    Attributes:
        severity: `error` or `warning`.
        text: Its lines, without the severity.
        urn: Of the resource that it is about; empty for none.
    """

    severity: str
    text: str
    urn: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a policy found.

    Attributes:
        policy: Its name.
        level: `mandatory`, `advisory`, `remediate`, …
        severity: `critical` to `low`; empty where the policy has none.
        text: What is wrong and what to do.
        urn: Of the resource at fault; that of the stack for the whole.
    """

    policy: str
    level: str
    severity: str
    text: str
    urn: str


@dataclass(frozen=True, slots=True)
class Said:
    """All messages of a preview.

    Attributes:
        errors: Errors and warnings, each once.
        notes: Lines of information for a report.
        failed: One of them is an error.
    """

    errors: tuple[Message, ...]
    notes: tuple[str, ...]
    failed: bool


def finding(event: Mapping[str, Any]) -> Finding:
    """Reads a `policyEvent`; its first line is the policy's description, which its name says already."""
    lines = [line for line in str(event.get("message", "")).splitlines() if line.strip()]
    return Finding(
        policy=str(event.get("policyName", "")),
        level=str(event.get("enforcementLevel", "")),
        severity=str(event.get("severity", "")),
        text="\n".join(lines[1:] or lines),
        urn=str(event.get("resourceUrn", "")),
    )


def messages(diagnostics: Iterable[Mapping[str, Any]]) -> Said:
    """Puts together what came line by line: a program's log has one diagnostic for each of its lines.

    Args:
        diagnostics: `message`, `severity`, `prefix`, `urn`, in their order.
    """
    blocks: list[Message] = []
    notes: list[str] = []
    lines: list[str] = []
    severity, urn = "", ""
    for said in diagnostics:
        text = (str(said.get("prefix", "")) + str(said.get("message", ""))).strip("\n")
        told = str(said.get("severity", ""))
        begins = next((each for each in _SEVERITIES if text.startswith(f"{each}:")), "")
        by_line = told.endswith("#err")
        if begins or not by_line or str(said.get("urn", "")) != urn:
            _close(blocks, severity, lines, urn)
            severity, urn, lines = begins or told.removesuffix("#err"), str(said.get("urn", "")), []
        text = text.removeprefix(f"{begins}:").strip() if begins else text.rstrip()
        lines.append(text)
        notes += [line for line in text.splitlines() if line.startswith(_NOTES)]
    _close(blocks, severity, lines, urn)
    kept = tuple(dict.fromkeys(message for message in blocks if message.severity in ("error", "warning")))
    failed = any(message.severity == "error" for message in kept)
    return Said(tuple(m for m in kept if not _EMPTY.fullmatch(m.text)), tuple(dict.fromkeys(notes)), failed)


def _close(blocks: list[Message], severity: str, lines: Sequence[str], urn: str) -> None:
    text = "\n".join(line for line in lines if line.strip())
    if text:
        blocks.append(Message(severity, text, urn))
