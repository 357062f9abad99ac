"""One machine, three emulated clouds, and processes that come and go on it."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.ending import Ended, Ender
from gpu_clouds.intents import IntentLog
from gpu_clouds.marker import stack_prefix
from gpu_clouds.models import Candidate, CapacityType, Instance, InstanceTemplate
from gpu_clouds.provisioning import NodeRequest, Provisioned, Provisioner, Readiness
from gpu_clouds.registry import connect
from gpu_clouds.run import Run
from tests.faults.wire import START, EmulatedNet
from tests.unit.provisioning.virtual_clock import VirtualClock

STACK = "abcd1234"
CANARY = "canary-7f3d91"
"""Part of every key and of every secret: no message, line or repr may have it."""
KEY = f"{CANARY}-account-key"
ACCOUNT = "ours"
OTHER_KEY = f"{CANARY}-other-key"
CLOUDS = ("runpod", "lambda", "paperspace", "vast")
FIRST = {
    "runpod": Candidate("runpod", "runpod", "US-CA-2", "H100-SXM"),
    "lambda": Candidate("lambda", "lambda", "us-west", "A10"),
    "paperspace": Candidate("paperspace", "paperspace", "us-east", "A100-80GB-SXM"),
    "vast": Candidate("vast", "vast", "eu-central", "H100-PCIe"),
}
SECOND = {
    "runpod": Candidate("runpod", "runpod", "EU-RO-1", "RTX4090"),
    "lambda": Candidate("lambda", "lambda", "us-south-1", "RTX-A6000"),
    "paperspace": Candidate("paperspace", "paperspace", "", "RTX-A4000"),
    "vast": Candidate("vast", "vast", "eu-north", "RTX4090"),
}
SPOT = Candidate("runpod", "runpod", "EU-RO-1", "RTX4090", capacity=CapacityType.SPOT)
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0KbfVGxXZ1vJ0V4yXb5Yx7bGk2Gd8TnTgqk6hM4rWe me"
TEMPLATE = InstanceTemplate(
    image="vllm/vllm-openai:v0.11.0",
    ports=("8000/http",),
    env={"VLLM_API_KEY": f"{CANARY}-upstream", "HF_TOKEN": f"{CANARY}-it's of 'two'\nlines"},
)
HEALTH = Readiness(kind="http", port=8000, path="/health")


class ProcessClock:
    """The clock of one process: what threads share in memory goes by it, and processes share nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.time()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        self._clock.sleep(seconds, cancel)


class World:
    """The clouds with an account each, and this machine's folder of intents."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.net = EmulatedNet(self.clock)
        # In memory where there is such a folder: every launch syncs its intent to the disk.
        memory = next((one for one in ("/dev/shm",) if os.access(one, os.W_OK)), None)
        self._folder = tempfile.TemporaryDirectory(prefix="gpuplane-faults-", dir=memory)
        self.state_dir = Path(self._folder.name)
        self.lines: list[str] = []
        self._processes: list[Process] = []
        for cloud in self.net.emulators.clouds.values():
            cloud.change_settings({"keys": {KEY: {"account": ACCOUNT}, OTHER_KEY: {"account": "other"}}})
        self.change("runpod", ready_after_s=20.0, tcp_listeners=False)
        self.change("lambda", boot_s=60.0)
        self._defaults: dict[str, dict[str, Any]] = {}
        self.keep_settings()

    def close(self) -> None:
        for process in self._processes:
            process.close()
        self.net.close()
        self._folder.cleanup()

    def change(self, cloud: str, **settings: Any) -> None:
        """Changes settings of an emulated cloud."""
        self.net.emulators.clouds[cloud].change_settings(settings)

    def account(self, cloud: str, **changes: Any) -> None:
        """Changes our account."""
        self.net.emulators.clouds[cloud].control("PATCH", "account", {"key": KEY, **changes})

    def fault(self, cloud: str, kind: str, **more: Any) -> None:
        """Sets a fault; `count` 0 stands for one that lasts."""
        count = more.pop("count", 1)
        args = {key: more.pop(key) for key in list(more) if key not in _FAULT_KEYS}
        whole = {"kind": kind, "cloud": cloud, "count": count or None, "args": args, **more}
        self.net.emulators.faults.add(whole)

    def heal(self) -> None:
        """All faults are over, and the settings are as they were."""
        self.net.emulators.faults.clear()
        self.net.spoil = lambda _line, answer: answer
        for name, cloud in self.net.emulators.clouds.items():
            cloud.change_settings(self._defaults[name])

    def keep_settings(self) -> None:
        """What is set now is how the clouds are: `heal` goes back to it."""
        self._defaults = {name: cloud.settings() for name, cloud in self.net.emulators.clouds.items()}

    def control(self, cloud: str, method: str, path: str, body: Any = None) -> Any:
        """One call to the control endpoints of an emulated cloud."""
        return self.net.emulators.clouds[cloud].control(method, path, body or {})

    def start(self, **options: Any) -> Process:
        """A new process."""
        process = Process(self, **options)
        self._processes.append(process)
        return process

    def requests(self, cloud: str) -> list[dict[str, Any]]:
        """The calls to one cloud's API so far: method, path, status, at."""
        entries: list[dict[str, Any]] = self.net.emulators.journal.entries(5000)
        return [one for one in entries if one["cloud"] == cloud and one["plane"] == "api"]

    def state(self, cloud: str) -> dict[str, Any]:
        self.net.settle()
        return self.net.emulators.clouds[cloud].state()

    def living(self, *clouds: str) -> dict[str, str]:
        """Every node that costs money, by its id: `cloud name`."""
        found: dict[str, str] = {}
        for cloud in clouds or CLOUDS:
            state = self.state(cloud)
            if cloud == "runpod":
                rows = [row for row in state["pods"] if row["phase"] != "TERMINATED"]
            elif cloud == "lambda":
                rows = [
                    row for row in state["instances"] if row["status"] in ("booting", "active", "unhealthy")
                ]
            else:
                rows = [row for row in state["machines"] if row["deleted_at"] is None]
            found |= {row["id"]: f"{cloud} {row['name']}" for row in rows if row["account"] == ACCOUNT}
        return found

    def belongings(self) -> dict[str, int]:
        """What else the accounts hold, by kind; only what there is."""
        lambda_ = self.state("lambda")["accounts"][ACCOUNT]
        found = {name: len(lambda_[name]) for name in ("ssh_keys", "firewall_rulesets", "file_systems")}
        found |= self.state("paperspace")["accounts"][ACCOUNT]["objects"]
        found["network_volumes"] = len(self.state("runpod")["volumes"][ACCOUNT])
        return {kind: count for kind, count in found.items() if count}


_FAULT_KEYS = ("skip", "probability", "method", "path", "name", "account")


class Process:
    """One process that lives for one run of the engine.

    Args:
        world: Where it runs.
        stack: Its stack.
        key: Of all accounts.
        features: Of RunPod's credential set.
        allowed_sources: Of Lambda's.
        may_send: Raises when the engine has ended.
        state_dir: Of another machine; by default the world's.
        clouds: Those that its stack uses.
    """

    def __init__(
        self,
        world: World,
        *,
        stack: str = STACK,
        key: str = KEY,
        features: Sequence[str] = (),
        allowed_sources: Sequence[str] = (),
        may_send: Callable[[], None] = lambda: None,
        state_dir: Path | None = None,
        clouds: Sequence[str] = CLOUDS,
    ) -> None:
        self.world = world
        self.stack = stack
        self.clock = ProcessClock(world.clock)
        self.cancel = threading.Event()
        self.may_send = may_send
        self.clouds: Mapping[str, GpuCloud] = {
            name: connect(
                _credentials(world, name, key, features, allowed_sources),
                clock=self.clock,
                cancel=self.cancel,
                may_send=may_send,
                state_dir=state_dir or world.state_dir,
            )
            for name in clouds
        }
        self.intents = IntentLog(stack, state_dir or world.state_dir, self.clock)
        self.run = Run(self.clock, world.clock.condition)

    def provisioner(self) -> Provisioner:
        return Provisioner(
            self.clouds,
            self.intents,
            self.clock,
            self.cancel,
            self.world.lines.append,
            self.may_send,
            run=self.run,
        )

    def request(self, *candidates: Candidate, node: str = "web-0", **changes: Any) -> NodeRequest:
        changes = {"template": TEMPLATE, "readiness": HEALTH, **changes}
        return NodeRequest("p", self.stack, node, candidates, changes.pop("template"), **changes)

    def up(self, *candidates: Candidate, **changes: Any) -> Provisioned:
        return self.provisioner().find_or_launch(self.request(*candidates, **changes))

    def resume(self, instance_id: str, *candidates: Candidate, **changes: Any) -> Provisioned:
        return self.provisioner().ensure_ready(self.request(*candidates, **changes), instance_id)

    def end(self, cloud: str, instance: Instance) -> Ended:
        """As the provider ends a node that the state holds."""
        return self._ender().end(
            self.clouds[cloud],
            instance.id,
            prefix=stack_prefix("p", self.stack),
            marker=instance.name,
            intents=self.intents,
        )

    def end_all(self) -> list[Instance]:
        """As LeakGuard ends a stack."""
        return self._ender().end_all(self.clouds, "p", self.stack, self.intents)

    def close(self) -> None:
        """It ends: its files are closed, whether it came to that or was killed."""
        for cloud in self.clouds.values():
            cloud.close()
        # The log lives as long as its process, so it has no such method itself.
        if self.intents._fd >= 0:
            os.close(self.intents._fd)
            self.intents._fd = -1

    def _ender(self) -> Ender:
        return Ender(self.clock, self.cancel, self.world.lines.append, self.may_send, run=self.run)


def _credentials(
    world: World, name: str, key: str, features: Sequence[str], allowed_sources: Sequence[str]
) -> CredentialSet:
    addresses = world.net.emulators.clouds[name].endpoints(world.net.base)
    return CredentialSet(
        name,
        name,
        key,
        addresses["api"],
        addresses["proxy"],
        allowed_sources=tuple(allowed_sources) if name == "lambda" else (),
        features=frozenset(features) if name == "runpod" else frozenset(),
    )
