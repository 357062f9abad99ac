"""Nodes between the real SkyPilot server and emulated RunPod, through the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.harness import Stack
from tests.engine.nodes.world import STACK_ID, Emulator, World, candidate
from tests.peers.processes import until
from tests.peers.skypilot_server import INFRA, PRICES, SkyPilotServer
from tests.peers.slurm import Slurm

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Longer than an operation with a launch on a machine that has much else to do.
SLOW_S = 900.0
OURS = f"gp-p-{STACK_ID}-"


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


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(tmp_path_factory.mktemp("emulator"))
    yield running
    running.close()


@pytest.fixture
def world(server: SkyPilotServer, emulator: Emulator, tmp_path: Path) -> Iterator[World]:
    """A node that RunPod has to take over, and one that SkyPilot has to."""
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
        },
    )
    # The server is real, and so is its time.
    made.stack.env["GPUPLANE_TIME_SCALE"] = "1"
    made.stack.env["GPUPLANE_STATE_DIR"] = str(tmp_path / "gpuplane")
    yield made
    made.stack.start_operation("destroy").wait(SLOW_S).expect_ok()


def do(world: World, operation: str) -> dict[str, str]:
    """Runs an operation; what it did with each resource."""
    return world.stack.start_operation(operation).wait(SLOW_S).expect_ok().ops()


def jobs_of(slurm: Slurm, name: str) -> list[str]:
    """Ids of the jobs whose names start so. Others may use the cluster too."""
    return [job for job, what in slurm.jobs().items() if what.startswith(name)]


def test_each_takes_over_from_the_other_and_then_stays(
    world: World, slurm: Slurm, server: SkyPilotServer
) -> None:
    assert {"away-0", "home-0"} <= {name for name, op in do(world, "preview").items() if op == "create"}
    assert not jobs_of(slurm, OURS) and world.pods() == []

    world.emulator.set(capacity={"NVIDIA H100 80GB HBM3|US-CA-2": 0})
    do(world, "up")
    away, home = world.outputs("away-0"), world.outputs("home-0")
    assert (away["cloud"], away["gpu"]) == ("runpod", "RTX4090")
    assert (home["cloud"], home["region"], home["gpu"]) == ("skypilot", INFRA, "H100-SXM")
    assert home["hourlyUsd"] == PRICES["H100"] and home["state"] == "READY"
    marker = home["marker"]
    (job,) = jobs_of(slurm, marker)

    # RunPod has room now: nobody moves.
    world.emulator.restore()
    assert set(do(world, "up").values()) <= {"same"}
    assert jobs_of(slurm, marker) == [job] and len(world.pods()) == 1
    world.emulator.set(capacity={"NVIDIA H100 80GB HBM3|US-CA-2": 0})

    # A real preemption; and while the node comes back its server is killed and started again.
    slurm.command("scancel", job)
    assert until(lambda: not jobs_of(slurm, marker), 120, 0.5)
    do(world, "refresh")
    up = world.stack.start_operation("up")
    assert until(lambda: bool(jobs_of(slurm, marker)), SLOW_S, 0.5), up.output
    server.kill()
    server.up()
    up.wait(SLOW_S).expect_ok()
    healed = world.outputs("home-0")
    assert (healed["cloud"], healed["marker"], healed["state"]) == ("skypilot", marker, "READY")
    assert len(jobs_of(slurm, marker)) == 1 and jobs_of(slurm, marker) != [job]
    assert len(world.pods()) == 1

    do(world, "destroy")
    assert until(lambda: not jobs_of(slurm, OURS), 60, 0.5) and world.pods() == []
