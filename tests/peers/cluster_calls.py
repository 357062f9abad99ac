"""The typed client's calls about one cluster that is up, each against the real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import RequestFailedError
from gpu_clouds.skypilot.models import LaunchResult, Refresh
from gpu_clouds.skypilot.waiting import Pending
from tests.peers.skypilot_server import INFRA, PRICES

#: Longer than any of it on a machine that has much else to do.
PATIENCE_S = 900.0


def waits_for(go_on: Path) -> str:
    """Script of a job that prints a step, waits for a file, and prints two more."""
    wait = f"timeout 600 sh -c 'until [ -e {go_on} ]; do sleep 0.2; done'"
    return f"echo 'step 1'; {wait}; echo 'step 2'; echo 'step 3'"


def check_log(client: SkyPilotClient, cluster: str, job: int, go_on: Path) -> None:
    """Reads the log of a job of `waits_for`, which goes on when its first line was seen."""
    steps: list[str] = []
    for line in client.job_log_lines(cluster, job):
        if line.endswith(("step 1", "step 2", "step 3")):
            steps.append(line[-1])
            if steps == ["1"]:
                go_on.touch()
    go_on.unlink()
    assert steps == ["1", "2", "3"]
    tail = list(client.job_log_lines(cluster, job, follow=False, tail=3))
    assert len(tail) == 3
    assert any(line.endswith("step 3") for line in tail)
    assert not any(line.endswith("step 1") for line in tail)


def check_record(client: SkyPilotClient, cluster: str, gpu: str, labels: dict[str, str]) -> None:
    """What the server says of a cluster with one GPU."""
    record = client.cluster(cluster)
    assert record is not None
    assert (record.status, record.accelerators, record.nodes) == ("UP", {gpu: 1}, 1)
    assert labels.items() <= record.labels.items()
    assert any("Setting up" in event.reason for event in client.cluster_events(cluster))
    assert "Provisioning" in "\n".join(client.provision_log_lines(cluster, follow=False))
    [cost] = client.cost_report([cluster])
    assert cost.total_cost is not None
    assert cost.duration is not None
    assert cost.total_cost == pytest.approx(PRICES[gpu] * cost.duration / 3600, rel=0.05)


def check_jobs(client: SkyPilotClient, cluster: str, first: int) -> None:
    """A further job besides one that has ended: accepted, listed and cancelled."""
    pending = client.exec('{"name": "further", "run": "sleep 600"}', cluster)

    async def read() -> str:
        return "\n".join([line async for line in client.stream_request_logs(pending)])

    said = asyncio.run(read())
    further = pending.result(PATIENCE_S).job_id
    assert further is not None and further > first
    assert f"Job submitted, ID: {further}" in said and "\x1b" not in said
    assert {job.job_id: job.status for job in client.queue(cluster)}[first] == "SUCCEEDED"
    assert [job.job_id for job in client.queue(cluster, skip_finished=True)] == [further]
    client.cancel_jobs(cluster, [further])
    assert client.job_status(cluster, [first, further]) == {first: "SUCCEEDED", further: "CANCELLED"}


def check_told_while_it_runs(client: SkyPilotClient, pending: Pending[LaunchResult]) -> None:
    """The steps of a launch come before it has ended."""

    async def read() -> None:
        line = await anext(client.stream_request_logs(pending))
        assert "\x1b" not in line
        state = await asyncio.to_thread(client.request, pending.request_id)
        assert state is not None and not state.status.ended

    asyncio.run(read())


def check_another_gpu_is_refused(client: SkyPilotClient, cluster: str, gpu: str) -> None:
    """A launch never turns a cluster into another one."""
    task = f"resources: {{infra: {INFRA}, accelerators: '{gpu}:1'}}\n"
    with pytest.raises(RequestFailedError) as mismatch:
        client.launch(task, cluster).result(PATIENCE_S)
    assert mismatch.value.error_code == "ResourcesMismatchError"


def check_to_down(client: SkyPilotClient, cluster: str) -> None:
    """The server was told to end a cluster that is idle; one that has ended already is fine."""
    told = client.cluster(cluster, refresh=Refresh.NONE)
    assert told is None or told.to_down
