"""RunPod as a `GpuCloud`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx

from gpu_clouds import catalog, errors
from gpu_clouds.billing import Charge
from gpu_clouds.clock import utc_now
from gpu_clouds.cloud import Capabilities
from gpu_clouds.connection import Connection
from gpu_clouds.models import (
    AccountStatus,
    Availability,
    CacheVolume,
    Candidate,
    CapacityType,
    Instance,
    InstanceSpec,
    InstanceTemplate,
    LogLine,
    Offer,
)
from gpu_clouds.runpod import GRAPHQL, INFO, billing
from gpu_clouds.runpod.client import RunPodClient
from gpu_clouds.runpod.graphql_pods import GraphqlPods
from gpu_clouds.runpod.instances import PROXY, gone, instance
from gpu_clouds.runpod.launch_bodies import environment, graphql_body
from gpu_clouds.runpod.models import GpuType, NetworkVolume, Pod
from gpu_clouds.single_flight import SingleFlight

_CATALOGUE_KEPT_S = 30.0
_SMALLEST_VOLUME_GB = 10
_LOG_RECONNECTS = 3
_LONGEST_TAIL = 5000


@dataclass(frozen=True, slots=True)
class _Catalogue:
    by_id: dict[str, GpuType]
    as_of: datetime


class RunPodCloud:
    """One RunPod account.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._credentials = connection.credentials
        self._clock = connection.clock
        self._cancel = connection.cancel
        self._proxy = connection.credentials.proxy_template or PROXY
        self._client = RunPodClient(connection, transport)
        self._capabilities = INFO.with_features(self._credentials.features)
        self._old_api = GraphqlPods(connection, transport) if GRAPHQL in self._credentials.features else None
        self._catalogues: SingleFlight[_Catalogue] = SingleFlight(_CATALOGUE_KEPT_S, connection.clock)
        self._exact_ids: dict[str, str] = {}

    @property
    def name(self) -> str:
        """`runpod`."""
        return INFO.name

    @property
    def credentials(self) -> str:
        """Name of the credential set."""
        return self._credentials.name

    @property
    def capabilities(self) -> Capabilities:
        """What RunPod can do with this credential set."""
        return self._capabilities

    def account(self) -> AccountStatus:
        """Reads the list of pods, the one thing that a key must be allowed to; the old API tells more."""
        pods = len(self._client.list_pods())
        return AccountStatus(machines_in_use=pods) if self._old_api is None else self._old_api.account(pods)

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        """Price and availability from the catalogue, at most 30 s old, one call for each GPU count."""
        found = (self._offer(candidate) for candidate in candidates)
        return [offer for offer in found if offer is not None]

    def create(self, spec: InstanceSpec) -> Instance:
        """Sends one launch call; a spot node, and one that RunPod shall end by itself, through GraphQL."""
        spot = spec.candidate.capacity is CapacityType.SPOT
        if self._old_api is not None and (spot or spec.expires_at is not None):
            native = self._exact_id(self._checked(spec.candidate, spec.template))
            return self._old_api.launch(
                spec, native, lambda center: graphql_body(spec, native, center), self._centers(spec)
            )
        body = self._body(spec)
        return self._instance(self._client.create_pod(body, _secrets(spec.template)))

    def get(self, instance_id: str) -> Instance:
        """The pod as it is now; GONE where RunPod knows no such id."""
        try:
            return self._instance(self._client.get_pod(instance_id))
        except errors.NotFoundError:
            return gone(instance_id)

    def list(self, name_prefix: str) -> list[Instance]:
        """Pods whose name starts with the prefix; RunPod can not filter, so all are read."""
        return [self._instance(pod) for pod in self._client.list_pods() if pod.name.startswith(name_prefix)]

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        """Sets image, env, ports, args and disk; a running pod is reset and loses its container disk."""
        template = spec.template
        body: dict[str, object] = {
            "env": environment(template),
            "ports": list(template.ports),
            "args": template.args,
            "disk": template.disk_gb,
        }
        if template.image:
            body["image"] = template.image
        return self._instance(self._client.update_pod(instance_id, body, _secrets(template)))

    def delete(self, instance_id: str) -> None:
        """Asks for the end of the pod; absent is success."""
        try:
            self._client.delete_pod(instance_id)
        except errors.NotFoundError:
            return

    def list_caches(self, name_prefix: str) -> Sequence[CacheVolume]:
        """Network volumes whose name starts with the prefix."""
        volumes = self._client.list_network_volumes()
        return [_cache(volume) for volume in volumes if volume.name.startswith(name_prefix)]

    def create_cache(self, name: str, region: str, size_gb: int) -> CacheVolume:
        """Makes a network volume of 10 to 4096 GB."""
        return _cache(self._client.create_network_volume(name, size_gb, region))

    def delete_cache(self, cache_id: str) -> None:
        """Ends a network volume; absent is success."""
        try:
            self._client.delete_network_volume(cache_id)
        except errors.NotFoundError:
            return

    def stop(self, instance_id: str) -> None:
        """Stops the pod and gives its GPUs back; its volume goes on costing, at twice the price."""
        self._client.act(instance_id, "stop")

    def start(self, instance_id: str) -> None:
        """Starts a stopped pod, if its machine has GPUs free.

        Raises:
            CapacityError: None are free, or the pod came back without any.
        """
        pod = self._client.act(instance_id, "start")
        if pod is not None and pod.gpu is not None and pod.gpu.count == 0:
            raise errors.CapacityError(
                f"RunPod, credential set {self.credentials!r}: pod {instance_id} started without a GPU",
                cloud=self.name,
            )

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        """Streams the log; a lost connection is resumed after the last line seen, three times in a row."""
        lost = 0
        while not self._cancel.is_set():
            try:
                for event in self._client.pod_events(
                    instance_id, tail=min(max(tail, 0), _LONGEST_TAIL), cursor=cursor
                ):
                    cursor, lost = event.id or cursor, 0
                    yield _log_line(event.id, event.data)
            except errors.TransientError:
                lost += 1
                if lost > _LOG_RECONNECTS:
                    raise
                self._clock.sleep(float(lost), self._cancel)
            else:
                return

    @property
    def bill(self) -> str:
        """`RunPod billing`."""
        return "RunPod billing"

    def charges(
        self, begin: datetime, end: datetime | None, now: datetime, nodes: Collection[str]
    ) -> Sequence[Charge]:
        """What every pod of the account was billed in a span of time, whichever are asked for."""
        return list(billing.charges(self._client, begin, end, now))

    def close(self) -> None:
        """Gives connections back."""
        self._client.close()
        if self._old_api is not None:
            self._old_api.close()

    def _instance(self, pod: Pod) -> Instance:
        return instance(pod, self._proxy)

    def _body(self, spec: InstanceSpec) -> dict[str, object]:
        candidate, template = spec.candidate, spec.template
        native = self._checked(candidate, template)
        body: dict[str, object] = {
            "name": spec.name,
            # Without a count every create fails, with a text that says there are no instances.
            "gpu": {"id": self._exact_id(native), "count": candidate.gpu_count},
            "cloud": "SECURE",
            "disk": template.disk_gb,
        }
        if template.image:
            body["image"] = template.image
        if template.template_id:
            body["templateId"] = template.template_id
        if centers := self._centers(spec):
            body["dataCenterIds"] = list(centers)
        if spec.cache is not None:
            body["mounts"] = {"network": [{"volumeId": spec.cache.volume.id, "path": spec.cache.path}]}
        elif template.volume_gb:
            body["mounts"] = {"persistent": {"size": template.volume_gb, "path": template.volume_path}}
        if template.ports:
            body["ports"] = list(template.ports)
        if env := environment(template):
            body["env"] = env
        if template.args:
            body["args"] = template.args
        return body

    def _checked(self, candidate: Candidate, template: InstanceTemplate) -> str:
        """RunPod's id of the GPU, when RunPod can do what is asked."""
        problem = ""
        native = catalog.native_gpu(self.name, candidate.gpu)
        spot = candidate.capacity is CapacityType.SPOT and self._capabilities.spot
        if candidate.capacity is not CapacityType.ON_DEMAND and not spot:
            problem = f"capacity {candidate.capacity} is not to be had through REST v2; use on_demand"
        elif native is None:
            problem = f"no GPU {candidate.gpu}; it has: {', '.join(catalog.native_gpus(self.name))}"
        elif candidate.gpu_count < 1:
            problem = f"gpuCount is at least 1, not {candidate.gpu_count}"
        elif not template.image and not template.template_id:
            problem = "a pod needs an image or a template id"
        elif template.startup:
            problem = "a pod is a container and runs no startup script; put it into the image or args"
        elif 0 < template.volume_gb < _SMALLEST_VOLUME_GB:
            problem = f"a volume has at least {_SMALLEST_VOLUME_GB} GB, not {template.volume_gb}"
        if problem or native is None:
            raise errors.ValidationError(f"RunPod: {problem}", cloud=self.name)
        return native

    def _offer(self, candidate: Candidate) -> Offer | None:
        native = catalog.native_gpu(self.name, candidate.gpu)
        if candidate.cloud != self.name or native is None:
            return None
        if candidate.capacity is CapacityType.SPOT and self._old_api is not None:
            centers = catalog.resolve_region(self.name, candidate.region)
            return self._old_api.spot_offer(candidate, self._exact_id(native), centers)
        if candidate.capacity is not CapacityType.ON_DEMAND:
            return None
        catalogue = self._catalogue(candidate.gpu_count)
        found = catalogue.by_id.get(native)
        if found is None or found.secure is False or found.price is None or found.price.secure is None:
            return None
        most = found.max_count.secure if found.max_count is not None else None
        if most is not None and candidate.gpu_count > most:
            return None
        return Offer(
            candidate=candidate,
            hourly_usd=round(found.price.secure * candidate.gpu_count, 6),
            availability=_availability(found, catalog.resolve_region(self.name, candidate.region)),
            source="runpod catalogue",
            as_of=catalogue.as_of,
        )

    def _centers(self, spec: InstanceSpec) -> tuple[str, ...]:
        """Where the pod may go: to its cache where it has one; empty for anywhere."""
        if spec.cache is not None:
            return (spec.cache.volume.region,)
        return catalog.places(self.name, spec.candidate.region, spec.avoid_regions)

    def _exact_id(self, native: str) -> str:
        """The id as the catalogue spells it, where that has been read."""
        return self._exact_ids.get(native, native)

    def _catalogue(self, count: int) -> _Catalogue:
        def fetch() -> _Catalogue:
            by_id = {}
            for gpu in self._client.list_gpu_types(count=count):
                # Some ids are published with double spaces. The table has single ones; a launch sends what
                # was read.
                single = " ".join(gpu.id.split())
                by_id[single] = gpu
                self._exact_ids[single] = gpu.id
            return _Catalogue(by_id, utc_now())

        return self._catalogues.get(count, fetch)


def _cache(volume: NetworkVolume) -> CacheVolume:
    return CacheVolume(volume.id, volume.name, INFO.name, volume.data_center, volume.size)


def connect(connection: Connection) -> RunPodCloud:
    """Opens RunPod; called by the registry."""
    return RunPodCloud(connection)


def _secrets(template: InstanceTemplate) -> tuple[str, ...]:
    return tuple(template.env.values())


_LEVELS = {
    "NONE": Availability.NONE,
    "LOW": Availability.LOW,
    "MEDIUM": Availability.MEDIUM,
    "HIGH": Availability.HIGH,
}
_ORDER = [
    Availability.NONE,
    Availability.UNKNOWN,
    Availability.LOW,
    Availability.MEDIUM,
    Availability.HIGH,
]


def _availability(gpu: GpuType, centers: Sequence[str]) -> Availability:
    """The best of the data centres asked for; of all where none were."""
    if not centers or gpu.data_centers is None:
        return _LEVELS.get(gpu.availability, Availability.UNKNOWN)
    wanted = set(centers)
    levels = [
        _LEVELS.get(center.availability, Availability.UNKNOWN)
        for center in gpu.data_centers
        if center.id in wanted
    ]
    return max(levels, key=_ORDER.index, default=Availability.NONE)


def _log_line(cursor: str, data: str) -> LogLine:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return LogLine(cursor, "", "", data)
    return LogLine(
        cursor,
        str(found.get("ts") or ""),
        str(found.get("source") or ""),
        str(found.get("line") or ""),
    )
