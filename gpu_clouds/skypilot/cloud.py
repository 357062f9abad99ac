"""A SkyPilot API server as a `GpuCloud`: its clusters are the instances."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from gpu_clouds import errors
from gpu_clouds.billing import Charge
from gpu_clouds.cloud import Capabilities
from gpu_clouds.connection import Connection
from gpu_clouds.models import (
    AccountStatus,
    Candidate,
    Instance,
    InstanceSpec,
    InstanceState,
    LogLine,
    Offer,
)
from gpu_clouds.skypilot import BARE, INFO, billing
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import Auth, BasicAuth, BearerToken, SkyPilotConnection
from gpu_clouds.skypilot.errors import ApiError, RequestFailedError, as_cloud_error, cloud_errors
from gpu_clouds.skypilot.instances import (
    DOWN,
    LAUNCH,
    START,
    Cluster,
    instance,
    is_impostor,
    name_of,
    server_id,
)
from gpu_clouds.skypilot.job_logs import job_lines
from gpu_clouds.skypilot.launches import Launches, Send
from gpu_clouds.skypilot.models import ClusterRecord, Refresh
from gpu_clouds.skypilot.prices import Prices
from gpu_clouds.skypilot.settings import SkyPilotSettings
from gpu_clouds.skypilot.survey import Survey
from gpu_clouds.skypilot.task import Task, as_text, node_task
from gpu_clouds.skypilot.waiting import Pending

ACCEPTED_WITHIN_S = 15.0
"""An impossible launch fails within 0.5 to 3 s (measured); one that has not by then counts as accepted."""
_LOOK_EVERY_S = 0.5
_NOT_THERE = frozenset({"NotSupportedError", "ProvisionPrechecksError"})
"""Errors that say what one place can't do; another candidate may be of a place that can."""


Seen = tuple[Instance, ClusterRecord | None]


class SkyPilotCloud:
    """One API server.

    An instance's id is the name of its cluster and the server that it is on: `gp-p-…@1a2b3c4d`. Its name is
    the marker, and a label repeats it: a cluster is ours where both agree.

    Args:
        client: The server.
        credentials: Name of the credential set.
        bare: Its machines run no containers: images are left out.
    """

    def __init__(self, client: SkyPilotClient, credentials: str, *, bare: bool = False) -> None:
        self._client = client
        self._credentials = credentials
        self._bare = bare
        self._clock = client.connection.clock
        self._cancel = client.connection.cancel
        self._server = server_id(client.connection.endpoint)
        self._launches = Launches(client.request)
        self._prices = Prices(client, self._clock)
        self._survey = Survey(client, self._server, self._launches, self._prices, self._cancel)
        self._downs: dict[str, Pending[None]] = {}

    @property
    def name(self) -> str:
        """`skypilot`."""
        return INFO.name

    @property
    def credentials(self) -> str:
        """Name of the credential set."""
        return self._credentials

    @property
    def client(self) -> SkyPilotClient:
        """The calls of the server."""
        return self._client

    @property
    def prices(self) -> Prices:
        """The server's catalogue, at most a minute old."""
        return self._prices

    @property
    def capabilities(self) -> Capabilities:
        """What SkyPilot can do; whether the cloud behind it can is told at the launch."""
        return INFO.capabilities

    def account(self) -> AccountStatus:
        """Whether the server answers, accepts us, and has a cloud to use. It shows no balance and no limit.

        Raises:
            AuthError: It does not accept the token, or the user and password.
            ValidationError: It is of another age, or has no cloud to use.
            TransientError: It does not answer now.
        """
        check = self._client.check_health()
        if check.needs_auth:
            raise errors.AuthError(check.reason, cloud=self.name)
        if not check.ok:
            raise errors.TransientError(check.reason, cloud=self.name)
        with reading():
            if not self._prices.clouds():
                raise errors.ValidationError(
                    f"{self._what} can use no cloud: give it an account of one, and run `sky check` there",
                    cloud=self.name,
                )
        return AccountStatus()

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        """Prices of the server's catalogue, at most a minute old."""
        with reading():
            found = (self._prices.offer(each) for each in candidates if each.cloud == self.name)
            return [offer for offer in found if offer is not None]

    def create(self, spec: InstanceSpec) -> Instance:
        """Launches a cluster by its name, and returns once the server is at work on it.

        A second launch of the same name is the same cluster, so it is harmless.

        Raises:
            CapacityError: No place for it; nothing was made.
            ConflictError: Somebody else has a cluster of this name.
        """
        task = self._task(spec)
        with reading():
            there = self._client.cluster(spec.name, refresh=Refresh.NONE)
            if there is not None and is_impostor(there):
                raise errors.ConflictError(
                    f"{self._what} has a cluster {spec.name} that does not carry our label: end or rename it",
                    cloud=self.name,
                )
            if there is not None:
                # An answer of an earlier launch was lost.
                seen = self._survey.one(spec.name)
                made = instance(spec.name, self._server, seen)
                if made.state not in (InstanceState.GONE, InstanceState.FAILED, InstanceState.STOPPED):
                    return made
        with cloud_errors():
            return self._accepted(spec.name, partial(self._send, task, spec.name, _hidden(spec)))

    def get(self, instance_id: str) -> Instance:
        """The cluster as it is now, by its cloud's own word; GONE where there is none of this id."""
        name, server = name_of(instance_id)
        if server not in ("", self._server):
            return _gone(instance_id)
        with reading():
            seen = self._survey.one(name)
        if seen.record is not None and is_impostor(seen.record):
            return _gone(instance_id)
        return instance(name, self._server, seen)

    def list(self, name_prefix: str) -> list[Instance]:
        """Clusters whose name starts with the prefix and whose label repeats it."""
        with reading():
            return self._survey.ours(name_prefix)

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        """Changes nothing in place: `capabilities.updatable` is empty."""
        raise self._refused("nothing of a cluster is changed in place")

    def delete(self, instance_id: str) -> None:
        """Cancels what is at work on the cluster and takes it down; absent is success.

        A cancelled launch leaves its machine running (measured), so one never goes without the other.
        """
        name, server = name_of(instance_id)
        with cloud_errors():
            before = self._downs.pop(name, None)
            self._launches.forget(name)
            at_work = [each for each in self._client.requests(cluster_name=name) if not each.status.ended]
            if any(each.name == DOWN for each in at_work):
                return
            launches = [each.request_id for each in at_work if each.name in (LAUNCH, START)]
            if launches:
                self._client.cancel_requests(launches)
            record = self._client.cluster(name, refresh=Refresh.NONE)
            if record is None and not launches:
                return
            if record is not None and is_impostor(record):
                return
            pending = self._client.down(name)
            self._downs[name] = pending
            if server not in ("", self._server):
                # The server has another address now. Listings call the cluster by another id, so nobody will
                # see by the old one whether it is gone.
                self._end_of(pending)
            elif before is not None:
                self._end_of(before)

    def stop(self, instance_id: str) -> None:
        """Stops the cluster.

        Raises:
            ValidationError: Its cloud can't stop machines.
        """
        with cloud_errors():
            self._client.stop(name_of(instance_id)[0]).result()

    def start(self, instance_id: str) -> None:
        """Starts a stopped cluster, and returns once the server is at work on it. Its job does not run again.

        Raises:
            CapacityError: Its cloud has no machine for it now.
        """
        name, _ = name_of(instance_id)
        with cloud_errors():
            self._accepted(name, partial(self._client.start, name))

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        """Streams the log of the cluster's last job, or, while there is none, of its provisioning."""
        with cloud_errors():
            yield from job_lines(self._client, name_of(instance_id)[0], tail=tail, cursor=cursor)

    @property
    def bill(self) -> str:
        """`SkyPilot cost report`."""
        return "SkyPilot cost report"

    def charges(
        self, begin: datetime, end: datetime | None, now: datetime, nodes: Collection[str]
    ) -> Sequence[Charge]:
        """What clusters of these names cost in a span of time, at the prices of the server's catalogue."""
        with reading():
            return list(billing.charges(self._client, begin, end, now, nodes))

    def busy(self, name: str, now: datetime) -> Sequence[billing.Span]:
        """When jobs ran on a cluster that is up; one that runs still ran until now."""
        with reading():
            return billing.busy(self._client, name, now)

    def close(self) -> None:
        """Gives connections back."""
        self._client.close()

    def look(self, name: str) -> Seen:
        """One cluster as an instance and in SkyPilot's own words, whoever's it is."""
        with reading():
            seen = self._survey.one(name)
        return instance(name, self._server, seen), seen.record

    def look_all(self, name_prefix: str) -> dict[str, Seen]:
        """The same for every cluster whose name starts with the prefix, in one go."""
        with reading():
            found = self._survey.all(name_prefix)
        return {name: (instance(name, self._server, seen), seen.record) for name, seen in found.items()}

    def record(self, name: str) -> ClusterRecord | None:
        """A cluster in SkyPilot's own words, by its cloud's own word; None where there is none."""
        with reading():
            return self._survey.one(name).record

    def _share(self, other: SkyPilotCloud) -> None:
        """Takes over what another view of the same server knows."""
        self._launches, self._prices = other._launches, other._prices
        self._survey, self._downs = other._survey, other._downs

    def _task(self, spec: InstanceSpec) -> Task:
        """What is launched."""
        return node_task(spec, bare=self._bare)

    def _send(self, task: Task, name: str, secrets: frozenset[str]) -> Pending[Any]:
        return self._client.launch(as_text(task), name, secrets=secrets)

    def _accepted(self, name: str, send: Send) -> Instance:
        """Sends a launch or start; the cluster, once it has not failed at once."""
        self._launches.begin(name, send)
        until = self._clock.monotonic() + ACCEPTED_WITHIN_S
        accepted = instance(name, self._server, Cluster(None, frozenset({LAUNCH})))
        try:
            while self._clock.monotonic() < until:
                progress = self._launches.look(name)
                if progress is None or progress.lost:
                    break
                if progress.failure is not None:
                    return self._failed(name)
                record = self._client.cluster(name, refresh=Refresh.NONE)
                if record is not None and record.status in ("INIT", "UP"):
                    return instance(name, self._server, Cluster(record, frozenset({LAUNCH})))
                self._clock.sleep(_LOOK_EVERY_S, self._cancel)
        except errors.CancelledError:
            pass  # it was sent: whoever has cancelled wants to know of it
        except ApiError:
            pass  # the server has it, but does not answer just now: the listing tells
        return accepted

    def _failed(self, name: str) -> Instance:
        """A launch that failed at once: its error, or the cluster where it has left something behind."""
        seen = self._survey.one(name)
        own = self._launches.forget(name)
        if seen.record is not None and seen.failure is not None:
            return instance(name, self._server, seen)
        if own is not None:
            try:
                own.pending.result()
            except RequestFailedError as error:
                raise _refusal(error) from None
        return instance(name, self._server, seen)

    def _end_of(self, pending: Pending[None]) -> None:
        try:
            pending.result()
        except ApiError as error:
            if not error.is_not_found:
                raise

    @property
    def _what(self) -> str:
        return f"{self._client.connection.title}, credential set {self.credentials!r}"

    def _refused(self, why: str) -> errors.ValidationError:
        return errors.ValidationError(f"SkyPilot: {why}", cloud=self.name)


@contextmanager
def reading() -> Iterator[None]:
    """Turns an ApiError of a look into its GpuCloudError.

    One without an answer is a fault of the moment: a busy server leaves a status unanswered, a restart
    forgets it, and a launch that a look sends again is harmless.
    """
    try:
        with cloud_errors():
            yield
    except (errors.AmbiguousError, errors.DeadlineError) as error:
        raise errors.TransientError(error.message, cloud=INFO.name) from None


def _gone(identity: str) -> Instance:
    return Instance(identity, "", INFO.name, InstanceState.GONE, "")


def _hidden(spec: InstanceSpec) -> frozenset[str]:
    """Values of a template that no error may carry."""
    return frozenset(value for value in (*spec.template.env.values(), spec.template.startup) if value)


def _refusal(error: RequestFailedError) -> errors.GpuCloudError:
    """A launch that was refused; status 400 where another candidate may still do."""
    known = as_cloud_error(error)
    if error.error_code in _NOT_THERE:
        return errors.ValidationError(known.message, cloud=INFO.name, status=400, request_id=known.request_id)
    return known


def connect(connection: Connection) -> SkyPilotCloud:
    """Opens a server; called by the registry."""
    given = connection.credentials
    auth: Auth = None
    if given.user:
        auth = BasicAuth(given.user, given.api_key)
    elif given.api_key:
        auth = BearerToken.fixed(given.api_key)
    server = SkyPilotConnection(
        connection.endpoint,
        auth=auth,
        ca_file=given.ca_file,
        allow_insecure=given.allow_insecure,
        workspace=given.workspace,
        settings=SkyPilotSettings.from_environment(),
        clock=connection.clock,
        cancel=connection.cancel,
        may_send=connection.may_send,
        name=given.name,
    )
    return SkyPilotCloud(SkyPilotClient(server), given.name, bare=BARE in given.features)
