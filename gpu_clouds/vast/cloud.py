"""Vast.ai as a `GpuCloud`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import httpx

from gpu_clouds import catalog, errors
from gpu_clouds.clock import utc_now
from gpu_clouds.cloud import Capabilities, GpuCloud, Note, unnoted
from gpu_clouds.connection import Connection
from gpu_clouds.models import (
    AccountStatus,
    Availability,
    Candidate,
    CapacityType,
    Instance,
    InstanceSpec,
    InstanceTemplate,
    LogLine,
    Offer,
)
from gpu_clouds.single_flight import SingleFlight
from gpu_clouds.vast import INFO
from gpu_clouds.vast.client import VastClient
from gpu_clouds.vast.errors import LeftStoppedError, TakenError
from gpu_clouds.vast.instances import gone, instance
from gpu_clouds.vast.market import body, check, country, filters, in_order, refusal
from gpu_clouds.vast.models import Ask, Machine

_OFFERS_KEPT_S = 15.0
_TRIES = 3
_REFUSED_FOR_S = 60.0
"""An offer that was gone is left alone for so long."""
_DISK_GB = InstanceTemplate().disk_gb
"""Disk that offers are priced with, before anybody knows what will run."""


class VastCloud:
    """One account.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._credentials = connection.credentials
        self._proxy = connection.credentials.proxy_template
        self._client = VastClient(connection, transport)
        self._clock = connection.clock
        self._offers: SingleFlight[list[Ask]] = SingleFlight(_OFFERS_KEPT_S, connection.clock)
        self._found = threading.local()
        self._lock = threading.Lock()
        self._refused: dict[int, float] = {}

    @property
    def name(self) -> str:
        """`vast`."""
        return INFO.name

    @property
    def credentials(self) -> str:
        """Name of the credential set."""
        return self._credentials.name

    @property
    def capabilities(self) -> Capabilities:
        """What the cloud can do."""
        return INFO.capabilities

    def account(self) -> AccountStatus:
        """The credit that is left."""
        return AccountStatus(balance_usd=self._client.user().credit)

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        """The cheapest offer of each candidate, at most 15 s old."""
        found = (self._offer(candidate) for candidate in candidates)
        return [offer for offer in found if offer is not None]

    def prepare(self, spec: InstanceSpec, note: Note = unnoted) -> None:
        """Looks for offers, which `create` of this thread then takes the first of.

        Raises:
            CapacityError: There is none; nothing was sent.
        """
        self._found.places = (spec, self._places(spec))

    def create(self, spec: InstanceSpec) -> Instance:
        """Rents the cheapest offer that nobody was faster at a moment ago: one call, one offer.

        Raises:
            CapacityError: The offer is gone; `elsewhere` where another one is left to try.
            AmbiguousError: A bid was refused, and the stopped instance that this leaves could not be ended.
        """
        prepared, places = getattr(self._found, "places", (None, []))
        self._found.places = (None, [])
        if prepared is not spec:
            places = self._places(spec)
        (ask, price), *others = places
        try:
            made = self._client.rent(ask.id, body(spec, price), tuple(spec.template.env.values()))
        except errors.CapacityError as error:
            with self._lock:
                self._refused[ask.id] = self._clock.monotonic()
            if isinstance(error, LeftStoppedError):
                self._end_stopped(error)
            kind = TakenError if others else errors.CapacityError
            raise kind(error.message, cloud=self.name, status=error.status) from error
        return self._launched(made, spec, ask, price)

    def get(self, instance_id: str) -> Instance:
        """The node as it is now; GONE where the cloud knows no such id."""
        try:
            return instance(self._client.get_machine(instance_id), self._proxy)
        except errors.NotFoundError:
            return gone(instance_id)

    def list(self, name_prefix: str) -> list[Instance]:
        """Nodes whose label starts with the prefix."""
        machines = self._client.list_machines()
        return [instance(one, self._proxy) for one in machines if one.label.startswith(name_prefix)]

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        """Changes nothing in place: `capabilities.updatable` is empty."""
        raise refusal("nothing of a node can be changed in place")

    def delete(self, instance_id: str) -> None:
        """Ends the node; absent is success.

        Raises:
            ConflictError: Refused in the node's present state: ask again.
        """
        try:
            self._client.delete_machine(instance_id)
        except errors.NotFoundError:
            return
        except errors.ValidationError as error:
            # Nobody knows how a refusal for the node's state reads; no delete is wrong for good.
            raise errors.ConflictError(error.message, cloud=self.name, status=error.status) from error

    def stop(self, instance_id: str) -> None:
        """Refused."""
        raise refusal("a stopped node may never start again; delete it")

    def start(self, instance_id: str) -> None:
        """Refused."""
        raise refusal("a stopped node is not started again; delete it")

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        """Refused: the cloud shows no log as it comes."""
        raise refusal(f"no log of a node is streamed; its console shows it (instance {instance_id})")

    def close(self) -> None:
        """Gives connections back."""
        self._client.close()

    def _offer(self, candidate: Candidate) -> Offer | None:
        native = catalog.native_gpu(self.name, candidate.gpu)
        known = candidate.capacity in (CapacityType.ON_DEMAND, CapacityType.SPOT)
        if candidate.cloud != self.name or native is None or not known:
            return None
        wanted = filters(candidate, native, _DISK_GB)
        asks = self._offers.get(str(wanted), lambda: self._client.search(wanted))
        places = in_order(asks, candidate, frozenset())
        return Offer(
            candidate=candidate,
            hourly_usd=places[0][1] if places else None,
            # An offer may be taken by anybody at any moment.
            availability=Availability.MEDIUM if len(places) > 1 else _FEW[len(places)],
            source="vast offers",
            as_of=utc_now(),
        )

    def _places(self, spec: InstanceSpec) -> Sequence[tuple[Ask, float]]:
        """Offers to try with their prices, the first one first; at least one.

        Offers are taken by others all the time: after three that were, the candidate counts as sold out.
        """
        native = check(spec)
        asks = self._client.search(filters(spec.candidate, native, spec.template.disk_gb))
        places = in_order(asks, spec.candidate, spec.avoid_regions)
        cap = spec.max_hourly_usd
        cheap = [(ask, price) for ask, price in places if cap is None or price <= cap + 0.001]
        with self._lock:
            now = self._clock.monotonic()
            self._refused = {ask: at for ask, at in self._refused.items() if now - at < _REFUSED_FOR_S}
            left = [(ask, price) for ask, price in cheap if ask.id not in self._refused]
        left = left[: max(0, _TRIES - (len(cheap) - len(left)))]
        if not left:
            raise self._none_left(spec, places[0][1] if places and not cheap else None)
        return left

    def _launched(self, made: str, spec: InstanceSpec, ask: Ask, price: float) -> Instance:
        """What is known of an instance that no listing shows yet."""
        machine = Machine(
            id=int(made),
            label=spec.name,
            gpu_name=ask.gpu_name,
            num_gpus=ask.num_gpus,
            dph_total=price,
            geolocation=country(ask.geolocation),
            image_uuid=spec.template.image,
        )
        return instance(machine, self._proxy)

    def _end_stopped(self, error: LeftStoppedError) -> None:
        try:
            self.delete(error.contract)
        except errors.CancelledError:
            raise
        except errors.GpuCloudError as problem:
            raise errors.AmbiguousError(
                f"{error.message}; the stopped instance {error.contract} that this left could not be ended: "
                f"{problem.message}",
                cloud=self.name,
                status=error.status,
            ) from problem

    def _none_left(self, spec: InstanceSpec, cheapest: float | None) -> errors.GpuCloudError:
        where = f" in {spec.candidate.region}" if spec.candidate.region else ""
        kind = f"{spec.candidate.gpu} x{spec.candidate.gpu_count}"
        what = f"{INFO.title}, credential set {self.credentials!r}: {kind}"
        if cheapest is not None:
            return errors.PriceCapExceededError(
                f"{what}{where} costs {cheapest:.3f} USD/h at the least, above maxHourlyUsd "
                f"{spec.max_hourly_usd:.3f}",
                cloud=self.name,
            )
        return errors.CapacityError(f"{what} is not offered{where} now; nothing was sent", cloud=self.name)


_FEW = (Availability.NONE, Availability.LOW)


def connect(connection: Connection) -> GpuCloud:
    """Opens the cloud; called by the registry."""
    return VastCloud(connection)
