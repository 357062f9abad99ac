"""Clusters of a stack, through the real engine, on a real server that asks for credentials, and a real Slurm.

One story, because a launch is what takes long: what can happen at the same time, does.
"""

from __future__ import annotations

from pathlib import Path

from gpu_clouds.skypilot.client import SkyPilotClient
from tests.engine.harness import Result, wait_until
from tests.peers import cluster_calls as calls
from tests.peers.conftest import Guarded
from tests.peers.skypilot_server import INFRA, PRICES
from tests.peers.slurm import Slurm
from tests.peers.stacks import CANARY, SLOW_S, PeerStack, machines, none_left

STACK_ID = "peerlife"
PATIENCE_S = 900.0


def ours(slurm: Slurm) -> dict[str, str]:
    """Name of each cluster's job on Slurm -> its state; the server's own suffix is left out."""
    return {
        name.removeprefix(f"gp-p-{STACK_ID}-").rpartition("-")[0].rpartition("-")[0]: state
        for name, state in machines(slurm, STACK_ID).items()
    }


def said(result: Result) -> str:
    return "\n".join(event["message"] for event in result.diagnostics())


def test_the_life_of_two_clusters(tmp_path: Path, guarded: Guarded, admin: SkyPilotClient, slurm: Slurm):
    sky = {"cloud": "skypilot", "endpoint": guarded.url, "user": guarded.admin.user}
    world = PeerStack(
        tmp_path, STACK_ID, {"credentials": {"sky": {**sky, "apiKeyEnv": "TEST_SKYPILOT_PASSWORD"}}}
    )
    world.stack.env["TEST_SKYPILOT_PASSWORD"] = guarded.admin.password
    go_on = slurm.root / "home" / f"{STACK_ID}.go-on"
    go_on.unlink(missing_ok=True)
    world.set_cluster(
        "one",
        server="sky",
        infra=[INFRA],
        accelerators=["B200:1"],
        setup="echo prepared",
        run=calls.waits_for(go_on),
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
    assert none_left(slurm, STACK_ID)

    up = world.run("up").expect_ok()
    one, pair = world.outputs("one"), world.outputs("pair")
    assert (one["state"], one["place"], one["gpus"]) == ("READY", INFRA, {"H100": 1})
    assert one["hourlyUsd"] == PRICES["H100"] and pair["state"] == "READY"
    assert set(ours(slurm).values()) == {"RUNNING"} and len(ours(slurm)) == 2
    assert any("SkyPilot runtime" in event["message"] for event in up.diagnostics("one")), up.output

    # Its log, while it runs.
    calls.check_log(admin, one["clusterName"], int(one["jobId"]), go_on)

    # Another GPU is another cluster. All of that kind are taken: it queues until one is free.
    # In place: the two nodes are to end themselves when they are idle.
    operator = slurm.occupy("A100:8")
    world.set_cluster("one", accelerators=["A100:1"], setup=None, run="echo again", retryUntilUp=True)
    world.set_cluster("pair", autostopMin=1, autodown=True)
    replacing = world.start("up")
    wait_until(lambda: ours(slurm).get("one") == "PENDING", PATIENCE_S, "the new cluster queues")
    slurm.cancel(operator)
    changed = replacing.wait(SLOW_S).expect_ok().ops()
    assert changed["one"] in ("replace", "create-replacement", "delete-replaced")
    assert changed["pair"] == "update"
    assert world.outputs("pair")["clusterHash"] == pair["clusterHash"]
    calls.check_to_down(admin, pair["clusterName"])
    new = world.outputs("one")
    assert new["gpus"] == {"A100": 1} and new["clusterName"] != one["clusterName"]

    # What the server knows of it, and a further job.
    name = new["clusterName"]
    calls.check_record(admin, name, "A100", {"gpuplane-marker": name})
    calls.check_jobs(admin, name, int(new["jobId"]))
    calls.check_another_gpu_is_refused(admin, name, "H100")

    # The two nodes were idle meanwhile, and have ended themselves.
    wait_until(lambda: "pair" not in ours(slurm), PATIENCE_S, "the idle cluster has ended itself")
    assert "is gone" in said(world.run("refresh", "--target", "**::pair").expect_ok())
    assert "pair" not in world.stack.resources()

    world.run("destroy").expect_ok()
    assert none_left(slurm, STACK_ID, admin)
    assert CANARY not in world.files()
