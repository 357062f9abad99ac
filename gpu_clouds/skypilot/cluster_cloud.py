"""A SkyPilot API server that launches one given task: a whole cluster instead of a node of a template."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpu_clouds.models import Instance, InstanceSpec
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.task import Task, as_text, marked
from gpu_clouds.skypilot.waiting import Pending


class DeclaredClusterCloud(SkyPilotCloud):
    """Launches, finds, waits and ends as `SkyPilotCloud` does, so `Provisioner` and `Ender` serve it.

        cloud = DeclaredClusterCloud(client, "main", {"num_nodes": 2, "resources": {...}, "setup": "..."})
        done = Provisioner({"main": cloud}, ...).find_or_launch(request)
        record = cloud.record(done.instance.name)

    Of the request only the name counts (stack, node, and what is in `replace_trigger`); its candidate needs
    the cloud `skypilot` and the credential set, and gives GPU, count and region for messages alone. An
    instance tells no GPU: a task may leave the choice among several to SkyPilot. `record` has it.

    A task without `run` leaves jobs to `client.exec`; each launch, also one that repairs, runs setup and run
    anew.

    Args:
        client: The server.
        credentials: Name of the credential set, or whatever messages shall call the server.
        task: The task as SkyPilot's YAML would be read: `num_nodes`, `resources` (with `any_of`, `ordered`,
            `autostop`, …), `setup`, `run`, `envs`, `secrets`. Our labels are added to it.
        retry_until_up: The server waits for capacity instead of failing; the caller's deadline ends that.
        secrets: Values that no error may carry, besides those of `envs` and `secrets`.
        beside: The server as another cluster sees it: what it knows of launches and prices is shared, so that
            a listing of the one tells of the other too.
    """

    def __init__(
        self,
        client: SkyPilotClient,
        credentials: str,
        task: Task,
        *,
        retry_until_up: bool = False,
        secrets: frozenset[str] = frozenset(),
        beside: SkyPilotCloud | None = None,
    ) -> None:
        super().__init__(client, credentials)
        if beside is not None:
            self._share(beside)
        self._declared = task
        self._retry_until_up = retry_until_up
        self._hidden = secrets

    def get(self, instance_id: str) -> Instance:
        """As `SkyPilotCloud.get`; it tells no GPU."""
        return _without_gpu(super().get(instance_id))

    def list(self, name_prefix: str) -> list[Instance]:
        """As `SkyPilotCloud.list`; it tells no GPU."""
        return [_without_gpu(each) for each in super().list(name_prefix)]

    def create(self, spec: InstanceSpec) -> Instance:
        """As `SkyPilotCloud.create`, with the given task under the name of the spec."""
        return _without_gpu(super().create(spec))

    def _task(self, spec: InstanceSpec) -> Task:
        return marked(self._declared, spec.name)

    def _send(self, task: Task, name: str, secrets: frozenset[str]) -> Pending[Any]:
        return self._client.launch(
            as_text(task), name, retry_until_up=self._retry_until_up, secrets=secrets | self._hidden
        )


def _without_gpu(instance: Instance) -> Instance:
    return replace(instance, gpu="", gpu_count=0)
