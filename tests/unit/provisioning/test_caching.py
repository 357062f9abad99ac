"""A weights cache: made once, found again, given back when nothing came of it, ended with the stack."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import caching
from gpu_clouds.errors import (
    AmbiguousError,
    CapacityError,
    ConflictError,
    DeadlineError,
    GpuCloudError,
    PermissionRefusedError,
    ValidationError,
)
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import Availability, CacheVolume, Candidate, Offer
from gpu_clouds.provisioning import NodeRequest, Provisioned, Provisioner, ProvisioningError
from gpu_clouds.readiness import ProbeResult
from gpu_clouds.request import SETTLE_S
from gpu_clouds.run import Run
from gpu_clouds.weights_cache import CachePrice, CacheRequest, cache_name, orphans, slug
from tests.unit.provisioning.virtual_clock import VirtualClock
from tests.unit.provisioning.world import RUNPOD, STACK, Backend, FakeCloud, Killed, Launch, request

HERE = Candidate("runpod", "main", "EU-RO-1", "H100-SXM")
THERE = replace(HERE, region="EU-CZ-1")
CACHE = CacheRequest("cache-small", 200, "/weights")
NAME = cache_name("p", STACK, "cache-small", "runpod", "EU-RO-1")


class CachingCloud(FakeCloud):
    """A cloud that has disks too; `faults`: what the next creates raise, and when a disk comes of it."""

    def __init__(self, backend: Backend, volumes: dict[str, CacheVolume], **hooks: Any) -> None:
        super().__init__(backend, "main", **hooks)
        self.volumes = volumes
        self.appear: dict[str, float] = {}
        self.faults: list[tuple[GpuCloudError | None, float | None]] = []
        self.delete_faults: list[GpuCloudError] = []
        self.free = Availability.HIGH
        self._ids = itertools.count(len(volumes) + 1)

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        found = super().offers(candidates)
        return [replace(offer, availability=self.free) for offer in found]

    def list_caches(self, name_prefix: str) -> list[CacheVolume]:
        def effect() -> list[CacheVolume]:
            now = self.backend.clock.time()
            shown = [v for v in self.volumes.values() if self.appear.get(v.id, 0.0) <= now]
            return [v for v in shown if v.name.startswith(name_prefix)]

        return list(self._call("list_caches", effect))

    def create_cache(self, name: str, region: str, size_gb: int) -> CacheVolume:
        def effect() -> CacheVolume:
            error, after = self.faults.pop(0) if self.faults else (None, 0.0)
            volume = CacheVolume(f"v{next(self._ids)}", name, self.name, region, size_gb)
            if after is not None:
                self.volumes[volume.id] = volume
                self.appear[volume.id] = self.backend.clock.time() + after
            if error is not None:
                raise error
            return volume

        made: CacheVolume = self._call("create_cache", effect)
        return made

    def delete_cache(self, cache_id: str) -> None:
        def effect() -> None:
            if self.delete_faults:
                raise self.delete_faults.pop(0)
            if any(n.spec.cache and n.spec.cache.volume.id == cache_id for n in self.backend.living()):
                raise ConflictError("network volume is in use")
            self.volumes.pop(cache_id, None)

        self._call("delete_cache", effect)


@dataclass
class Place:
    """One cloud, this machine's intents, and runs of the engine."""

    folder: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    volumes: dict[str, CacheVolume] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.backend = Backend("runpod", self.clock, replace(RUNPOD, weights_cache=True))
        self.backend.prices = {HERE: 2.0, THERE: 2.0}
        self.new_run()

    def new_run(self, **hooks: Any) -> None:
        """What another engine run starts with."""
        self.cloud = CachingCloud(self.backend, self.volumes, **hooks)
        self.intents = IntentLog(STACK, self.folder, self.clock)
        self.run = Run(self.clock, self.clock.condition)

    def up(self, node: str = "n0", *candidates: Candidate, **changes: Any) -> Provisioned:
        asked: NodeRequest = request(node, *(candidates or (HERE,)), **{"cache": CACHE, **changes})
        return Provisioner(
            {"main": self.cloud},
            self.intents,
            self.clock,
            threading.Event(),
            self.lines.append,
            lambda: None,
            run=self.run,
            ask=lambda instance, readiness: ProbeResult(True, ""),
        ).find_or_launch(asked)

    def end(self, **declared: bool) -> tuple[list[CacheVolume], list[CacheVolume]]:
        return caching.end_caches(
            {"main": self.cloud},
            "p",
            STACK,
            declared={f"cache-{name}": keep for name, keep in declared.items()},
            intents=self.intents,
            clock=self.clock,
            cancel=None,
            may_send=lambda: None,
        )

    def mounted(self) -> list[tuple[str, str]]:
        """Id and path of what each node mounts."""
        return [(n.spec.cache.volume.id, n.spec.cache.path) for n in self.backend.living() if n.spec.cache]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_nodes_of_a_class_share_one_cache_in_a_place(place: Place) -> None:
    for node in ("n0", "n1"):
        place.up(node)
    place.new_run()
    place.up("n2")
    assert place.volumes == {"v1": CacheVolume("v1", NAME, "runpod", "EU-RO-1", 200)}
    assert place.mounted() == [("v1", "/weights")] * 3
    assert place.backend.calls.count("create_cache") == 1
    assert place.backend.calls.count("list_caches") == 2  # once for each run


def test_a_node_without_a_cache_asks_for_none(place: Place) -> None:
    place.up(cache=None)
    assert not {"list_caches", "create_cache"} & set(place.backend.calls)


def test_a_new_cache_ends_when_its_launch_is_refused(place: Place) -> None:
    place.backend.script = [Launch(CapacityError("none"), makes=False)]
    done = place.up("n0", HERE, THERE)
    assert done.candidate == THERE
    assert [v.region for v in place.volumes.values()] == ["EU-CZ-1"]
    assert any("ended weights cache v1" in line for line in place.lines)


def test_a_cache_that_was_there_before_stays_when_a_launch_is_refused(place: Place) -> None:
    place.volumes["v1"] = CacheVolume("v1", NAME, "runpod", "EU-RO-1", 200)
    place.backend.script = [Launch(CapacityError("none"), makes=False)]
    with pytest.raises(ProvisioningError):
        place.up()
    assert list(place.volumes) == ["v1"]


def test_a_new_cache_that_another_node_uses_stays(place: Place) -> None:
    place.up("n0")
    place.backend.script = [Launch(CapacityError("none"), makes=False)]
    with pytest.raises(ProvisioningError):
        place.up("n1")
    assert list(place.volumes) == ["v1"]


def test_where_nothing_is_free_no_cache_is_made(place: Place) -> None:
    place.cloud.free = Availability.NONE
    with pytest.raises(ProvisioningError, match="no candidate has a free machine"):
        place.up()
    assert place.volumes == {} and "create_cache" not in place.backend.calls


def test_a_cache_whose_end_is_refused_is_told(place: Place) -> None:
    place.backend.script = [Launch(CapacityError("none"), makes=False)]
    place.cloud.delete_faults = [ConflictError("later")]
    with pytest.raises(ProvisioningError):
        place.up()
    assert any("stays until a destroy: later" in line for line in place.lines)
    place.new_run()
    place.up()
    assert place.mounted() == [("v1", "/weights")]


@pytest.mark.parametrize("after", [0.0, 25.0, 59.0, None])
def test_an_unanswered_create_makes_no_second_cache(place: Place, after: float | None) -> None:
    place.cloud.faults = [(AmbiguousError("cut"), after)]
    place.up()
    assert len(place.volumes) == 1 and place.mounted() == [(next(iter(place.volumes)), "/weights")]
    assert place.backend.calls.count("create_cache") == (2 if after is None else 1)


def test_an_unanswered_launch_keeps_its_cache(place: Place) -> None:
    place.backend.script = [Launch(AmbiguousError("cut"), makes=True)]
    place.up()
    assert place.mounted() == [("v1", "/weights")] and list(place.volumes) == ["v1"]


@pytest.mark.parametrize("call", ["list_caches", "create_cache", "create"])
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_anywhere_leaves_one_cache_after_up_and_none_after_destroy(
    place: Place, call: str, after: bool
) -> None:
    def kill(what: str) -> None:
        if what == call:
            raise Killed

    place.new_run(**{"after" if after else "before": kill})
    with pytest.raises(Killed):
        place.up()
    place.new_run()
    place.up()
    assert len(place.volumes) == 1 and len(place.backend.living()) == 1
    place.cloud.delete(place.backend.living()[0].id)
    place.end(small=False)
    assert place.volumes == {}


def test_an_up_after_a_killed_destroy_mounts_no_cache_that_is_about_to_end(place: Place) -> None:
    def kill(what: str) -> None:
        if what == "delete_cache":
            raise Killed

    place.up()
    place.cloud.delete(place.backend.living()[0].id)
    place.new_run(before=kill)
    with pytest.raises(Killed):
        place.end(small=False)
    place.new_run()
    began = place.clock.monotonic()
    place.up()
    assert place.clock.monotonic() - began >= SETTLE_S


FAULTS = st.sampled_from(
    [
        ("cache", AmbiguousError("cut"), 0.0),
        ("cache", AmbiguousError("cut"), 30.0),
        ("cache", AmbiguousError("cut"), None),
        ("cache", ValidationError("no disks here", status=400), None),
        ("node", CapacityError("none"), None),
        ("node", AmbiguousError("cut"), 20.0),
        ("node", AmbiguousError("cut"), None),
        ("delete", ConflictError("in use"), None),
    ]
)


@settings(max_examples=150)
@given(
    faults=st.lists(FAULTS, max_size=5),
    kills=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=3),
)
def test_whatever_happens_no_cache_is_lost(
    faults: list[tuple[str, GpuCloudError, float | None]], kills: list[tuple[int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        appear: dict[str, float] = {}
        of = {
            kind: [(error, after) for k, error, after in faults if k == kind]
            for kind in ("cache", "node", "delete")
        }
        place.backend.script = [
            Launch(error, makes=after is not None, effect_after=after or 0.0) for error, after in of["node"]
        ]
        waiting: tuple[list[tuple[GpuCloudError | None, float | None]], list[GpuCloudError]]
        waiting = [*of["cache"]], [error for error, _ in of["delete"]]
        for kill in [*kills, None]:
            left = [kill[0] if kill else 10**9]

            def count(what: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] == 0:
                    raise Killed

            place.new_run(**{"after" if kill and kill[1] else "before": count})
            place.cloud.appear, place.cloud.faults, place.cloud.delete_faults = appear, *waiting
            for node in ("n0", "n1"):
                for _ in range(8):
                    try:
                        place.up(node, HERE, THERE)
                        break
                    except ProvisioningError:
                        place.new_run(**{"after" if kill and kill[1] else "before": count})
                        place.cloud.appear, place.cloud.faults, place.cloud.delete_faults = appear, *waiting
                    except Killed:
                        break
        place.clock.sleep(60)
        assert place.backend.calls and len(place.backend.living()) == 2
        mounted = [volume_id for volume_id, _ in place.mounted()]
        assert len(mounted) == 2 and set(mounted) <= set(place.volumes)
        names = [volume.name for volume in place.volumes.values()]
        assert len(names) == len(set(names)), "one for each place"
        for living in place.backend.living():
            place.cloud.delete(living.id)
        place.end(small=False)
        assert place.volumes == {}


def test_the_end_spares_what_is_kept_and_what_is_not_ours(place: Place) -> None:
    other = CacheVolume("x", "somebody-elses", "runpod", "EU-RO-1", 10)
    of_stack = CacheVolume(
        "y", cache_name("p", "other123", "cache-small", "runpod", "EU-RO-1"), "runpod", "EU-RO-1"
    )
    gone = CacheVolume("z", cache_name("p", STACK, "cache-gone", "runpod", "EU-RO-1"), "runpod", "EU-RO-1")
    kept = CacheVolume("k", cache_name("p", STACK, "cache-big", "runpod", "EU-RO-1"), "runpod", "EU-RO-1")
    for volume in (other, of_stack, gone, kept):
        place.volumes[volume.id] = volume
    place.up()
    place.cloud.delete(place.backend.living()[0].id)
    ended, stayed = place.end(small=False, big=True)
    assert {v.id for v in ended} == {"z", "v1"} and stayed == [kept]
    assert set(place.volumes) == {"x", "y", "k"}


def test_a_cache_that_counts_as_in_use_for_a_while_is_asked_again(place: Place) -> None:
    place.volumes["v1"] = CacheVolume("v1", NAME, "runpod", "EU-RO-1", 200)
    place.cloud.delete_faults = [ConflictError("in use"), ValidationError("in use", status=400)]
    place.end(small=False)
    assert place.volumes == {}


def test_a_cache_that_does_not_end_is_named(place: Place) -> None:
    place.up()
    with pytest.raises(DeadlineError, match=rf"v1 \({NAME}\) .* network volume is in use; it costs money"):
        place.end(small=False)


def test_a_key_that_may_not_list_disks_has_made_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(prefix: str) -> list[CacheVolume]:
        raise PermissionRefusedError("access denied")

    monkeypatch.setattr(place.cloud, "list_caches", refuse)
    assert place.end() == ([], [])
    with pytest.raises(PermissionRefusedError):
        place.end(small=False)


def test_a_cache_needs_one_place_and_a_cloud_that_has_them(place: Place) -> None:
    with pytest.raises(GpuCloudError, match="a weights cache lives in one place"):
        place.up("n0", replace(HERE, region="eu-central"))
    place.cloud = FakeCloud(place.backend, "main")  # type: ignore[assignment]  # one without caches
    with pytest.raises(GpuCloudError, match="runpod has no weights cache"):
        place.up()


def test_the_cache_is_part_of_what_a_node_is_but_its_size_is_not() -> None:
    def spec8(cache: CacheRequest | None) -> str:
        return request("n0", HERE, cache=cache).spec8(HERE, frozenset())

    assert spec8(CACHE) == spec8(replace(CACHE, size_gb=400))
    different: list[CacheRequest | None] = [
        None,
        CACHE,
        replace(CACHE, path="/m"),
        replace(CACHE, name="cache-b"),
    ]
    assert len({spec8(cache) for cache in different}) == 4


def test_orphans() -> None:
    def volume(number: str, name: str, region: str = "EU-RO-1") -> tuple[str, CacheVolume]:
        full = cache_name("p", STACK, slug(name), "runpod", region)
        return "main", CacheVolume(number, full, "runpod", region)

    found = [volume("b", "small"), volume("a", "small"), volume("c", "small", "EU-CZ-1"), volume("d", "old")]
    told = {(o.volume.id, o.reason) for o in orphans(found, ["cache-small"])}
    assert told == {("b", "exists twice"), ("d", "not declared")}


PRICE: Callable[[int], float] = CachePrice(((1000, 0.07), (None, 0.05)), date(2026, 11, 21), "x").monthly_usd


@pytest.mark.parametrize(
    ("size", "usd"), [(10, 0.7), (200, 14.0), (1000, 70.0), (1001, 70.05), (4096, 224.8)]
)
def test_what_a_cache_costs(size: int, usd: float) -> None:
    assert PRICE(size) == usd


@given(st.integers(10, 4095))
def test_a_larger_cache_never_costs_less(size: int) -> None:
    assert PRICE(size) < PRICE(size + 1)
