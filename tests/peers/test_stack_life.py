"""Clusters of a stack, through the real engine, on the real server and a real Slurm cluster.

One story, because a launch is what takes long: what can happen at the same time, does.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from tests.engine.harness import Result, wait_until
from tests.peers.skypilot_server import INFRA, PRICES, SkyPilotServer
from tests.peers.slurm import Slurm
from tests.peers.stacks import CANARY, PREFIX, SLOW_S, PeerStack, machines, none_left

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 300.0


def ours(slurm: Slurm) -> dict[str, str]:
    """Name of each cluster's job on Slurm -> its state; the server's own suffix is left out."""
    return {
        name.removeprefix(PREFIX).rpartition("-")[0].rpartition("-")[0]: state
        for name, state in machines(slurm).items()
    }


def said(result: Result) -> str:
    return "\n".join(event["message"] for event in result.diagnostics())


def lines_of(
    client: SkyPilotClient, cluster: str, job: int, found: list[str], first: threading.Event
) -> None:
    for line in client.job_log_lines(cluster, job):
        if "step " in line:
            found.append(line.rpartition("step ")[2].strip())
            first.set()


def test_the_life_of_two_clusters(
    tmp_path: Path, server: SkyPilotServer, client: SkyPilotClient, slurm: Slurm
):
    world = PeerStack(tmp_path, {"credentials": {"sky": {"cloud": "skypilot", "endpoint": server.url}}})
    world.set_cluster(
        "one",
        server="sky",
        infra=[INFRA],
        accelerators=["B200:1"],
        setup="echo prepared",
        run="for i in 1 2 3 4 5 6 7 8; do echo step $i; sleep 1; done; nvidia-smi || true",
        maxHourlyUsd=5,
    )
    world.set_secret("skypilotClusters.one.envs.TOKEN", CANARY)

    # An impossible GPU, and one above the cap, are refused before anything exists.
    refused = world.run("preview")
    assert not refused.ok and "does not contain any instances satisfying the request" in refused.output
    world.set_cluster("one", accelerators=["H100:3"])
    assert "is above the cluster's cap of 5.00" in world.run("preview").output

    # A price beforehand. Two nodes have no GPU here: each kind of GPU is on one node.
    world.set_cluster("one", accelerators=["H100:1"])
    world.set_cluster("pair", server="sky", infra=[INFRA], nodes=2, cpus="1+")
    preview = world.run("preview").expect_ok()
    assert f"{PRICES['H100']:.2f}" in said(preview) and f"{PRICES['H100'] * 730:,.2f}" in said(preview)
    assert none_left(slurm)

    up = world.run("up").expect_ok()
    one, pair = world.outputs("one"), world.outputs("pair")
    assert (one["state"], one["place"], one["gpus"]) == ("READY", INFRA, {"H100": 1})
    assert one["hourlyUsd"] == PRICES["H100"] and pair["state"] == "READY"
    assert set(ours(slurm).values()) == {"RUNNING"} and len(ours(slurm)) == 2
    assert any("SkyPilot runtime" in event["message"] for event in up.diagnostics("one")), up.output

    # Its log, while it runs; and a further job.
    found: list[str] = []
    first = threading.Event()
    job = client.exec('{"name": "further", "run": "echo further"}', one["clusterName"])
    reader = threading.Thread(
        target=lines_of, args=(client, one["clusterName"], int(one["jobId"]), found, first)
    )
    reader.start()
    assert first.wait(PATIENCE_S)
    reader.join(PATIENCE_S)
    assert found == [str(number) for number in range(1, 9)]
    assert job.result(PATIENCE_S).job_id is not None

    # In place: the two nodes are to end themselves when they are idle. Nothing is run twice.
    world.set_cluster("pair", autostopMin=1, autodown=True)
    changed = world.run("up").expect_ok().ops()
    assert (changed["one"], changed["pair"]) == ("same", "update")
    assert world.outputs("one")["jobId"] == one["jobId"]
    assert world.outputs("pair")["clusterHash"] == pair["clusterHash"]

    # Preempted: the refresh sees it, the next up heals it.
    slurm.cancel(*(name for name in machines(slurm) if name.startswith(f"{PREFIX}one-")))
    refreshed = world.run("refresh", "--target", "**::one").expect_ok()
    assert "is gone" in said(refreshed) and "one" not in world.stack.resources()
    world.run("up").expect_ok()
    healed = world.outputs("one")
    assert healed["clusterName"] == one["clusterName"] and healed["clusterHash"] != one["clusterHash"]

    # Another GPU is another cluster. All of that kind are taken: it queues until one is free.
    operator = slurm.occupy("A100:8")
    world.set_cluster("one", accelerators=["A100:1"], setup=None, run=None, retryUntilUp=True)
    replacing = world.start("up")
    wait_until(lambda: ours(slurm).get("one") == "PENDING", PATIENCE_S, "the new cluster queues")
    slurm.cancel(operator)
    replaced = replacing.wait(SLOW_S).expect_ok()
    assert replaced.ops()["one"] in ("replace", "create-replacement", "delete-replaced")
    new = world.outputs("one")
    assert new["gpus"] == {"A100": 1} and new["clusterName"] != one["clusterName"]

    # The two nodes were idle meanwhile, and have ended themselves.
    wait_until(lambda: "pair" not in ours(slurm), PATIENCE_S, "the idle cluster has ended itself")
    assert "is gone" in said(world.run("refresh", "--target", "**::pair").expect_ok())
    assert "pair" not in world.stack.resources()

    world.run("destroy").expect_ok()
    assert none_left(slurm, client)
    assert CANARY not in world.files()
