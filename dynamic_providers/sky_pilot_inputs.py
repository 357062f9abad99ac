"""The inputs of a cluster on a SkyPilot API server, and the task that they become. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from dynamic_providers.sky_pilot_servers import ServerInputs
from gpu_clouds.marker import spec_hash

Accelerator = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]+(\.[0-9]+)?)?$", max_length=64)
]
Infra = Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=200)]
Port = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?$")]
Amount = Annotated[str, StringConstraints(pattern=r"^([0-9]+(\.[0-9]+)?[+x]?)?$")]
WhenStopped = Literal["start", "leave"]

PATIENT_DEADLINE_S = 86_400.0
"""How long a cluster with `retryUntilUp` may wait for its machines, unless it says otherwise."""

REPLACING = frozenset(
    {
        "guard",
        "node",
        "accelerators",
        "infra",
        "choose",
        "nodes",
        "instanceType",
        "cpus",
        "memory",
        "diskGb",
        "diskTier",
        "image",
        "labels",
        "spot",
        "workspace",
        "replaceTrigger",
    }
)
"""Another value is another cluster: the server refuses it for one that lives, or ignores it."""

JOB = frozenset({"run", "envs", "secrets"})
"""They say what runs: another value ends our job and starts one anew."""

SETUP = frozenset({"setup", "envs", "secrets"})
"""They are carried out by a launch of the same name, which keeps the machines."""

AUTOSTOP = frozenset({"autostopMin", "autodown"})
"""They go to the server's own call for it."""


class SkyPilotClusterInputs(ServerInputs):
    """Inputs of a SkyPilotCluster.

    Attributes:
        guard: Id of the guard of the server: LeakGuard for a credential set, SkyPilotGuard for a server of
            this run. Both are the stackId.
        node: The cluster's slug, at most 24 characters; part of its name on the server.
        accelerators: GPU and how many in each node: `H100`, `A100:8`; several: any of them will do. None for
            a cluster without GPUs.
        infra: Where: `slurm/hall1`, `aws/us-east-1`, `k8s`; several: any of them will do; none: wherever the
            server has an account.
        choose: What several accelerators and places mean: `any`: the cheapest that is free; `ordered`: in
            the order in which they stand, place by place for each accelerator.
        nodes: How many machines.
        instance_type: The cloud's own name of a machine.
        cpus: Virtual CPUs of a node: `8`, or at least: `8+`.
        memory: GB of a node, in the same words.
        disk_gb: Size of the disk, GB; the server's default where it is left out.
        disk_tier: `low`, `medium`, `high`, `ultra` or `best`.
        ports: `8080`, `10000-10020`: opened to the outside.
        image: Machine image, or `docker:…` for a container.
        labels: Labels of the cloud's machines.
        spot: Interruptible machines. One that is taken away is seen at the next refresh, and the next `up`
            makes it anew.
        autostop_min: Stop after so many idle minutes; with `autodown`, end instead.
        autodown: See there.
        when_stopped: What the next `up` does with a cluster that has stopped: `start` it, or `leave` it. By
            default `leave` where autostop is set, else `start`.
        setup: Script that prepares each node; may run again.
        run: What is run once the cluster is up, as a job of the server; once for each change of it.
        envs: Environment of both. Secret.
        secrets: The same, kept out of what the server shows. Secret.
        workspace: Workspace of the server; empty for `default`.
        retry_until_up: Wait for capacity as long as the deadline allows.
        provision_deadline_s: How long a launch may take, seconds; 10 minutes, or a day with
            `retry_until_up`.
        keep_on_failure: Leave a cluster that did not come up, to look at it.
        max_hourly_usd: Cap on the price of all nodes, USD per hour.
        replace_trigger: Any text; another text means another cluster.
    """

    guard: str = ""
    node: str
    accelerators: tuple[Accelerator, ...] = ()
    infra: tuple[Infra, ...] = ()
    choose: Literal["any", "ordered"] = "any"
    nodes: int = Field(default=1, ge=1, le=1000)
    instance_type: str = ""
    cpus: Amount = ""
    memory: Amount = ""
    disk_gb: int | None = Field(default=None, ge=1)
    disk_tier: Literal["", "low", "medium", "high", "ultra", "best"] = ""
    ports: tuple[Port, ...] = ()
    image: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    spot: bool = False
    autostop_min: int | None = Field(default=None, ge=0)
    autodown: bool = False
    when_stopped: WhenStopped | None = None
    setup: str = Field(default="", repr=False)
    run: str = Field(default="", repr=False)
    envs: dict[str, str] = Field(default_factory=dict, repr=False)
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    workspace: str = ""
    retry_until_up: bool = False
    provision_deadline_s: float | None = Field(default=None, gt=0)
    keep_on_failure: bool = False
    max_hourly_usd: float | None = Field(default=None, gt=0)
    replace_trigger: str = ""

    @property
    def stopped_is_fine(self) -> bool:
        """Whether a cluster that has stopped is left so."""
        if self.when_stopped is None:
            return self.autostop_min is not None
        return self.when_stopped == "leave"

    @property
    def deadline_s(self) -> float | None:
        """How long a launch may take, seconds; None for the cloud's own figure."""
        if self.provision_deadline_s is None and self.retry_until_up:
            return PATIENT_DEADLINE_S
        return self.provision_deadline_s

    def spec(self) -> str:
        """Everything whose change means another cluster, as one text, for the hash in its name.

        Not part of it: the guard and the name, which are in the marker already, and the server, whose address
        may change without its clusters.
        """
        props = self.as_props()
        return json.dumps(
            {key: props[key] for key in sorted(REPLACING - {"guard", "node"}) if key in props},
            sort_keys=True,
        )

    @property
    def job_name(self) -> str:
        """The name of the job that `run` becomes: another name for another job; empty without `run`."""
        return self._named("run", self.run)

    @property
    def setup_name(self) -> str:
        """The same for `setup`, which is a job too."""
        return self._named("setup", self.setup)

    def _named(self, kind: str, script: str) -> str:
        what = {"script": script, "envs": self.envs, "secrets": self.secrets}
        return f"{kind}-{spec_hash(what)}" if script else ""

    def choices(self) -> list[tuple[str, str]]:
        """Each accelerator in each place, in order; an empty text where either is left open."""
        return [(acc, place) for acc in self.accelerators or ("",) for place in self.infra or ("",)]

    def launch_task(self) -> dict[str, Any]:
        """The task that brings the cluster up: machines and setup, without `run`.

        A launch that is sent twice would run its job twice; so the job is sent by itself, once it is known
        not to be there.
        """
        task = {**self._common(), **_given("resources", self._resources())}
        return {**task, "name": self.setup_name, "setup": self.setup} if self.setup else task

    def run_task(self) -> dict[str, Any]:
        """The task of the job. The machines are there; only GPUs are claimed, so that jobs queue."""
        gpus = {"accelerators": _counted(self.accelerators[0])} if len(self.accelerators) == 1 else {}
        return {
            **self._common(),
            **_given("resources", gpus),
            "name": self.job_name,
            "run": self.run,
        }

    def _common(self) -> dict[str, Any]:
        return {
            "num_nodes": self.nodes,
            **_given("envs", dict(self.envs)),
            **_given("secrets", dict(self.secrets)),
        }

    def _resources(self) -> dict[str, Any]:
        given: dict[str, Any] = {
            "instance_type": self.instance_type,
            "cpus": self.cpus,
            "memory": self.memory,
            "disk_size": self.disk_gb,
            "disk_tier": self.disk_tier,
            "ports": list(self.ports),
            "image_id": self.image,
            "labels": dict(self.labels),
            "use_spot": self.spot,
        }
        found = {key: value for key, value in given.items() if value}
        if self.autostop_min is not None:
            found["autostop"] = {"idle_minutes": self.autostop_min, "down": self.autodown}
        choices = [_choice(acc, place) for acc, place in self.choices()]
        if len(choices) == 1:
            return {**found, **choices[0]}
        return {**found, "any_of" if self.choose == "any" else "ordered": choices}


def split_accelerator(text: str) -> tuple[str, float]:
    """Name and number of `A100:8`; one where no number is given, nothing for an empty text."""
    name, _, count = text.partition(":")
    return name, float(count) if count else float(bool(name))


def _choice(accelerator: str, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if accelerator:
        found["accelerators"] = _counted(accelerator)
    if place:
        found["infra"] = place
    return found


def _counted(accelerator: str) -> str:
    return accelerator if ":" in accelerator else f"{accelerator}:1"


def _given(key: str, value: Any) -> dict[str, Any]:
    return {key: value} if value else {}
