"""One line for each resource: what happens to it, why, and what it costs before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cli.preview.document import STACK_TYPE, Preview, Step
from cli.preview.prices import POOL_TYPES, PRICED_TYPES, Price, price_of
from cli.preview.reasons import reasons
from cli.state import natural

ACTIONS = {
    "create": "created",
    "replace": "replaced",
    "update": "updated",
    "delete": "deleted",
    "import": "imported",
    "same": "unchanged",
    "unseen": "not reached",
}
"""What happens to a resource -> the word for it, in the order of a report."""
_ACTION_OF = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "import": "import",
    "same": "same",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "import-replacement": "replace",
}
_ORDER = {action: place for place, action in enumerate(ACTIONS)}
_GOING = frozenset({"delete", "delete-replaced"})


@dataclass(frozen=True, slots=True)
class Line:
    """A resource in a report.

    Attributes:
        action: A key of `ACTIONS`.
        urn: Of the resource.
        type: Its type token.
        name: Its name.
        parent: Name of the component that it belongs to; empty for none.
        why: Which inputs differ.
        before: What it costs now; None where it costs nothing that is known of, or is none yet.
        after: What it will cost; None once it is gone.
        candidates: What may be rented for it.
    """

    action: str
    urn: str
    type: str
    name: str
    parent: str = ""
    why: tuple[str, ...] = ()
    before: Price | None = None
    after: Price | None = None
    candidates: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_priced(self) -> bool:
        """It is of a kind that costs money by the hour."""
        return self.type in PRICED_TYPES


def lines_of(preview: Preview, resources: Iterable[Mapping[str, Any]] = ()) -> list[Line]:
    """Every resource of a preview, and what only the state knows, by what happens to it and by name.

    Args:
        preview: The preview.
        resources: Those of the state before it (`pulumi stack export`), for what the preview does not show.
    """
    by_urn: dict[str, list[Step]] = {}
    for step in preview.steps:
        if step.op in _ACTION_OF and step.type != STACK_TYPE:
            by_urn.setdefault(step.urn, []).append(step)
    found = [line for steps in by_urn.values() for line in _lines(steps)]
    shown = {(step.urn, _id(step.old)) for step in preview.steps}
    for resource in resources:
        urn, kind = str(resource.get("urn", "")), str(resource.get("type", ""))
        if kind in PRICED_TYPES and (urn, _id(resource)) not in shown:
            action = "same" if preview.is_complete else "unseen"
            found.append(_line(action, Step("same", urn, kind, resource, resource)))
    return sorted(found, key=lambda line: (_ORDER[line.action], line.parent, natural(line.name)))


def _lines(steps: list[Step]) -> Iterable[Line]:
    """The line of a resource, and one more for each old copy of it that goes."""
    main = [step for step in steps if step.op not in _GOING]
    if not main:
        yield from (_line("delete", step) for step in steps)
        return
    action = next((a for s in main if (a := _ACTION_OF[s.op]) == "replace"), _ACTION_OF[main[-1].op])
    old = next((step.old for step in main if step.old), None)
    told = max(main, key=lambda step: (bool((step.new or {}).get("outputs")), bool(step.diff)))
    diff = next((step.diff for step in main if step.diff), {})
    yield _line(action, Step(told.op, told.urn, told.type, old, told.new, diff, told.replaces))
    for step in steps:
        if step.op in _GOING and _id(step.old) != _id(old):
            yield _line("delete", step)


def _line(action: str, step: Step) -> Line:
    old, new = step.old or {}, step.new or {}
    parent = str((new or old).get("parent", ""))
    return Line(
        action=action,
        urn=step.urn,
        type=step.type,
        name=step.name,
        parent="" if f"::{STACK_TYPE}::" in parent else parent.rpartition("::")[2],
        why=tuple(_why(action, step)),
        before=_price(step.type, step.old) if action != "create" else None,
        after=None if action == "delete" else _after(action, step),
        candidates=_candidates(new.get("inputs")),
    )


def _after(action: str, step: Step) -> Price | None:
    new = _price(step.type, step.new)
    told = step.type in POOL_TYPES and "estimatedHourly" in _mapping((step.new or {}).get("outputs"))
    if action in ("same", "update", "unseen") and not told and (new is None or new.amount.is_unknown):
        return _price(step.type, step.old) or new  # what lives keeps its price
    return new


def _price(kind: str, state: Mapping[str, Any] | None) -> Price | None:
    if state is None or kind not in PRICED_TYPES:
        return None
    return price_of(kind, _mapping(state.get("outputs")), _mapping(state.get("inputs")))


def _why(action: str, step: Step) -> list[str]:
    if action == "delete":
        return ["no longer declared" if step.op == "delete" else "an old one that was replaced"]
    if action == "replace":
        return reasons(step) or ["asked for (--replace, taint), or what it needs is replaced"]
    return reasons(step) if action in ("update", "import") else []


def _candidates(inputs: object) -> tuple[Mapping[str, Any], ...]:
    listed = _mapping(inputs).get("candidates")
    return tuple(each for each in listed if isinstance(each, Mapping)) if isinstance(listed, list) else ()


def _id(state: Mapping[str, Any] | None) -> str:
    return str((state or {}).get("id", ""))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
