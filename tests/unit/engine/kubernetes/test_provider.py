"""What the stand-in does with an object, on a cluster in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.standins.kubernetes.cluster import ApiRefused, Cluster, Kind, UnknownKind, Unreachable
from engine.standins.kubernetes.objects import manager
from engine.standins.kubernetes.provider import FIELD_MANAGER, Asked, Provider, Refused
from engine.standins.kubernetes.settings import Settings
from engine.standins.kubernetes.values import UNKNOWN, Loaded, Object

URN = "urn:pulumi:test::p::kubernetes:core/v1:{}::x"


class Time(threading.Event):
    """The event that ends all waiting; its waits pass at once on a clock of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.then: list[Callable[[], None]] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds += timeout or 0
        if self.then:
            self.then.pop(0)()
        return self.is_set()


class Memory(Cluster):
    """Keeps objects by kind and name. A test may put errors in the way."""

    def __init__(self) -> None:
        super().__init__(None)
        self.objects: dict[tuple[str, str], Object] = {}
        self.errors: list[Exception] = []
        self.calls: list[str] = []
        self.uids = 0
        self.pods: list[Object] = []

    def key(self, body: Object) -> tuple[str, str]:
        return str(body["kind"]), str(body["metadata"]["name"])

    def put(self, body: Object, by: str = "kubectl") -> Object:
        self.uids += 1
        own = {"uid": str(self.uids), "managedFields": [{"manager": by}]}
        live = {**body, "metadata": {**body["metadata"], **own}}
        self.objects[self.key(body)] = live
        return live

    def kind(self, api_version: str, name: str) -> Kind:
        return Kind(f"/api/{api_version}", name.lower(), True)

    def apply(self, body: Object, manager: str, *, force: bool, dry_run: bool) -> Object:
        self.calls.append(f"{'try ' if dry_run else ''}{'force ' if force else ''}{self.key(body)[1]}")
        if self.errors:
            raise self.errors.pop(0)
        if dry_run:
            return {**body, "metadata": {**body["metadata"], "uid": "made up"}}
        return self.put(body, manager)

    def get(self, body: Object) -> Object | None:
        return self.objects.get(self.key(body))

    def list(
        self, api_version: str, kind: str, namespace: str | None, labels: str = "", fields: str = ""
    ) -> list[Object]:
        return self.pods if kind == "Pod" else []

    def delete(self, body: Object, propagation: str) -> None:
        self.calls.append(f"delete {propagation} {self.key(body)[1]}")
        if self.errors:
            raise self.errors.pop(0)
        self.objects.pop(self.key(body), None)


class Bench:
    """A provider, its cluster and what it has said."""

    def __init__(self, **settings: Any) -> None:
        self.memory, self.time = Memory(), Time()
        self.said: list[str] = []
        self.warned: list[str] = []
        self.provider = Provider(
            Settings(**settings), self.time, lambda *_: self.memory, lambda: self.time.seconds
        )

    def asked(self, kind: str = "ConfigMap", preview: bool = False, seconds: float = 0.0) -> Asked:
        return Asked(URN.format(kind), seconds, preview, self.said.append, self.warned.append)


def loaded(kind: str = "ConfigMap", annotations: Object | None = None, **more: Any) -> Loaded:
    names: Object = {"name": "x", "namespace": "n", **({"annotations": annotations} if annotations else {})}
    return Loaded({"apiVersion": "v1", "kind": kind, "metadata": names, **more}, frozenset())


@pytest.mark.parametrize("preview", [True, False])
def test_an_object_of_somebody_else_is_not_taken_over(preview):
    bench = Bench()
    bench.memory.put(loaded().value)
    with pytest.raises(Refused, match="exists already and is not of this stack"):
        bench.provider.create(bench.asked(preview=preview), loaded())
    upsert = Bench(upsert=True)
    upsert.memory.put(loaded().value)
    assert upsert.provider.create(upsert.asked(), loaded()).id == "n/x"


def test_what_a_killed_run_has_made_is_taken_over():
    bench = Bench()
    bench.memory.put(loaded().value, manager(URN.format("ConfigMap")))
    assert bench.provider.create(bench.asked(), loaded(data={"a": "b"})).id == "n/x"
    assert len(bench.memory.objects) == 1


def test_a_preview_asks_the_server_and_changes_nothing():
    bench = Bench()
    outcome = bench.provider.create(bench.asked(preview=True), loaded())
    assert bench.memory.calls == ["try x"] and bench.memory.objects == {}
    assert outcome.id == "" and outcome.state.value["metadata"]["uid"] == UNKNOWN


def test_a_preview_with_unknown_values_asks_nobody():
    bench = Bench()
    outcome = bench.provider.create(bench.asked(preview=True), loaded(data={"a": UNKNOWN}))
    assert bench.memory.calls == [] and outcome.state.value["data"] == {"a": UNKNOWN}


@pytest.mark.parametrize(
    ("error", "warned"),
    [(UnknownKind("no"), 0), (ApiRefused(404, "namespaces"), 0), (Unreachable("no answer"), 1)],
)
def test_a_preview_passes_over_what_the_same_run_may_make(error, warned):
    bench = Bench()
    bench.memory.errors = [error]
    bench.provider.create(bench.asked(preview=True), loaded())
    assert len(bench.warned) == warned


def test_a_preview_shows_other_errors():
    bench = Bench()
    bench.memory.errors = [ApiRefused(422, "spec is wrong")]
    with pytest.raises(ApiRefused, match="spec is wrong"):
        bench.provider.create(bench.asked(preview=True), loaded())


def test_the_preview_of_a_replacement_is_not_held_against_its_predecessor():
    bench = Bench()
    bench.memory.put(loaded().value, manager(URN.format("ConfigMap")))
    bench.memory.errors = [ApiRefused(422, "field is immutable")]
    bench.provider.create(bench.asked(preview=True), loaded())
    bench.memory.errors = [ApiRefused(422, "field is immutable")]
    with pytest.raises(ApiRefused):
        bench.provider.update(bench.asked(preview=True), "n/x", {}, loaded())


@pytest.mark.parametrize(
    "error",
    [
        UnknownKind("no matches"),
        ApiRefused(403, 'pods "x" is forbidden: error looking up service account n/default: not found'),
        ApiRefused(404, 'namespaces "n" not found'),
    ],
)
def test_what_was_made_a_moment_ago_is_waited_for(error):
    bench = Bench()
    bench.memory.errors = [error, error]
    assert bench.provider.create(bench.asked(), loaded()).id == "n/x"
    assert 0 < bench.time.seconds < 10
    bench.memory.errors = [error] * 100
    with pytest.raises(type(error)):
        bench.provider.create(bench.asked(), loaded())
    assert bench.time.seconds < 20


def test_other_refusals_are_told_at_once():
    bench = Bench()
    bench.memory.errors = [ApiRefused(403, "not allowed")]
    with pytest.raises(ApiRefused, match="not allowed"):
        bench.provider.create(bench.asked(), loaded())
    assert bench.time.seconds == 0


@pytest.mark.parametrize(
    ("options", "notes", "call"),
    [
        ({}, {}, "x"),
        ({"force": True}, {}, "force x"),
        ({}, {"pulumi.com/patchForce": "true"}, "force x"),
        ({}, {"pulumi.com/patchForce": "false"}, "x"),
    ],
)
def test_fields_of_others_are_taken_only_when_that_is_said(options, notes, call):
    bench = Bench(**options)
    bench.provider.create(bench.asked(), loaded(annotations=notes))
    assert bench.memory.calls == [call]


def test_a_pod_that_is_never_ready_is_kept_with_the_reasons():
    bench = Bench()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    outcome = bench.provider.create(
        bench.asked("Pod", seconds=8), loaded("Pod", status={"phase": "Pending", "conditions": [condition]})
    )
    assert outcome.id == "n/x"
    assert outcome.reasons == (
        "not ready after 8 s: the Pod is Pending",
        "Pod x: Unschedulable: no GPU",
    )
    assert 8 <= bench.time.seconds < 10
    assert bench.said == ["waiting: the Pod is Pending; Pod x: Unschedulable: no GPU"]


def test_a_cancelled_wait_keeps_the_object():
    bench = Bench()
    bench.time.then = [bench.time.set]
    outcome = bench.provider.create(bench.asked("Pod"), loaded("Pod", status={"phase": "Pending"}))
    assert outcome.reasons == ("cancelled while waiting: the Pod is Pending",)


def test_an_object_that_becomes_ready_is_told_as_it_is_then():
    bench = Bench()

    def run() -> None:
        bench.memory.objects["Pod", "x"]["status"] = {"phase": "Succeeded"}

    bench.time.then = [lambda: None, run]
    outcome = bench.provider.create(bench.asked("Pod"), loaded("Pod", status={"phase": "Pending"}))
    assert outcome.reasons == () and outcome.state.value["status"] == {"phase": "Succeeded"}
    assert "managedFields" not in outcome.state.value["metadata"]


def test_an_object_that_somebody_deletes_meanwhile_is_said_so():
    bench = Bench()
    bench.time.then = [bench.memory.objects.clear]
    outcome = bench.provider.create(bench.asked("Pod"), loaded("Pod", status={"phase": "Pending"}))
    assert outcome.reasons == ("n/x was deleted by somebody else while it was waited for",)


@pytest.mark.parametrize(
    ("annotations", "limit"),
    [({"pulumi.com/timeoutSeconds": "3"}, 3), ({"pulumi.com/timeoutSeconds": "x"}, 600), ({}, 600)],
)
def test_how_long_is_waited(annotations, limit):
    bench = Bench()
    bench.provider.create(bench.asked("Pod"), loaded("Pod", annotations, status={"phase": "Pending"}))
    assert limit <= bench.time.seconds < limit + 1


def test_what_asks_not_to_be_waited_for_is_not():
    bench = Bench()
    skip = {"pulumi.com/skipAwait": "true"}
    assert bench.provider.create(bench.asked("Pod"), loaded("Pod", skip)).reasons == ()
    assert bench.time.seconds == 0


def test_the_manager_of_an_objects_fields_stays_the_same_for_its_life():
    bench = Bench()
    state = bench.provider.create(bench.asked(), loaded()).state.value
    renamed = Asked(URN.format("ConfigMap") + "-renamed", 0, False, print, print)
    updated = bench.provider.update(renamed, "n/x", state, loaded(data={"a": "b"})).state.value
    assert updated[FIELD_MANAGER] == state[FIELD_MANAGER] == manager(URN.format("ConfigMap"))
    assert (
        bench.memory.objects["ConfigMap", "x"]["metadata"]["managedFields"][0]["manager"]
        == state[FIELD_MANAGER]
    )


def test_reading():
    bench = Bench()
    nothing = Loaded({}, frozenset())
    assert bench.provider.read(bench.asked(), "n/x", nothing, nothing) is None
    bench.memory.put({**loaded("Secret", data={"k": "dg=="}).value, "status": {}})
    imported = bench.provider.read(bench.asked("Secret"), "n/x", nothing, nothing)
    assert imported is not None
    assert imported.inputs.value == loaded("Secret", data={"k": "dg=="}).value
    assert ("data",) in imported.inputs.secrets and ("data",) in imported.state.secrets
    known = loaded("Secret", stringData={"k": "v"})
    refreshed = bench.provider.read(bench.asked("Secret"), "n/x", nothing, known)
    assert refreshed is not None and refreshed.inputs.value == known.value, "stringData is never read back"


@pytest.mark.parametrize(("policy", "expected"), [("", "Foreground"), ("orphan", "Orphan")])
def test_deleting_waits_for_this_very_object(policy, expected):
    bench = Bench()
    annotations = {"pulumi.com/deletionPropagationPolicy": policy} if policy else None
    state = bench.memory.put(loaded(annotations=annotations).value)
    bench.provider.delete(bench.asked(), "n/x", state)
    assert bench.memory.calls == [f"delete {expected} x"]
    assert bench.memory.objects == {}


def test_an_object_that_does_not_go_is_an_error_that_names_its_finalizers():
    bench = Bench()
    state = bench.memory.put(loaded().value)
    state["metadata"]["finalizers"] = ["example.com/hold"]
    bench.memory.delete = lambda body, propagation: None  # type: ignore[method-assign]
    with pytest.raises(
        Refused, match=r"not gone after 5 s: n/x still has the finalizers \['example.com/hold'\]"
    ):
        bench.provider.delete(bench.asked(seconds=5), "n/x", state)

    def another_of_this_name() -> None:
        bench.memory.put(loaded().value)

    bench.time.then = [another_of_this_name]
    bench.provider.delete(bench.asked(seconds=5), "n/x", state)


def test_a_cluster_that_is_gone():
    bench = Bench()
    bench.memory.errors = [Unreachable("no answer")]
    with pytest.raises(Unreachable):
        bench.provider.delete(bench.asked(), "n/x", loaded().value)
    forgiving = Bench(delete_unreachable=True)
    forgiving.memory.errors = [Unreachable("no answer")]
    forgiving.provider.delete(forgiving.asked(), "n/x", loaded().value)
    assert forgiving.warned == ["n/x counts as deleted (deleteUnreachable): no answer"]


def test_a_patch_gives_its_fields_back_and_makes_nothing():
    bench = Bench()
    asked = bench.asked("ConfigMapPatch")
    bench.memory.put(loaded(data={"theirs": "1"}).value)
    state = bench.provider.create(asked, loaded(data={"ours": "2"})).state.value
    bench.provider.delete(asked, "n/x", state)
    assert bench.memory.calls == ["x", "x"] and "data" not in bench.memory.objects["ConfigMap", "x"]
    bench.memory.objects.clear()
    bench.provider.delete(asked, "n/x", state)
    assert bench.memory.objects == {}


def test_files_instead_of_a_cluster(tmp_path):
    bench = Bench(render=tmp_path / "out")
    bench.provider.create(bench.asked("Secret", preview=True), loaded("Secret"))
    assert not (tmp_path / "out").exists()
    outcome = bench.provider.create(bench.asked("Secret"), loaded("Secret", stringData={"k": "v"}))
    file = tmp_path / "out" / "1-manifest" / "v1-secret-n-x.yaml"
    assert yaml.safe_load(file.read_text())["stringData"] == {"k": "v"}
    assert bench.warned == [f"{file} holds a secret in clear text"]
    read = bench.provider.read(bench.asked("Secret"), "n/x", outcome.state, outcome.inputs)
    assert read is not None and read.state == outcome.state
    bench.provider.delete(bench.asked("Secret"), "n/x", outcome.state.value)
    assert not file.exists() and bench.memory.calls == []
    assert Path(tmp_path / "out" / "0-crd").is_dir()
