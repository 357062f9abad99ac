"""Killed in the middle of a launch: engine, provider and server; then one `up` gives one cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from tests.engine.harness import wait_until
from tests.peers.skypilot_server import INFRA, SkyPilotServer
from tests.peers.slurm import Slurm
from tests.peers.stacks import PeerStack, machines, none_left

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 300.0


def test_one_cluster_after_everything_was_killed(
    tmp_path: Path, server: SkyPilotServer, client: SkyPilotClient, slurm: Slurm
):
    world = PeerStack(tmp_path, {"credentials": {"sky": {"cloud": "skypilot", "endpoint": server.url}}})
    world.set_cluster("one", server="sky", infra=[INFRA], accelerators=["H100:1"], run="sleep 1000")

    running = world.start("up")
    running.wait_for_host(PATIENCE_S)
    wait_until(lambda: machines(slurm), PATIENCE_S, "the launch has a machine")
    server.kill()
    running.kill_engine()
    running.kill_host()
    server.up()
    assert len(machines(slurm)) == 1

    world.stack.cancel().expect_ok()
    world.run("up").expect_ok()
    (record,) = client.status()
    assert record.status == "UP" and len(machines(slurm)) == 1
    jobs = [job for job in client.queue(record.name) if job.job_name.startswith("run-")]
    assert len(jobs) == 1, "what it runs was started once"

    # The server alone, while the provider waits for another launch of the same cluster.
    slurm.cancel(*machines(slurm))
    world.run("refresh").expect_ok()
    healing = world.start("up")
    wait_until(lambda: machines(slurm), PATIENCE_S, "the second launch has a machine")
    server.kill()
    server.up()
    healing.wait(900).expect_ok()
    (record,) = client.status()
    assert record.status == "UP" and len(machines(slurm)) == 1

    world.run("destroy").expect_ok()
    assert none_left(slurm, client)
