"""What the stand-in does with an object: check, create, update, read, delete."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.standins.kubernetes import ignoring, objects, rendering, waiting
from engine.standins.kubernetes.cluster import ApiRefused, Cluster, UnknownKind, Unreachable, connect
from engine.standins.kubernetes.objects import full_name, metadata
from engine.standins.kubernetes.readiness import assess
from engine.standins.kubernetes.settings import Settings
from engine.standins.kubernetes.values import Loaded, Object, Path, has_unknown, widened

#: In the state only: the API version and the manager of fields that the object was created with.
INITIAL_VERSION, FIELD_MANAGER = "__initialApiVersion", "__fieldManager"
_SECRET_PARTS: frozenset[Path] = frozenset({("data",), ("stringData",)})
#: A namespace, its service account or a CRD that was made a moment ago may not be there for everybody yet.
_SETTLE_S = 10.0
_AGAIN_S = 0.5


class Refused(Exception):
    """An operation failed; the message is meant for a person."""


@dataclass(frozen=True)
class Outcome:
    """What became of an object.

    Attributes:
        id: the engine's id; empty in a preview of a creation.
        state: its outputs.
        inputs: what the program wants of it, or what is there of that.
        reasons: why it is not ready; empty when it is, or when nobody waited.
    """

    id: str
    state: Loaded
    inputs: Loaded
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """For which resource an operation is.

    Attributes:
        urn: of the resource.
        seconds: the engine's time limit; 0 without.
        preview: whether nothing may be changed.
        tell: tells the person who waits one line about it.
        warn: the same as a warning that stays.
    """

    urn: str
    seconds: float
    preview: bool
    tell: Callable[[str], None]
    warn: Callable[[str], None]

    @property
    def is_patch(self) -> bool:
        """Whether the resource changes an object of somebody else."""
        return objects.is_patch(objects.type_of_urn(self.urn))


class Provider:
    """One configured provider. May be used from many threads.

    Args:
        settings: its configuration.
        stop: set when the engine cancels.
        connecting: makes the client of a cluster.
        now: tells seconds.
    """

    def __init__(
        self,
        settings: Settings,
        stop: threading.Event,
        connecting: Callable[[Any, str | None], Cluster] = connect,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._stop = stop
        self._connecting = connecting
        self._now = now
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None

    def cluster(self) -> Cluster:
        """The cluster, reached when it is first needed.

        Raises:
            Unreachable: nothing says how.
        """
        with self._lock:
            if self._cluster is None:
                self._cluster = self._connecting(self.settings.kubeconfig, self.settings.context)
            return self._cluster

    def is_namespaced(self, body: Object) -> bool | None:
        """Whether objects of this kind are in namespaces; None when nobody knows."""
        if objects.is_own(str(body.get("apiVersion"))):
            return body.get("kind") not in objects.CLUSTER_WIDE
        if self.settings.render is not None:
            return None
        try:
            return self.cluster().kind(str(body["apiVersion"]), str(body["kind"])).namespaced
        except (UnknownKind, ApiRefused, Unreachable):
            return None

    def create(self, asked: Asked, inputs: Loaded) -> Outcome:
        """Creates an object and waits until it is ready.

        Args:
            asked: for which resource.
            inputs: checked ones.

        Raises:
            Refused, ApiRefused, UnknownKind, Unreachable: nothing was created.
        """
        manager = objects.manager(asked.urn)
        live, reasons = self._put(asked, inputs.value, manager, new=True)
        state = self._state(asked, live, inputs, manager, str(inputs.value.get("apiVersion")))
        return Outcome("" if asked.preview else full_name(live), state, inputs, tuple(reasons))

    def update(
        self, asked: Asked, id_: str, state: Object, inputs: Loaded, ignored: Sequence[str] = ()
    ) -> Outcome:
        """Changes an object and waits until it is ready again. Arguments and errors as for `create`.

        Args:
            asked: for which resource.
            id_: the engine's id.
            state: the outputs of the last run.
            inputs: checked ones.
            ignored: the places of `ignoreChanges`.
        """
        manager = str(state.get(FIELD_MANAGER) or objects.manager(asked.urn))
        wanted = inputs.value
        if "generateName" in metadata(wanted):  # it has a name by now
            names = objects.reference(id_, wanted)["metadata"]
            wanted = {**wanted, "metadata": {**metadata(wanted), **names}}
        if ignored and self.settings.render is None and not has_unknown(metadata(wanted)):
            wanted = ignoring.with_live_values(wanted, self.cluster().get(wanted) or {}, ignored)
        live, reasons = self._put(asked, wanted, manager, new=False)
        first = str(state.get(INITIAL_VERSION) or wanted.get("apiVersion"))
        return Outcome(id_, self._state(asked, live, inputs, manager, first), inputs, tuple(reasons))

    def read(self, asked: Asked, id_: str, state: Loaded, inputs: Loaded) -> Outcome | None:
        """Reads an object; None when it is gone.

        Args:
            asked: for which resource.
            id_: the engine's id.
            state: the outputs of the last run; empty for an import.
            inputs: those of the last run; empty for an import.

        Raises:
            ApiRefused, Unreachable: it could not be read.
        """
        if self.settings.render is not None:
            return Outcome(id_, state, inputs)
        version, kind = objects.kind_of(objects.type_of_urn(asked.urn))
        known = inputs.value or state.value
        named = {"apiVersion": known.get("apiVersion", version), "kind": known.get("kind", kind)}
        try:
            live = self.cluster().get(objects.reference(id_, named))
        except UnknownKind:
            return None  # without its kind, there are no objects of it
        if live is None:
            return None
        found = _declared(live, inputs.value)
        secrets = inputs.secrets | (_SECRET_PARTS if named["kind"] == "Secret" else frozenset())
        manager = str(state.value.get(FIELD_MANAGER) or objects.manager(asked.urn))
        first = str(state.value.get(INITIAL_VERSION) or live["apiVersion"])
        read = Loaded(found, secrets)
        reasons: list[str] = []
        waits = inputs.value and objects.annotation(live, objects.SKIP_AWAIT) != "true" and not asked.is_patch
        if waits:
            verdict = assess(live, waiting.ClusterLook(self.cluster()))
            if not verdict.ready:
                reasons = waiting.why_not(self.cluster(), live, verdict.message)
        return Outcome(id_, self._state(asked, live, read, manager, first), read, tuple(reasons))

    def delete(self, asked: Asked, id_: str, state: Object) -> None:
        """Deletes an object and waits until it is gone; gives back the fields of a patch.

        Args:
            asked: for which resource.
            id_: the engine's id.
            state: its outputs.

        Raises:
            Refused, ApiRefused, Unreachable: it is still there.
        """
        if self.settings.render is not None:
            rendering.remove(self.settings.render, state)
            return
        named = objects.reference(id_, state)
        try:
            if asked.is_patch:
                self._give_back(asked, named, state)
            else:
                self._delete(asked, named, state)
        except UnknownKind:
            return
        except Unreachable as error:
            if not self.settings.delete_unreachable:
                raise
            asked.warn(f"{id_} counts as deleted (deleteUnreachable): {error}")

    def _give_back(self, asked: Asked, named: Object, state: Object) -> None:
        if self.cluster().get(named) is None:  # an apply would make it
            return
        manager = str(state.get(FIELD_MANAGER) or objects.manager(asked.urn))
        self.cluster().apply(named, manager, force=False, dry_run=False)

    def _delete(self, asked: Asked, named: Object, state: Object) -> None:
        if uid := metadata(state).get("uid"):
            named["metadata"]["uid"] = uid
        policy = objects.annotation(state, objects.PROPAGATION).capitalize() or "Foreground"
        self.cluster().delete(named, policy)
        if objects.annotation(state, objects.SKIP_AWAIT) == "true":
            return
        seconds = waiting.seconds_for(state, asked.seconds)
        left = waiting.until_gone(self.cluster(), named, seconds, self._stop, asked.tell, self._now)
        if left:
            raise Refused(left)

    def _put(self, asked: Asked, body: Object, manager: str, *, new: bool) -> tuple[Object, list[str]]:
        """Stores an object and waits for it; in a preview, asks what would be stored."""
        if self.settings.render is not None:
            if not asked.preview:
                file = rendering.write(self.settings.render, body)
                if body.get("kind") == "Secret":
                    asked.warn(f"{file} holds a secret in clear text")
            return body, []
        if asked.preview:
            return self._previewed(asked, body, manager, new=new), []
        until = self._now() + _SETTLE_S
        while True:
            try:
                live = self._apply(asked, body, manager, new=new)
                break
            except (UnknownKind, ApiRefused) as error:
                if not _may_settle(error) or self._now() > until or self._stop.is_set():
                    raise
                self._stop.wait(_AGAIN_S)
        if asked.is_patch:
            return live, []
        seconds = waiting.seconds_for(body, asked.seconds)
        waited = waiting.until_ready(self.cluster(), live, seconds, self._stop, asked.tell, self._now)
        return waited.live, waited.reasons

    def _previewed(self, asked: Asked, body: Object, manager: str, *, new: bool) -> Object:
        if has_unknown(body):
            return body
        try:
            live = self._apply(asked, body, manager, new=new)
        except UnknownKind:
            return body  # its CRD comes in the same run, or the run will say that there is none
        except Unreachable as error:
            asked.warn(f"{error}; the preview shows inputs only")
            return body
        except ApiRefused as error:
            # Its namespace comes in the same run; or its predecessor of the same name is deleted before it.
            if error.status == 404 or (error.status == 422 and new and self._has_predecessor(body, manager)):
                return body
            raise
        return objects.unsettled(live) if new else live

    def _apply(self, asked: Asked, body: Object, manager: str, *, new: bool) -> Object:
        cluster, named = self.cluster(), bool(metadata(body).get("name"))
        if self.is_namespaced(body) and not metadata(body).get("namespace"):
            body = {**body, "metadata": {**metadata(body), "namespace": self.settings.namespace}}
        if new and not named:
            return cluster.create(body, manager, dry_run=asked.preview)
        if new and not asked.is_patch and not self.settings.upsert:
            there = cluster.get(body)
            if there is not None and not _is_managed(there, manager):
                raise Refused(
                    f"{body['kind']} {full_name(body)} exists already and is not of this stack: import it, "
                    "give another name, or set upsertExistingObjects on the provider"
                )
        force = self.settings.force or objects.annotation(body, objects.PATCH_FORCE) == "true"
        return cluster.apply(body, manager, force=force, dry_run=asked.preview)

    def _has_predecessor(self, body: Object, manager: str) -> bool:
        there = self.cluster().get(body)
        return there is not None and _is_managed(there, manager)

    def _state(self, asked: Asked, live: Object, inputs: Loaded, manager: str, first: str) -> Loaded:
        state = {**live, "metadata": dict(metadata(live)) if metadata(live) else live.get("metadata")}
        if isinstance(state["metadata"], dict):
            state["metadata"].pop("managedFields", None)
        state |= {INITIAL_VERSION: first, FIELD_MANAGER: manager}
        secrets = widened(inputs.secrets) | (_SECRET_PARTS if live.get("kind") == "Secret" else frozenset())
        return Loaded(state, secrets)


def _declared(live: Object, inputs: Object) -> Object:
    if inputs:
        found: Object = objects.declared_part(live, inputs)
        if "stringData" in inputs:  # the server takes it and never shows it
            found["stringData"] = inputs["stringData"]
        return found
    # An import: everything that a program could have said.
    found = {key: value for key, value in live.items() if key != "status"}
    found["metadata"] = {
        key: value
        for key, value in metadata(live).items()
        if key in ("name", "namespace", "labels", "annotations")
    }
    return found


def _is_managed(live: Object, manager: str) -> bool:
    fields = metadata(live).get("managedFields") or []
    return any(each.get("manager") == manager for each in fields)


def _may_settle(error: UnknownKind | ApiRefused) -> bool:
    if isinstance(error, UnknownKind):
        return True
    text = str(error)
    no_account = error.status == 403 and "error looking up service account" in text
    return no_account or (error.status == 404 and text.startswith("namespaces "))
