"""What a preview printed, read into one form.

The engine has two forms of JSON. `pulumi preview --json` prints one document; measured with 3.250.0, it
leaves out the outputs of what a preview makes (so every estimated price), each finding of a policy, and,
without `--show-sames`, what stays as it is. With `PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true`, or in the file
of `--event-log FILE`, it is one event a line, with all of that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.errors import REFUSED, CliError
from cli.preview.messages import Finding, Message, finding, messages

STACK_TYPE = "pulumi:pulumi:Stack"
_PROVIDER_TYPES = "pulumi:providers:"
_NOT_PREVIEWED = frozenset({"refresh", "read-discard", "discard"})
"""Steps before the plan proper: what a refresh finds is the old state of the steps that follow."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the engine.

    Attributes:
        op: `create`, `same`, `update`, `replace`, …
        urn: Of the resource.
        type: Its type token.
        old: Its state before; None for a new one.
        new: Its state after, as far as the preview knows it; None for one that goes.
        diff: Path of a property -> kind of its difference: `update`, `add-replace`, …
        replaces: Properties that make it another one.
    """

    op: str
    urn: str
    type: str
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None
    diff: Mapping[str, str] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview, whichever way it was printed.

    Attributes:
        stack: Name of the stack; empty where nothing tells.
        steps: In the engine's order, without providers.
        messages: Errors and warnings.
        notes: Single lines of information that belong in a report.
        findings: What policies found.
        packs: Names of the policy packs that ran.
        failed: It ended with an error, so steps may be missing.
        unseen: How many unchanged resources it counts but does not show.
        short: It is the one document, without estimates and findings of policies.
    """

    stack: str = ""
    steps: tuple[Step, ...] = ()
    messages: tuple[Message, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    packs: tuple[str, ...] = ()
    failed: bool = False
    unseen: int = 0
    short: bool = False

    @property
    def is_complete(self) -> bool:
        """It reached everything: it did not fail, or only because of what policies found."""
        errors = any(message.severity == "error" for message in self.messages)
        return not self.failed or (not errors and any(each.level == "mandatory" for each in self.findings))


def read_preview(text: str, *, failed: bool | None = None, stack: str = "") -> Preview:
    """Reads what `pulumi preview --json` printed, in either form.

    Args:
        text: The document, or one event a line.
        failed: Whether the preview ended with an error; None to take it from the text.
        stack: Name of the stack; by default from the text.

    Raises:
        CliError: It is neither.
    """
    events = list(_events(text))
    if events:
        return _of_events(events, failed, stack)
    document = _document(text)
    if document is None:
        raise CliError(
            "this is not what a preview prints: give it the output of "
            "`PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview --json`",
            REFUSED,
        )
    return _of_document(document, failed, stack)


def loads(text: str) -> Any:
    """JSON in which a number that is none, or is too large to reckon with, is null.

    Raises:
        ValueError: It is no JSON.
    """
    return json.loads(text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_small)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _small(text: str) -> int | None:
    return int(text) if len(text) < 100 else None


def _of_document(document: Mapping[str, Any], failed: bool | None, stack: str) -> Preview:
    steps = tuple(_digested(step) for step in _mappings(document.get("steps")))
    said = messages(_mappings(document.get("diagnostics")))
    counted = _mapping(document.get("changeSummary")).get("same", 0)
    shown = sum(step.op == "same" for step in steps)
    return Preview(
        stack=stack or _stack_of(steps, said.errors),
        steps=_kept(steps),
        messages=said.errors,
        notes=said.notes,
        failed=said.failed if failed is None else failed,
        unseen=max(0, counted - shown) if isinstance(counted, int) else 0,
        short=True,
    )


def _of_events(events: Sequence[Mapping[str, Any]], failed: bool | None, stack: str) -> Preview:
    known: dict[tuple[str, str], Step] = {}
    spoken: list[Mapping[str, Any]] = []
    findings: list[Finding] = []
    packs: dict[str, None] = {}
    result = ""
    for event in events:
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            if kind in event:
                step = _told(_mapping(_mapping(event[kind]).get("metadata")))
                known[step.op, step.urn] = step  # the later one knows the outputs
        if "diagnosticEvent" in event:
            spoken.append(_mapping(event["diagnosticEvent"]))
        if "policyEvent" in event:
            findings.append(finding(_mapping(event["policyEvent"])))
        for kind in ("policyEvent", "policyAnalyzeSummaryEvent", "policyAnalyzeStackSummaryEvent"):
            if kind in event:
                packs[str(_mapping(event[kind]).get("policyPackName", ""))] = None
        if "summaryEvent" in event:
            result = str(_mapping(event["summaryEvent"]).get("result", ""))
    said = messages(spoken)
    steps = tuple(known.values())
    return Preview(
        stack=stack or _stack_of(steps, said.errors),
        steps=_kept(steps),
        messages=said.errors,
        notes=said.notes,
        findings=tuple(findings),
        packs=tuple(name for name in packs if name),
        failed=(said.failed or result != "succeeded") if failed is None else failed,
    )


def _events(text: str) -> Iterator[Mapping[str, Any]]:
    """The events of a text that has one a line; none for anything else. A cut last line is left out."""
    for line in text.split("\n"):  # not splitlines: a JSON text may hold other line separators
        if not line.strip():
            continue
        try:
            event = loads(line)
        except ValueError:
            return
        if not isinstance(event, dict) or "sequence" not in event:
            return
        yield event


def _document(text: str) -> Mapping[str, Any] | None:
    try:
        document = loads(text)
    except ValueError:
        return None
    known = {"steps", "diagnostics", "changeSummary", "config"}
    return document if isinstance(document, dict) and known & document.keys() else None


def _digested(step: Mapping[str, Any]) -> Step:
    changes = _diff(step.get("detailedDiff"), step.get("diffReasons"), "kind")
    return _step(step, "oldState", "newState", changes, "replaceReasons")


def _told(metadata: Mapping[str, Any]) -> Step:
    changes = _diff(metadata.get("detailedDiff"), metadata.get("diffs"), "diffKind")
    return _step(metadata, "old", "new", changes, "keys")


def _step(told: Mapping[str, Any], old: str, new: str, changes: dict[str, str], replaces: str) -> Step:
    """A step; the two forms have other keys for the same things."""
    urn = str(told.get("urn", ""))
    return Step(
        op=str(told.get("op", "")),
        urn=urn,
        type=_type_of(urn),
        old=_state(told.get(old)),
        new=_state(told.get(new)),
        diff=changes,
        replaces=_words(told.get(replaces)),
    )


def _diff(detailed: object, reasons: object, kind: str) -> dict[str, str]:
    found = _mapping(detailed)
    if found:
        return {path: str(_mapping(what).get(kind, "update")) for path, what in found.items()}
    return dict.fromkeys(_words(reasons), "update")


def _kept(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(
        step
        for step in steps
        if step.urn and step.op not in _NOT_PREVIEWED and not step.type.startswith(_PROVIDER_TYPES)
    )


def _type_of(urn: str) -> str:
    """The type token in `urn:pulumi:stack::project::parent$type::name`."""
    parts = urn.split("::")
    return "::".join(parts[2:-1]).rpartition("$")[2] if len(parts) > 3 else ""


def _stack_of(steps: Iterable[Step], said: Iterable[Message]) -> str:
    urns = [*(step.urn for step in steps), *(message.urn for message in said)]
    return next((urn.split("::")[0].removeprefix("urn:pulumi:") for urn in urns if urn), "")


def _state(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _words(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
