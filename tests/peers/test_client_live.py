"""The typed client against the real server and a real cluster."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import ApiError, RequestFailedError, RequestLostError
from gpu_clouds.skypilot.models import Refresh
from tests.peers.conftest import end
from tests.peers.processes import until
from tests.peers.skypilot_server import INFRA, PRICES, SkyPilotServer

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Longer than a launch on a machine that has much else to do.
PATIENCE_S = 600.0


def task(gpus: str, run: str = "") -> str:
    """A task, without a job when there is nothing to run."""
    resources = f"resources: {{infra: {INFRA}, accelerators: '{gpus}', labels: {{gpuplane: live}}}}\n"
    return resources + (f"run: |\n  {run}\n" if run else "")


@pytest.fixture
def name(client: SkyPilotClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """A cluster's name, ended after the test."""
    chosen = "live-" + request.node.name.removeprefix("test_").replace("_", "-")[:20].strip("-")
    yield chosen
    end(client, chosen)


def test_the_server_is_the_one_that_the_client_is_for(client):
    health = client.health()
    assert (health.status, health.version) == ("healthy", "0.14.1")


def test_a_cluster_from_launch_to_end(client, slurm, name):
    """One launch for all of it: it is what takes long."""
    go_on = slurm.root / "home" / f"{name}.go-on"
    go_on.unlink(missing_ok=True)
    wait = f"timeout 600 sh -c 'until [ -e {go_on} ]; do sleep 0.2; done'"
    begin = time.monotonic()
    pending = client.launch(task("H100:2", f"echo 'line 1'; {wait}; echo 'line 2'; echo 'line 3'"), name)
    taken = time.monotonic() - begin
    job_id = pending.result(PATIENCE_S).job_id
    assert job_id == 1
    assert taken < 30.0, "a launch is taken at once and goes on at the server"

    # Its log, while it runs: the job goes on when its first line was seen.
    lines: list[str] = []
    for line in client.job_log_lines(name, job_id):
        if line.endswith(("line 1", "line 2", "line 3")):
            lines.append(line[-1])
            if lines == ["1"]:
                assert client.job_status(name, [job_id]) == {job_id: "RUNNING"}
                go_on.touch()
    go_on.unlink()
    assert lines == ["1", "2", "3"]
    assert client.job_status(name, [job_id]) == {job_id: "SUCCEEDED"}
    tail = list(client.job_log_lines(name, job_id, follow=False, tail=3))
    assert len(tail) == 3
    assert any(line.endswith("line 3") for line in tail)
    assert not any(line.endswith("line 1") for line in tail)

    # What the server says of it.
    record = client.cluster(name)
    assert record is not None
    assert (record.status, record.accelerators, record.nodes) == ("UP", {"H100": 2}, 1)
    assert record.labels == {"gpuplane": "live"}
    assert any("Setting up" in event.reason for event in client.cluster_events(name))
    assert "Provisioning" in "\n".join(client.provision_log_lines(name, follow=False))
    [cost] = client.cost_report([name])
    assert cost.total_cost is not None
    assert cost.duration is not None
    assert cost.total_cost == pytest.approx(2 * PRICES["H100"] * cost.duration / 3600, rel=0.05)

    # Further jobs.
    second = client.exec(task("H100:1", "sleep 600"), name).result(PATIENCE_S).job_id
    assert second == 2
    assert {job.job_id: job.status for job in client.queue(name)}[1] == "SUCCEEDED"
    assert [job.job_id for job in client.queue(name, skip_finished=True)] == [second]
    client.cancel_jobs(name, [second])
    assert client.job_status(name, [second]) == {second: "CANCELLED"}

    # Another GPU is another cluster.
    with pytest.raises(RequestFailedError) as mismatch:
        client.launch(task("A100:1"), name).result(PATIENCE_S)
    assert mismatch.value.error_code == "ResourcesMismatchError"

    # The same name again is the same cluster.
    on_cloud = record.cluster_name_on_cloud
    jobs = [job for job, job_name in slurm.jobs().items() if job_name == on_cloud]
    assert len(jobs) == 1
    client.launch(task("H100:2"), name).result(PATIENCE_S)
    assert [job for job, job_name in slurm.jobs().items() if job_name == on_cloud] == jobs

    # A preemption is seen by whoever looks closely.
    slurm.cancel(on_cloud)
    assert until(lambda: on_cloud not in slurm.jobs().values(), 30.0)
    cheap = client.cluster(name, refresh=Refresh.NONE)
    assert cheap is None or cheap.status == "UP", "only FORCE asks the cluster"
    assert client.cluster(name) is None
    with pytest.raises(ApiError) as absent:
        client.down(name).result(PATIENCE_S)
    assert absent.value.is_not_found


def test_a_gpu_that_there_is_not_is_refused_at_once(client, name):
    begin = time.monotonic()
    with pytest.raises(RequestFailedError) as refused:
        client.launch(task("H100:16"), name).result(PATIENCE_S)
    assert refused.value.error_code == "ResourcesUnavailableError"
    assert "\x1b" not in refused.value.message
    assert time.monotonic() - begin < 60.0
    assert client.cluster(name) is None
    with pytest.raises(ApiError) as bad:
        client.validate("resources: {acceleratorz: 'H100:1'}")
    assert bad.value.status_code == 400
    assert "acceleratorz" in bad.value.message


def test_all_prices_are_known_before_anything_is_made(client):
    offers = client.list_accelerators(clouds=["slurm"])
    seen = {(offer.accelerator_name, offer.accelerator_count): offer.price for offer in offers}
    for gpu, usd in PRICES.items():
        assert seen[gpu, 1] == usd
        assert seen[gpu, 8] == 8 * usd


def test_a_launch_waits_for_gpus_and_outlives_the_death_of_the_server(client, server, slurm, name):
    """All GPUs are taken, so the launch waits; meanwhile the server is killed and loses the request."""
    taken = slurm.occupy("A100:8")
    pending = client.launch(task("A100:1"), name)

    def queued() -> bool:
        return any(job.startswith(name) and state == "PENDING" for job, state in slurm.job_states().items())

    assert until(queued, PATIENCE_S, 0.5), slurm.job_states()
    on_cloud = next(job for job in slurm.job_states() if job.startswith(name))

    server.kill()
    with pytest.raises(RequestLostError):
        _while_restarting(server, lambda: pending.result(PATIENCE_S))
    assert slurm.job_states()[on_cloud] == "PENDING", "what it had asked for is still asked for"

    slurm.cancel(taken)
    client.launch(task("A100:1"), name).result(PATIENCE_S)
    record = client.cluster(name)
    assert record is not None
    assert record.status == "UP"
    assert [job for job in slurm.jobs().values() if job.startswith(name)] == [on_cloud], (
        "one machine, not two"
    )


def _while_restarting(server: SkyPilotServer, call) -> None:
    """Calls while the server is away and comes back."""
    errors: list[BaseException] = []

    def restart() -> None:
        try:
            server.up()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        call()
    finally:
        thread.join()
        assert not errors, errors


def test_a_launch_is_watched_and_an_idle_cluster_ends_itself(client, slurm, name):
    """The steps of a launch for asyncio, before it has ended; then the end that nobody asks for."""
    pending = client.launch(task("A100:1"), name)

    async def read() -> tuple[int, str]:
        early, text = 0, ""
        async for line in client.stream_request_logs(pending):
            text += line + "\n"
            if early == 0:
                state = await asyncio.to_thread(client.request, pending.request_id)
                early += state is not None and not state.status.ended
        return early, text

    early, text = asyncio.run(read())
    assert pending.result(PATIENCE_S).job_id is None, "a task without `run` is no job"
    assert early == 1, "lines came while it ran"
    assert "Cluster launched" in text
    assert "\x1b" not in text

    record = client.cluster(name)
    assert record is not None
    client.autostop(name, 0, down=True)
    told = client.cluster(name, refresh=Refresh.NONE)
    assert told is None or told.to_down
    assert until(lambda: record.cluster_name_on_cloud not in slurm.jobs().values(), PATIENCE_S, 1.0)
    assert until(lambda: client.cluster(name) is None, PATIENCE_S, 1.0)
