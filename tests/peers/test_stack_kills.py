"""What a kill -9 and a preemption leave: one cluster after an `up`, none after a `destroy`.

A cluster of SkyPilot, a node that SkyPilot takes over from RunPod, and one that RunPod takes over from it, in
one stack on the real server and a real Slurm cluster. RunPod is emulated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import ApiError, RequestLostError
from gpu_clouds.skypilot.models import Refresh
from tests.engine.harness import Result, Stack, wait_until
from tests.engine.nodes.world import STACK_ID, Emulator, World, candidate
from tests.peers.cluster_calls import check_told_while_it_runs
from tests.peers.processes import until
from tests.peers.skypilot_server import INFRA, PRICES, SkyPilotServer
from tests.peers.slurm import Slurm
from tests.peers.stacks import SLOW_S, none_left

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 900.0
LOST = "live-lost"


def node(*candidates: dict[str, Any]) -> dict[str, Any]:
    """One node that only has to exist: neither Slurm nor this test opens ports."""
    return {
        "nodes": 1,
        "candidates": list(candidates),
        "image": "vllm/vllm-openai:v0.11.0",
        "args": "sleep 3600",
        "readiness": {"kind": "none"},
    }


def on_slurm(gpu: str) -> dict[str, Any]:
    """A candidate of the real server."""
    return {"cloud": "skypilot", "credentials": "lab", "gpus": [gpu], "regions": [INFRA]}


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    (tmp_path / "emulator").mkdir()
    running = Emulator(tmp_path / "emulator")
    yield running
    running.close()


@pytest.fixture
def world(server: SkyPilotServer, emulator: Emulator, tmp_path: Path) -> World:
    made = World(
        emulator,
        0,
        lambda program, **options: Stack(tmp_path / "stack", program, **options),
        None,
        "ours",
        {
            "credentials": {
                "main": {"cloud": "runpod", "endpoint": "emulator", "apiKeyEnv": "TEST_RUNPOD_KEY"},
                "lab": {"cloud": "skypilot", "endpoint": server.url, "features": ["bare"]},
            },
            "clusters": {
                "away": node(on_slurm("B200"), candidate("RTX4090")),
                "home": node(candidate("H100-SXM", "US-CA-2"), on_slurm("H100-SXM")),
            },
            "skypilotClusters": {
                "one": {"server": "lab", "infra": [INFRA], "accelerators": ["H100:1"], "run": "sleep 1000"}
            },
        },
    )
    # The server is real, and so is its time.
    made.stack.env["GPUPLANE_TIME_SCALE"] = "1"
    made.stack.env["GPUPLANE_STATE_DIR"] = str(tmp_path / "gpuplane")
    return made


def do(world: World, operation: str) -> Result:
    """Runs an operation to its end."""
    return world.stack.start_operation(operation).wait(SLOW_S).expect_ok()


def jobs_of(slurm: Slurm) -> dict[str, str]:
    """Jobs of this test, that of the lost launch included: id -> name. Others use the cluster too."""
    ours = (f"gp-p-{STACK_ID}-", LOST)
    return {job: name for job, name in slurm.jobs().items() if name.startswith(ours)}


def names_of(jobs: dict[str, str]) -> list[str]:
    """Their names, one for each machine: two of one cluster would be there twice."""
    return sorted(jobs.values())


def kill_and_restart(server: SkyPilotServer, meanwhile: Callable[[], None]) -> None:
    """Kills the server and starts it again; something is done while it is away and comes back."""
    server.kill()
    errors: list[BaseException] = []

    def restart() -> None:
        try:
            server.up()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        meanwhile()
    finally:
        thread.join()
        assert not errors, errors


def test_one_of_each_whatever_is_killed(
    world: World, server: SkyPilotServer, client: SkyPilotClient, slurm: Slurm
) -> None:
    preview = do(world, "preview").ops()
    assert {"away-0", "home-0", "one"} <= {name for name, op in preview.items() if op == "create"}
    assert not jobs_of(slurm) and world.pods() == []

    # Killed while both launch on Slurm: the server, the engine and the provider.
    world.emulator.set(capacity={"NVIDIA H100 80GB HBM3|US-CA-2": 0})
    running = world.stack.start_operation("up")
    running.wait_for_host(PATIENCE_S)
    # A third launch is the client's own. It must not queue for GPUs: others would wait behind it.
    pending = client.launch(f"resources: {{infra: {INFRA}, cpus: 1+}}\n", LOST)
    check_told_while_it_runs(client, pending)
    wait_until(lambda: len(jobs_of(slurm)) == 3, PATIENCE_S, "all three launches have a machine")
    running.kill_engine()
    running.kill_host()
    before = jobs_of(slurm)

    def asks_on() -> None:
        with pytest.raises(RequestLostError):
            pending.result(PATIENCE_S)

    kill_and_restart(server, asks_on)
    assert jobs_of(slurm) == before, "what was asked for is still there"
    ending = client.down(LOST)
    world.stack.cancel().expect_ok()
    do(world, "up")
    ending.result(PATIENCE_S)
    # `down` has ended also what never came up.
    wanted = [name for name in names_of(before) if not name.startswith(LOST)]
    assert until(lambda: len(jobs_of(slurm)) <= 2, 30.0, 0.2)
    machines = jobs_of(slurm)
    assert names_of(machines) == wanted, "one machine each, not two"
    away, home, one = (world.outputs(name) for name in ("away-0", "home-0", "one"))
    assert (away["cloud"], away["gpu"]) == ("runpod", "RTX4090") and len(world.pods()) == 1
    assert (home["cloud"], home["region"], home["gpu"]) == ("skypilot", INFRA, "H100-SXM")
    assert home["hourlyUsd"] == PRICES["H100"] and home["state"] == "READY"
    assert {record.status for record in client.status(refresh=Refresh.NONE)} == {"UP"}
    runs = [job for job in client.queue(one["clusterName"]) if job.job_name.startswith("run-")]
    assert len(runs) == 1, "what it runs was started once"

    # RunPod has room now: nobody moves.
    world.emulator.restore()
    assert set(do(world, "up").ops().values()) <= {"same"}
    assert jobs_of(slurm) == machines and len(world.pods()) == 1
    world.emulator.set(capacity={"NVIDIA H100 80GB HBM3|US-CA-2": 0})

    # A real preemption of both. Only who looks closely sees it.
    slurm.cancel(*machines.values())
    assert until(lambda: not jobs_of(slurm), 60.0, 0.2)
    told = client.cluster(one["clusterName"], refresh=Refresh.NONE)
    assert told is None or told.status == "UP", "only FORCE asks the cluster"
    refreshed = do(world, "refresh")
    assert any("is gone" in event["message"] for event in refreshed.diagnostics("one"))
    assert "one" not in world.stack.resources()
    with pytest.raises(ApiError) as absent:
        client.down(one["clusterName"]).result(PATIENCE_S)
    assert absent.value.is_not_found

    # The next up heals it, although the server alone is killed and started again meanwhile.
    healing = world.stack.start_operation("up")
    wait_until(lambda: len(jobs_of(slurm)) == 2, PATIENCE_S, "both launches have a machine")
    server.kill()
    server.up()
    healing.wait(SLOW_S).expect_ok()
    again, healed = world.outputs("one"), world.outputs("home-0")
    assert again["clusterName"] == one["clusterName"] and again["clusterHash"] != one["clusterHash"]
    assert (healed["cloud"], healed["marker"]) == ("skypilot", home["marker"])
    assert healed["state"] == again["state"] == "READY"
    assert names_of(jobs_of(slurm)) == names_of(machines) and not jobs_of(slurm).keys() & machines.keys()
    assert len(world.pods()) == 1

    do(world, "destroy")
    assert none_left(slurm, STACK_ID, client) and world.pods() == []
