"""How a declared cluster comes to be, and comes back, as it is declared.

Finding, launching and waiting are the provisioning algorithm's. What is SkyPilot's own is here: a stopped
cluster is started, a broken one is launched again by its name, and setup and job are done once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dynamic_providers.base import own_props
from dynamic_providers.clouds import Shared
from dynamic_providers.host import fence
from dynamic_providers.host.call import Call, progress
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import PartialState, root_of
from dynamic_providers.sky_pilot_cloud import StackCluster, cluster_request
from dynamic_providers.sky_pilot_events import Events, told
from dynamic_providers.sky_pilot_inputs import AUTOSTOP, JOB, SETUP, SkyPilotClusterInputs
from dynamic_providers.sky_pilot_jobs import Jobs
from dynamic_providers.sky_pilot_outputs import computed, old_inputs, seen_outputs
from gpu_clouds.ending import Ender
from gpu_clouds.errors import CancelledError, ConflictError, DeadlineError, GpuCloudError
from gpu_clouds.inventory import poll_interval
from gpu_clouds.models import Instance, InstanceState
from gpu_clouds.provisioning import Provisioner, ProvisioningError
from gpu_clouds.request import NodeRequest
from gpu_clouds.skypilot.errors import CLOUD, cloud_errors
from gpu_clouds.skypilot.instances import is_impostor, is_ours
from gpu_clouds.skypilot.models import ClusterRecord, Refresh
from gpu_clouds.skypilot.task import marked
from gpu_clouds.waiting import NodeFailedError

IN_PLACE = AUTOSTOP | JOB | SETUP | {"ports"}
"""Inputs whose change needs the server, and is carried out on the living cluster."""
_ABSENT = (InstanceState.GONE, InstanceState.DELETING)
_STOPPED = (InstanceState.STOPPED, InstanceState.STOPPING)


class Bringing:
    """One create or update of a cluster.

    Args:
        shared: What operations of this process share.
        cluster: The cluster on its server.
        inputs: What is declared.
        call: The operation of the engine.
        paid_hourly_usd: What the living cluster costs already, USD per hour.
    """

    def __init__(
        self,
        shared: Shared,
        cluster: StackCluster,
        inputs: SkyPilotClusterInputs,
        call: Call,
        paid_hourly_usd: float | None = None,
    ) -> None:
        self._shared = shared
        self._cluster = cluster
        self._inputs = inputs
        self._call = call
        self._request: NodeRequest = cluster_request(
            inputs,
            cluster.credentials,
            settle_s=shared.settings.settle_s,
            timeout_s=call.timeout_s,
            first_listing_once=shared.is_new(inputs.guard),
            paid_hourly_usd=paid_hourly_usd,
        )

    def create(self, props: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the cluster, which was found or launched.

        Raises:
            PartialState: It exists, but is not as declared.
            ProvisioningError, GpuCloudError: There is none.
        """
        name = self._name
        with told(Events(self._cluster.client, name, self._say), self._shared.clock):
            instance, record = self._cluster.look(name)
            if record is not None and is_ours(record):
                if instance.state in _STOPPED and self._inputs.stopped_is_fine:
                    self._say("it is there, and has stopped: it is left so (whenStopped)")
                    return {**props, "clusterName": name, **seen_outputs(instance, record)}
                self._revive(instance, name)
            return self._brought_up(props, name)

    def update(self, id: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the cluster, changed in place.

        Raises:
            PartialState: It is not as declared; what was not done has its old value there.
        """
        name = str(olds.get("clusterName") or id)
        changed = {root_of(path) for path in compare(old_inputs(olds), news)} & IN_PLACE
        instance, record = self._cluster.look(name)
        if record is not None and is_impostor(record):
            raise ConflictError(
                f"[{self._inputs.node}] the server has a cluster {name} that does not carry our label: end "
                "it, or rename it",
                cloud=CLOUD,
            )
        if record is None or instance.state in _ABSENT:
            return self.create(news)
        if instance.state in _STOPPED and self._inputs.stopped_is_fine:
            return {**computed(olds), **news, **seen_outputs(instance, record)}
        try:
            if instance.state is not InstanceState.READY:
                with told(Events(self._cluster.client, name, self._say), self._shared.clock):
                    instance = self._made_ready(instance, name, olds, news)
                    name = instance.name or name
            return self._in_place(name, instance, changed, olds, news)
        except CancelledError:
            raise
        except GpuCloudError as error:
            outs = _undone({**computed(olds), **news}, olds, changed)
            outs["state"] = str(_not_ready(instance.state))
            raise PartialState(id, outs, str(error).splitlines()) from error

    @property
    def _name(self) -> str:
        candidate = self._request.candidates[0]
        return str(self._request.marker(candidate, self._cluster.capabilities.updatable))

    def _say(self, text: str) -> None:
        progress(f"[{self._inputs.node}] {text}", call=self._call)

    def _provisioner(self) -> Provisioner:
        return Provisioner(
            {self._cluster.credentials: self._cluster},
            self._shared.intents(self._inputs.guard),
            self._shared.clock,
            self._call.cancel,
            lambda text: progress(text, call=self._call),
            fence.check,
            run=self._shared.run,
        )

    def _revive(self, instance: Instance, name: str) -> None:
        """Starts what has stopped, and launches what is broken again by its name: the machines stay."""
        if instance.state in _STOPPED:
            self._say("starting it")
            self._cluster.start(instance.id)
        elif instance.state is InstanceState.FAILED:
            self._say(f"launching it again: {instance.detail or instance.native_state}")
            candidate = self._request.candidates[0]
            spec = self._request.spec(candidate, self._cluster.capabilities.updatable)
            intents = self._shared.intents(self._inputs.guard)
            intent = intents.open(name, CLOUD)
            fence.check()
            made = self._cluster.create(replace(spec, name=name))
            intents.close(intent, made.id)

    def _brought_up(self, props: Mapping[str, Any], name: str) -> dict[str, Any]:
        try:
            done = self._provisioner().find_or_launch(self._request)
        except ProvisioningError as error:
            if error.kept is None:
                raise
            raise PartialState(name, self._kept(props, name, error), str(error).splitlines()) from error
        for note in done.notes:
            self._shared.note(f"[{self._inputs.node}] {note}")
        try:
            jobs = self._jobs(name, fresh=not done.adopted)
            jobs.set_up(self._launch_task(name), self._deadline_s)
            job = jobs.run()
        except GpuCloudError as error:
            raise self._half_way(props, name, done.instance, error, adopted=done.adopted) from error
        return self._outputs(props, name, done.instance, job)

    def _made_ready(
        self, instance: Instance, name: str, olds: Mapping[str, Any], news: Mapping[str, Any]
    ) -> Instance:
        """Brings a cluster back that has stopped, is broken, or is on its way."""
        self._revive(instance, name)
        if name != self._name:
            return self._waited_for(name)  # an imported one: the algorithm knows nodes by our names alone
        try:
            return self._provisioner().ensure_ready(self._request, instance.id).instance
        except ProvisioningError as error:
            if error.kept is not None:
                outs = _undone(self._kept(news, name, error), olds, IN_PLACE)
            else:
                # The state must not call a cluster ready that is not there any more.
                outs = {**computed(olds), **news, "state": str(InstanceState.GONE)}
            raise PartialState(name, outs, str(error).splitlines()) from error

    def _waited_for(self, name: str) -> Instance:
        start = self._shared.clock.monotonic()
        while True:
            instance, _ = self._cluster.look(name)
            if instance.state is InstanceState.READY:
                return instance
            waited = self._shared.clock.monotonic() - start
            if instance.state is InstanceState.FAILED:
                raise NodeFailedError(f"cluster {name} does not come up: {instance.detail}", cloud=CLOUD)
            if waited >= self._deadline_s:
                raise DeadlineError(f"cluster {name} is not up after {waited:.0f} s", cloud=CLOUD)
            self._shared.clock.sleep(poll_interval(waited), self._call.cancel)

    def _in_place(
        self,
        name: str,
        instance: Instance,
        changed: set[str],
        olds: Mapping[str, Any],
        news: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Carries out what has changed on a cluster that is up; `changed` keeps what is not done yet."""
        inputs, jobs = self._inputs, self._jobs(name)
        jobs.set_up(self._launch_task(name), self._deadline_s, again="ports" in changed)
        changed -= {"setup", "ports"}
        if changed & AUTOSTOP:
            minutes = -1 if inputs.autostop_min is None else inputs.autostop_min
            with cloud_errors():
                self._cluster.client.autostop(name, minutes, down=inputs.autodown)
            changed -= AUTOSTOP
        imported = bool(olds.get("imported")) and not changed & JOB
        job = None if imported else jobs.run()
        changed.clear()
        mark = {"imported": True} if olds.get("imported") else {}
        return self._outputs({**own_props(news), **mark}, name, instance, job)

    def _jobs(self, name: str, *, fresh: bool = False) -> Jobs:
        client, clock = self._cluster.client, self._shared.clock
        return Jobs(client, name, self._inputs, clock, self._call.cancel, self._say, fresh=fresh)

    def _launch_task(self, name: str) -> dict[str, Any]:
        return marked(self._inputs.launch_task(), name)

    @property
    def _deadline_s(self) -> float:
        return self._request.deadline_s(self._request.candidates[0], self._cluster.capabilities)

    def _half_way(
        self, props: Mapping[str, Any], name: str, instance: Instance, error: GpuCloudError, *, adopted: bool
    ) -> Exception:
        """What a cluster becomes that is up, but was not set up: ended if this run has made it, else kept."""
        cancelled = isinstance(error, CancelledError)
        head = f"[{self._inputs.node}] cluster {name}: {'cancelled' if cancelled else error.message}"
        why = "it is kept and costs money: up goes on with it, destroy ends it"
        if not adopted and not self._inputs.keep_on_failure:
            try:
                # A run of its own: the algorithm has handed this cluster out, so that nothing ends it.
                ender = Ender(self._shared.clock, None, self._say, fence.check)
                ender.end(
                    self._cluster, instance.id, marker=name, intents=self._shared.intents(self._inputs.guard)
                )
                return type(error)(f"{head}; it is ended")
            except GpuCloudError as failure:
                why = f"its end is not confirmed: {failure.message}"
        outs = self._outputs(props, name, instance, None)
        outs["state"] = str(InstanceState.RUNNING)
        return PartialState(name, outs, [f"{head}; {why}"])

    def _kept(self, props: Mapping[str, Any], name: str, error: ProvisioningError) -> dict[str, Any]:
        """Outputs of a cluster that exists but did not get ready."""
        assert error.kept is not None
        outs = {**props, "clusterName": name, **seen_outputs(error.kept, self._record(name))}
        outs["state"] = str(_not_ready(error.kept.state))
        return outs

    def _outputs(
        self, props: Mapping[str, Any], name: str, instance: Instance, job: int | None
    ) -> dict[str, Any]:
        outs = {**props, "clusterName": name, **seen_outputs(instance, self._record(name))}
        outs["state"] = str(InstanceState.READY)
        if self._inputs.setup_name:
            outs["setupName"] = self._inputs.setup_name
        if job is not None:
            outs |= {"jobId": job, "jobName": self._inputs.job_name}
        return outs

    def _record(self, name: str) -> ClusterRecord | None:
        """The cluster as the server remembers it: it was looked at a moment ago."""
        try:
            with cloud_errors():
                return self._cluster.client.cluster(name, refresh=Refresh.NONE)
        except GpuCloudError:
            return None


def _undone(outs: dict[str, Any], olds: Mapping[str, Any], keys: frozenset[str] | set[str]) -> dict[str, Any]:
    """The outputs with the old value of everything that was not done, so that the next `up` does it."""
    kept = {key: value for key, value in outs.items() if key not in keys}
    return {**kept, **{key: olds[key] for key in keys if key in olds}}


def _not_ready(state: InstanceState) -> InstanceState:
    return InstanceState.RUNNING if state is InstanceState.READY else state
