"""Lambda as a `GpuCloud`."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx

from gpu_clouds import catalog, errors
from gpu_clouds.clock import utc_now
from gpu_clouds.cloud import Capabilities, Note
from gpu_clouds.connection import Connection
from gpu_clouds.lambda_cloud import INFO
from gpu_clouds.lambda_cloud.client import LambdaClient
from gpu_clouds.lambda_cloud.errors import SoldOutHereError
from gpu_clouds.lambda_cloud.instances import gone, instance, tags
from gpu_clouds.lambda_cloud.models import FileSystem, InstanceTypeItem, Machine, Tag
from gpu_clouds.lambda_cloud.ssh_key import checked_public_key
from gpu_clouds.lambda_cloud.stack_objects import StackObjects
from gpu_clouds.lambda_cloud.types import type_names
from gpu_clouds.lambda_cloud.user_data import ports_of, user_data
from gpu_clouds.marker import Marker
from gpu_clouds.models import (
    AccountStatus,
    Availability,
    CacheVolume,
    Candidate,
    CapacityType,
    Instance,
    InstanceSpec,
    InstanceState,
    InstanceTemplate,
    LogLine,
    Offer,
)
from gpu_clouds.single_flight import SingleFlight

_TYPES_KEPT_S = 30.0
_LAG_S = 30.0
"""For so long after its launch an instance may be missing, or be shown without its name."""
_REFUSED_FOR_S = 60.0
"""A type that was refused in a region is tried there last for so long."""
_IMAGE_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class _Types:
    by_name: dict[str, InstanceTypeItem]
    as_of: datetime


@dataclass(frozen=True, slots=True)
class _Launch:
    at: float
    machine: Machine


class LambdaCloud:
    """One Lambda account.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.

    Raises:
        ValidationError: An allowed source is no IPv4 network.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._credentials = connection.credentials
        self._clock = connection.clock
        self._proxy = connection.credentials.proxy_template
        self._client = LambdaClient(connection, transport)
        sources = _networks(connection.credentials.allowed_sources)
        self._objects = StackObjects(self._client, connection.state_dir, sources)
        self._types: SingleFlight[_Types] = SingleFlight(_TYPES_KEPT_S, connection.clock)
        self._lock = threading.Lock()
        self._launched: dict[str, _Launch] = {}
        self._refused: dict[tuple[str, str], float] = {}

    @property
    def name(self) -> str:
        """`lambda`."""
        return INFO.name

    @property
    def credentials(self) -> str:
        """Name of the credential set."""
        return self._credentials.name

    @property
    def capabilities(self) -> Capabilities:
        """What Lambda can do."""
        return INFO.capabilities

    def account(self) -> AccountStatus:
        """Reads the list of instances; the API shows neither balance nor quota."""
        ended = (InstanceState.GONE, InstanceState.DELETING)
        living = [one for one in map(self._instance, self._client.list_instances()) if one.state not in ended]
        return AccountStatus(machines_in_use=len(living))

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        """Price and availability from the list of types, at most 30 s old, one call for all candidates."""
        found = (self._offer(candidate) for candidate in candidates)
        return [offer for offer in found if offer is not None]

    def prepare(self, spec: InstanceSpec, note: Note) -> None:
        """Looks for a free machine, registers key and ruleset, and waits for the account's turn to launch.

        Raises:
            CapacityError: Nothing is listed as free; no turn was waited for.
        """
        marker = Marker.parse(spec.name)
        _, region = self._free_places(spec)[0]
        self._objects.key_name(marker, spec.template, note)
        self._objects.ruleset_id(marker, region, (port for port, _ in ports_of(spec.template)), note)
        self._client.wait_turn()

    def create(self, spec: InstanceSpec) -> Instance:
        """Launches in one region: the first that is listed as free and was not sold out a moment ago.

        Where no region lists the type as free nothing is sent.

        Raises:
            CapacityError: Sold out there; `elsewhere` where another region is left to try.
        """
        marker = Marker.parse(spec.name)
        ports = ports_of(spec.template)
        keys = [checked_public_key(key) for key in spec.template.ssh_public_keys]
        places = self._free_places(spec)
        body: dict[str, object] = {
            "ssh_key_names": [self._objects.key_name(marker, spec.template)],
            "name": spec.name,
            "tags": tags(spec.name, ports),
        }
        if marker is not None:
            body["hostname"] = marker.node
        if spec.cache is not None:
            body["file_system_names"] = [spec.cache.volume.name]
        if data := user_data(spec.template, keys[1:], spec.cache):
            body["user_data"] = data
        if image := spec.template.template_id:
            body["image"] = {"id": image} if _IMAGE_ID.fullmatch(image) else {"family": image}
        item, region = places[0]
        body |= {"region_name": region, "instance_type_name": item.instance_type.name}
        if ruleset := self._objects.ruleset_id(marker, region, (port for port, _ in ports)):
            body["firewall_rulesets"] = [{"id": ruleset}]
        try:
            made = self._client.launch(body, _secrets(spec.template))
        except errors.CapacityError as error:
            self._note_refusal(item.instance_type.name, region)
            if not any(self._is_untried(place) for place in places[1:]):
                raise
            raise SoldOutHereError(error.message, cloud=self.name, status=error.status) from error
        except errors.ValidationError:
            self._objects.forget()  # a key or a ruleset may have been deleted by somebody else
            raise
        return self._remember(made, item, region, body)

    def get(self, instance_id: str) -> Instance:
        """The instance as it is now; GONE where Lambda knows no such id, unless it was launched just now."""
        try:
            return self._instance(self._client.get_instance(instance_id))
        except errors.NotFoundError:
            launch = self._launch_of(instance_id)
            return gone(instance_id) if launch is None else instance(launch.machine, self._proxy)

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        """Gives the instance the name of the specification; nothing else can be changed in place."""
        return self._instance(self._client.rename(instance_id, spec.name))

    def list_caches(self, name_prefix: str) -> Sequence[CacheVolume]:
        """File systems whose name starts with the prefix."""
        return [_cache(one) for one in self._client.file_systems() if one.name.startswith(name_prefix)]

    def create_cache(self, name: str, region: str, size_gb: int) -> CacheVolume:
        """Makes a file system; it has no size and grows with what is on it."""
        return _cache(self._client.create_file_system(name, region))

    def delete_cache(self, cache_id: str) -> None:
        """Ends a file system; absent is success.

        Raises:
            ConflictError: It is in use, or was a moment ago.
        """
        try:
            self._client.delete_file_system(cache_id)
        except errors.NotFoundError:
            return

    def delete(self, instance_id: str) -> None:
        """Asks for the end of the instance. Absent, and ending already, is success.

        Raises:
            TransientError: Launched just now, and not shown yet.
        """
        try:
            self._client.terminate(instance_id)
        except errors.NotFoundError:
            if self._launch_of(instance_id) is not None:
                raise errors.TransientError(
                    f"Lambda, credential set {self.credentials!r}: instance {instance_id} was launched just "
                    "now and is not shown yet",
                    cloud=self.name,
                ) from None
        except errors.ConflictError:
            if self.get(instance_id).state not in (InstanceState.DELETING, InstanceState.GONE):
                raise
        with self._lock:
            self._launched.pop(instance_id, None)

    def delete_stack_objects(self, owner: str, stack_id: str) -> None:
        """Deletes the stack's SSH keys and firewall rulesets, and its key pair on this machine."""
        self._objects.delete(owner, stack_id)

    def stop(self, instance_id: str) -> None:
        """Lambda can not."""
        raise self._refusal("an instance can not be stopped, only ended")

    def start(self, instance_id: str) -> None:
        """Lambda can not."""
        raise self._refusal("an instance can not be stopped, so it can not be started")

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        """Lambda shows none."""
        raise self._refusal(
            "the API shows no log; on the machine `sudo docker logs gpuplane` and /var/log/gpuplane.log "
            "tell more"
        )

    def list(self, name_prefix: str) -> list[Instance]:
        """Instances whose name or marker tag starts with the prefix; Lambda can not filter."""
        found = map(self._instance, self._client.list_instances())
        return [one for one in found if one.name.startswith(name_prefix)]

    def close(self) -> None:
        """Gives connections back."""
        self._client.close()

    # Which machine, where

    def _free_places(self, spec: InstanceSpec) -> Sequence[tuple[InstanceTypeItem, str]]:
        """Type and region pairs to try, at least one."""
        if places := self._places(spec.candidate, spec.avoid_regions):
            return places
        where = f" in {spec.candidate.region}" if spec.candidate.region else ""
        raise errors.CapacityError(
            f"Lambda, credential set {self.credentials!r}: no {spec.candidate.gpu} "
            f"x{spec.candidate.gpu_count} is free{where}; nothing was sent",
            cloud=self.name,
        )

    def _places(
        self, candidate: Candidate, avoid: Collection[str] = ()
    ) -> Sequence[tuple[InstanceTypeItem, str]]:
        """Type and region pairs that are listed as free, those refused a moment ago last."""
        names = self._type_names(candidate)
        sold = self._catalogue().by_name
        if not any(name in sold for name in names):
            raise self._refusal(
                f"no type with {candidate.gpu_count} {candidate.gpu}; there is: {', '.join(sorted(sold))}"
            )
        wanted = catalog.places(self.name, candidate.region, avoid)
        places = [
            (sold[name], region)
            for name in names
            if name in sold
            for region in _in_order(_regions(sold[name]), wanted)
        ]
        places.sort(key=lambda place: not self._is_untried(place))
        return places

    def _is_untried(self, place: tuple[InstanceTypeItem, str]) -> bool:
        """Whether nobody of this process was refused there a moment ago."""
        with self._lock:
            at = self._refused.get((place[0].instance_type.name, place[1]))
        return at is None or self._clock.monotonic() - at >= _REFUSED_FOR_S

    def _type_names(self, candidate: Candidate) -> tuple[str, ...]:
        if candidate.capacity is not CapacityType.ON_DEMAND:
            raise self._refusal(f"capacity {candidate.capacity} is not to be had; use on_demand")
        if catalog.native_gpu(self.name, candidate.gpu) is None:
            known = ", ".join(catalog.native_gpus(self.name))
            raise self._refusal(f"no GPU {candidate.gpu}; it has: {known}")
        return type_names(candidate.gpu, candidate.gpu_count)

    def _offer(self, candidate: Candidate) -> Offer | None:
        if candidate.cloud != self.name or candidate.capacity is not CapacityType.ON_DEMAND:
            return None
        catalogue = self._catalogue()
        names = type_names(candidate.gpu, candidate.gpu_count)
        items = [catalogue.by_name[name] for name in names if name in catalogue.by_name]
        wanted = catalog.resolve_region(self.name, candidate.region)
        free = [item for item in items if _in_order(_regions(item), wanted)]
        if not items:
            return None
        cents = (free or items)[0].instance_type.price_cents_per_hour
        return Offer(
            candidate=candidate,
            hourly_usd=None if cents is None else cents / 100,
            # Lambda says yes or no, and a yes is sometimes refused all the same.
            availability=Availability.MEDIUM if free else Availability.NONE,
            source="lambda instance types",
            as_of=catalogue.as_of,
        )

    def _catalogue(self) -> _Types:
        return self._types.get("types", lambda: _Types(self._client.instance_types(), utc_now()))

    def _note_refusal(self, type_name: str, region: str) -> None:
        with self._lock:
            self._refused[type_name, region] = self._clock.monotonic()

    # What was launched just now

    def _remember(
        self, instance_id: str, item: InstanceTypeItem, region: str, body: dict[str, object]
    ) -> Instance:
        machine = Machine.model_validate(
            {
                "id": instance_id,
                "name": body["name"],
                "status": "booting",
                "tags": body["tags"],
                "region": {"name": region},
                "instance_type": item.instance_type,
            }
        )
        now = self._clock.monotonic()
        with self._lock:
            self._launched = {k: v for k, v in self._launched.items() if now - v.at < _LAG_S}
            self._launched[instance_id] = _Launch(now, machine)
        return instance(machine, self._proxy)

    def _launch_of(self, instance_id: str) -> _Launch | None:
        with self._lock:
            launch = self._launched.get(instance_id)
        return None if launch is None or self._clock.monotonic() - launch.at >= _LAG_S else launch

    def _instance(self, machine: Machine) -> Instance:
        """As Lambda shows it; name and tags from the launch where they are not shown yet."""
        if not machine.name or not machine.tags:
            launch = self._launch_of(machine.id)
            if launch is not None:
                known: dict[str, str | list[Tag]] = {
                    "name": machine.name or launch.machine.name,
                    "tags": machine.tags or launch.machine.tags,
                }
                machine = machine.model_copy(update=known)
        return instance(machine, self._proxy)

    def _refusal(self, problem: str) -> errors.ValidationError:
        return errors.ValidationError(f"Lambda: {problem}", cloud=self.name)


def _cache(file_system: FileSystem) -> CacheVolume:
    region = file_system.region.name if file_system.region else ""
    return CacheVolume(file_system.id, file_system.name, INFO.name, region)


def connect(connection: Connection) -> LambdaCloud:
    """Opens Lambda; called by the registry."""
    return LambdaCloud(connection)


def _secrets(template: InstanceTemplate) -> tuple[str, ...]:
    return (*template.env.values(), template.startup)


def _regions(item: InstanceTypeItem) -> list[str]:
    return [region.name for region in item.regions_with_capacity_available if region.name]


def _in_order(free: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The free regions among those wanted, in the order wanted; all where none are named."""
    return [region for region in wanted if region in free] if wanted else list(free)


def _networks(sources: Iterable[str]) -> list[str]:
    """IPv4 networks in their usual form.

    Raises:
        ValidationError: One is none.
    """
    try:
        return [str(ipaddress.IPv4Network(source)) for source in sources]
    except ValueError as error:
        raise errors.ValidationError(
            f"Lambda: allowedSources takes IPv4 networks such as 203.0.113.0/24: {error}", cloud="lambda"
        ) from None
