"""As much of an engine as the crash matrix needs: a state, `up`, `destroy`, and steps in the engine's order.

When the host dies in the middle of a step, the state stays as the engine's last checkpoint would be: what was
answered is in it, nothing else. A later `up` or `destroy` with a new host goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.crash.host_process import Host, Properties, StepFailedError, to_plain, to_struct


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource of the program.

    Attributes:
        type: Type token.
        name: Name in the program.
        inputs: Inputs; may call for outputs of earlier resources through `resolve`.
        delete_before_replace: The resource option of that name.
    """

    type: str
    name: str
    inputs: Mapping[str, Any]
    delete_before_replace: bool = True

    @property
    def urn(self) -> str:
        """As the engine would write it."""
        return f"urn:pulumi:dev::gpuplane::{self.type}::{self.name}"


@dataclass(slots=True)
class Kept:
    """One resource in the state."""

    urn: str
    id: str
    inputs: Properties
    outputs: Properties
    init_errors: tuple[str, ...] = ()
    pending_replacement: bool = False  # deleted, its successor is not there yet
    to_delete: bool = False  # replaced, still to be deleted


@dataclass(slots=True)
class DrivenEngine:
    """The state of one stack.

    Attributes:
        wrap: Adds to a resource's inputs what the SDK adds: `__provider`, by type token.
        refreshes: Whether `up` reads everything first.
        kept: The state, in the order of creation.
        steps: What was done so far: `create URN`, …
    """

    wrap: Callable[[str], Mapping[str, Any]]
    refreshes: bool = True
    kept: list[Kept] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def up(self, host: Host, program: Sequence[Declared]) -> None:
        """Makes the cloud what the program declares."""
        if self.refreshes:
            self._refresh(host)
        for declared in program:
            self._step(host, declared)
        urns = {declared.urn for declared in program}
        self._delete(host, lambda kept: kept.to_delete or kept.urn not in urns)

    def destroy(self, host: Host) -> None:
        """Deletes everything in the state, last made first."""
        self._delete(host, lambda kept: True)

    def ids(self) -> list[str]:
        """Ids of all resources that count as being there, without those to delete."""
        return [kept.id for kept in self.kept if not kept.pending_replacement and not kept.to_delete]

    def forget(self, names: Collection[str]) -> None:
        """Loses resources from the state; they live on in the cloud."""
        self.kept = [kept for kept in self.kept if kept.urn.rpartition("::")[2] not in names]

    def outputs(self, name: str) -> dict[str, Any]:
        """Outputs of a resource by its name in the program."""
        return to_plain(next(kept.outputs for kept in self.kept if kept.urn.endswith(f"::{name}")))

    def _refresh(self, host: Host) -> None:
        for kept in list(self.kept):
            if kept.pending_replacement or kept.to_delete:
                continue
            id_, inputs, outputs = host.read(kept.urn, kept.id, kept.inputs, kept.outputs)
            if not id_:
                self.kept.remove(kept)
                continue
            kept.outputs = outputs
            if inputs.fields:
                kept.inputs = inputs

    def _step(self, host: Host, declared: Declared) -> None:
        old = next((k for k in self.kept if k.urn == declared.urn and not k.to_delete), None)
        news = to_struct({**declared.inputs, **self.wrap(declared.type)})
        checked = host.check(declared.urn, old.inputs if old and not old.pending_replacement else None, news)
        if old is None or old.pending_replacement:
            self._create(host, declared.urn, checked)
            if old is not None:
                self.kept.remove(old)
            return
        diff = host.diff(declared.urn, old.id, old.inputs, old.outputs, checked)
        if diff.replaces and declared.delete_before_replace:
            self._end(host, old)
            old.pending_replacement = True
            self._create(host, declared.urn, checked)
            self.kept.remove(old)
        elif diff.replaces:
            new = self._create(host, declared.urn, checked)
            old.to_delete = True
            assert new.id != old.id, "a replacement took its predecessor's machine"
        elif diff.changes or old.init_errors:
            self._update(host, old, checked)

    def _create(self, host: Host, urn: str, inputs: Properties) -> Kept:
        self.steps.append(f"create {urn}")
        try:
            id_, outputs = host.create(urn, inputs)
        except StepFailedError as error:
            if error.partial is not None:
                partial = error.partial
                reasons = tuple(partial.reasons) or (str(error),)
                self.kept.append(Kept(urn, partial.id, inputs, partial.properties, reasons))
            raise
        kept = Kept(urn, id_, inputs, outputs)
        self.kept.append(kept)
        return kept

    def _update(self, host: Host, kept: Kept, inputs: Properties) -> None:
        self.steps.append(f"update {kept.urn}")
        try:
            outputs = host.update(kept.urn, kept.id, kept.inputs, kept.outputs, inputs)
        except StepFailedError as error:
            if error.partial is not None:
                kept.inputs, kept.outputs = inputs, error.partial.properties
                kept.init_errors = tuple(error.partial.reasons)
            raise
        kept.inputs, kept.outputs, kept.init_errors = inputs, outputs, ()

    def _delete(self, host: Host, chosen: Callable[[Kept], bool]) -> None:
        for kept in [k for k in reversed(self.kept) if chosen(k)]:
            if not kept.pending_replacement:
                self._end(host, kept)
            self.kept.remove(kept)

    def _end(self, host: Host, kept: Kept) -> None:
        self.steps.append(f"delete {kept.urn}")
        host.delete(kept.urn, kept.id, kept.inputs, kept.outputs)
