"""What clusters there are: the server's list, the clouds' own word, and the requests that are at work.

No one of them is enough. The list shows dead clusters as UP until somebody asks their cloud (FORCE); FORCE
waits for a launch that is on its way; and a cluster whose launch was cut short by a kill looks like one that
is being launched, or, once its machine runs, like one that is up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gpu_clouds.errors import GpuCloudError
from gpu_clouds.models import Endpoint, Instance, InstanceState
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import ApiError, RequestFailedError
from gpu_clouds.skypilot.instances import (
    DOWN,
    LAUNCH,
    START,
    STOP,
    Cluster,
    Failure,
    endpoints_of,
    infra_of_record,
    instance,
    is_ours,
    is_spot,
    ports_of,
    state_of,
)
from gpu_clouds.skypilot.launches import Launches
from gpu_clouds.skypilot.models import ClusterRecord, Refresh
from gpu_clouds.skypilot.prices import Prices
from gpu_clouds.skypilot.task import JOB_LABEL, PORTS_LABEL

FORCE_TIMEOUT_S = 120.0
"""FORCE calls the cloud of each cluster, and waits up to 20 s for one that is being changed (0.14.1)."""
_CHANGES = frozenset({LAUNCH, START, DOWN, STOP})
_CUT_SHORT = Failure("its launch was cut short before its job began")
_NOT_SET_UP = "ClusterNotUpError"
"""The error of a queue that nobody has set up: the cluster was found up a moment before."""
Working = dict[str, set[str]]


@dataclass(slots=True)
class _Known:
    """What is true of a cluster for as long as it lives; keyed by name and hash."""

    complete: set[tuple[str, str]] = field(default_factory=set)
    endpoints: dict[tuple[str, str], tuple[Endpoint, ...]] = field(default_factory=dict)


class Survey:
    """Looks at the clusters of one server.

    Args:
        client: The server.
        server: `server_id` of it.
        launches: Launches of this process.
        prices: Its prices.
        cancel: Once set nothing is launched again.
    """

    def __init__(
        self,
        client: SkyPilotClient,
        server: str,
        launches: Launches,
        prices: Prices,
        cancel: threading.Event,
    ) -> None:
        self._client = client
        self._server = server
        self._launches = launches
        self._prices = prices
        self._cancel = cancel
        self._known = _Known()
        self._resolving = threading.Lock()

    def ours(self, prefix: str) -> list[Instance]:
        """Every cluster whose name starts with the prefix and whose label repeats it."""
        return [
            instance(name, self._server, seen)
            for name, seen in sorted(self.all(prefix).items())
            if seen.record is None or is_ours(seen.record)
        ]

    def all(self, prefix: str) -> dict[str, Cluster]:
        """Every cluster whose name starts with the prefix, whoever's it is."""
        return self._look(lambda name: name.startswith(prefix), None)

    def one(self, name: str) -> Cluster:
        """One cluster, whoever's it is."""
        return self._look(lambda each: each == name, [name]).get(name, Cluster(None))

    def working(self, wanted: Callable[[str], bool]) -> Working:
        """Clusters that requests are at work on, and the names of those requests."""
        found: Working = {}
        for request in self._client.requests():
            if request.name in _CHANGES and wanted(request.cluster_name) and not request.status.ended:
                found.setdefault(request.cluster_name, set()).add(request.name)
        return found

    def _look(self, wanted: Callable[[str], bool], names: Sequence[str] | None) -> dict[str, Cluster]:
        # In this order: a launch that ends in between is seen as still open, which the next look corrects.
        working = self.working(wanted)
        listed = [each for each in self._client.status(names, refresh=Refresh.NONE) if wanted(each.name)]
        records = {each.name: each for each in listed if each.name in working}
        quiet = [each.name for each in listed if each.name not in working]
        truth = self._client.status(quiet, refresh=Refresh.FORCE, timeout_s=FORCE_TIMEOUT_S) if quiet else []
        records |= {each.name: each for each in truth if each.name in quiet}
        if any(each.status == "INIT" for each in truth):
            for name, requests in self.working(wanted).items():
                working.setdefault(name, set()).update(requests)
        failures = self._failures(wanted, working, records)
        return {
            name: self._cluster(records.get(name), frozenset(working.get(name, ())), failures.get(name))
            for name in {*records, *working, *failures}
        }

    def _failures(
        self, wanted: Callable[[str], bool], working: Working, records: Mapping[str, ClusterRecord]
    ) -> dict[str, Failure]:
        """Why clusters will not get ready; sends launches again that a restart has swallowed."""
        failures: dict[str, Failure] = {}
        with self._resolving:
            lost = set()
            for name in filter(wanted, self._launches.names()):
                if name in working:
                    continue
                progress = self._launches.look(name)
                if progress is None:
                    self._complete(records.get(name))
                elif progress.open:
                    working.setdefault(name, set()).add(LAUNCH)
                elif progress.failure is not None:
                    failures[name] = progress.failure
                else:
                    lost.add(name)
            for name, record in records.items():
                if name not in working and name not in failures and self._is_cut_short(record, name in lost):
                    failures[name] = _CUT_SHORT
            for name in lost:
                whole = name in records and records[name].status == "UP" and name not in failures
                if whole:
                    self._launches.forget(name)
                elif not self._cancel.is_set() and self._launches.send_again(name):
                    failures.pop(name, None)
                    working.setdefault(name, set()).add(LAUNCH)
        return failures

    def _complete(self, record: ClusterRecord | None) -> None:
        if record is not None:
            self._known.complete.add((record.name, record.cluster_hash))

    def _is_cut_short(self, record: ClusterRecord, lost: bool) -> bool:
        """Whether the launch of a cluster has died on its way although FORCE calls it UP (measured).

        A launch that this process saw end well is whole. Of others the queue tells; that is asked once. Only
        a clear answer counts: a cluster that is taken for cut short is ended and made anew.
        """
        key = (record.name, record.cluster_hash)
        if record.status != "UP" or (key in self._known.complete and not lost):
            return False
        try:
            jobs = self._client.queue(record.name)
        except RequestFailedError as error:
            return error.error_code == _NOT_SET_UP
        if jobs or JOB_LABEL not in record.labels:
            self._known.complete.add(key)
            return False
        return True

    def _cluster(
        self, record: ClusterRecord | None, working: frozenset[str], failure: Failure | None
    ) -> Cluster:
        if record is None:
            return Cluster(None, working, failure)
        bare = Cluster(record, working, failure)
        ready = state_of(bare)[0] is InstanceState.READY
        return Cluster(
            record, working, failure, self._price(record), self._endpoints(record) if ready else ()
        )

    def _price(self, record: ClusterRecord) -> float | None:
        for name, count in record.accelerators.items():
            try:
                return self._prices.hourly_usd(
                    infra_of_record(record), name, count, spot=is_spot(record), nodes=record.nodes or 1
                )
            except (ApiError, GpuCloudError):
                return None  # what a cluster costs is worth less than whether it lives
        return None

    def _endpoints(self, record: ClusterRecord) -> tuple[Endpoint, ...]:
        protocols = ports_of(record, PORTS_LABEL)
        key = (record.name, record.cluster_hash)
        if not protocols or key in self._known.endpoints:
            return self._known.endpoints.get(key, ())
        try:
            found = endpoints_of(self._client.endpoints(record.name), protocols)
        except RequestFailedError:
            return ()  # not there yet, or not on this cloud
        if found:
            self._known.endpoints[key] = found
        return found
