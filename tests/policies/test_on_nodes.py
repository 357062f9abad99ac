"""Every policy on stacks of nodes: broken ones are named, the example stacks keep all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import NewStack
from tests.engine.harness import REPOSITORY, STACK
from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import CANARY, Emulator, World, account_key, candidate, cluster
from tests.examples import EXAMPLES, Example, stack_of
from tests.policies.found import PACK, WITH_PACK, all_policies, findings, what

ON_EMULATORS = [example for example in EXAMPLES if not example.plugins]
KEYS = {"runpod": account_key(0), "lambda": "emulator-key", "paperspace": "emulator-paperspace-key"}

UNGUARDED = """
import pulumi
from pulumi import dynamic


class Kept(dynamic.ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        return dynamic.CreateResult("id", dict(props))


class GpuNode(dynamic.Resource, module="gpu", name="GpuNode"):
    def __init__(self, name, props):
        super().__init__(Kept(), name, props)


env = {"HF_TOKEN": "canary-4c1d77-open", "API_KEY": pulumi.Output.secret("canary-4c1d77-closed")}
GpuNode("a", {"image": "x/y:v1.2.3", "env": env})
GpuNode("b", {"image": "x/y:v1.2.3"})
"""


@pytest.mark.parametrize("example", ON_EMULATORS, ids=lambda example: example.name)
def test_the_examples_keep_every_policy(
    example: Example, tmp_path: Path, template: Path, emulator: Emulator
) -> None:
    stack = stack_of(example, tmp_path / "x", template, emulator_folder=emulator.folder, keys=KEYS)
    preview = stack.preview(*WITH_PACK).expect_ok()
    assert findings(preview) == {}


def test_a_stack_that_breaks_the_limits_is_told_each(new_world: NewWorld) -> None:
    world = new_world(
        clusters={
            "chat": cluster(2, image="vllm/vllm-openai:latest", ports=["8000/http", "6379/tcp"]),
            "embed": cluster(1, candidates=[candidate("L40S", "EU-RO-1", capacity="on_demand")]),
        },
        policies={
            **all_policies(
                "advisory",
                budget={"hourlyUsd": 0.5, "monthlyUsd": 100},
                gpuPrice={"maxGpuHourlyUsd": 0.1},
                placement={"clouds": ["lambda"], "regions": ["us-*"], "gpus": ["RTX4090"]},
                devOnDemand={"maxGpus": 2},
                tags={"required": ["owner", "cost-centre"]},
            ),
            "stage": "dev",
        },
        settings={"tags": {"owner": "somebody"}},
    )
    preview = world.stack.preview(*WITH_PACK).expect_ok()
    assert set(findings(preview)) == {
        "budget",
        "gpu-price",
        "placement",
        "dev-on-demand",
        "dev-lifetime",
        "tags",
        "public-endpoints",
        "pinned-images",
    }
    assert all(told["enforcementLevel"] == "advisory" for each in findings(preview).values() for told in each)
    assert len(what(preview, "budget")) == 2 and "above 0.50" in what(preview, "budget")[0]
    assert "GpuNode 'embed-0' may use GPU L40S, which is not allowed" in what(preview, "placement")
    assert "GpuNode 'chat-0' and 1 more may be in region EU-RO-1, which is not allowed" in what(
        preview, "placement"
    )
    (on_demand,) = what(preview, "dev-on-demand")
    assert "of 3 GPUs on demand in stage dev, above 2" in on_demand
    assert what(preview, "tags") == [f"Stack 'gpuplane-{STACK}' has no tag cost-centre"]
    assert sorted(what(preview, "public-endpoints")) == [
        f"GpuNode 'chat-{n}' gives everybody port 6379" for n in (0, 1)
    ]
    assert world.writes() == []


def test_a_secret_in_the_open_and_a_node_without_its_guard(new_stack: NewStack) -> None:
    stack = new_stack(UNGUARDED, host="stock", config={"policies": {"budget": {"hourlyUsd": 1}}})
    preview = stack.preview(*WITH_PACK)
    assert not preview.ok
    assert what(preview, "plaintext-secrets") == ["GpuNode 'a' has a secret in plain text at env.HF_TOKEN"]
    assert what(preview, "leak-guard") == ["GpuNode 'a' and 1 more without a dependency on a LeakGuard"]
    assert set(findings(preview)) == {"plaintext-secrets", "leak-guard"}
    assert CANARY not in "".join(told["message"] for each in findings(preview).values() for told in each)


def test_limits_that_are_wrong_are_one_error(new_stack: NewStack) -> None:
    stack = new_stack("import pulumi\n", config={"policies": {"budget": {"hourly": 1}}})
    preview = stack.preview(*WITH_PACK)
    assert not preview.ok
    assert "gpuplane:policies.budget.hourly: " in preview.output
    assert 'did you mean "hourlyUsd"?' in preview.output
    assert "Traceback" not in preview.output


def gpuplane(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in the world's project, which gets a pack of its own."""
    if not (world.stack.project / "policies").exists():
        ignored = shutil.ignore_patterns("__pycache__", "test_*")
        shutil.copytree(PACK, world.stack.project / "policies", ignore=ignored)
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--stack", STACK],
        cwd=world.stack.project,
        env={**world.stack.env, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_what_is_mandatory_stops_before_anything_is_made(new_world: NewWorld) -> None:
    secret = f"{CANARY}-in-the-environment"
    world = new_world(
        clusters={"chat": cluster(2)}, policies={"budget": {"hourlyUsd": 0.5}, "pinnedImages": {}}
    )
    world.set_secret("clusters.chat.env.HF_TOKEN", secret)
    refused = gpuplane(world, "up", "--yes", "--skip-preview")
    assert refused.returncode not in (0, 2), refused.stdout
    assert "GpuNode 'chat-0' is the dearest of 2 that cost" in refused.stdout, refused.stdout + refused.stderr
    assert world.writes() == []

    # Without a preview a policy of one resource still stops before that resource.
    image = "vllm/vllm-openai:nightly"
    world.change("clusters.chat.image", image)
    skipped = world.stack.up(*WITH_PACK)
    assert not skipped.ok and "pinned-images" in findings(skipped)
    assert world.writes() == []

    # Nothing is in the way of a stack that keeps them, and no secret of its own gets out of its marks.
    world.change("clusters.chat.image", "vllm/vllm-openai:v0.11.0")
    world.change("policies.budget.hourlyUsd", 5)
    world.set_secret("clusters.chat.env.HF_TOKEN", secret)
    up = gpuplane(world, "up", "--yes", "--skip-preview")
    assert up.returncode == 0, up.stdout + up.stderr
    assert len(world.pods()) == 2
    assert CANARY not in world.stack.state_text()
    assert CANARY not in up.stdout + up.stderr + refused.stdout + refused.stderr

    # The state by itself, under limits that have changed since.
    kept = gpuplane(world, "policies")
    assert (kept.returncode, kept.stdout) == (0, f"stack {STACK}: every policy is kept\n"), kept.stderr
    world.change("policies", {"enabled": False, "gpuPrice": {"maxGpuHourlyUsd": 0.1}})
    broken = gpuplane(world, "policies")
    assert broken.returncode == 2, broken.stderr
    assert "[mandatory] gpu-price (medium)" in broken.stdout
    assert "GpuNode 'chat-0' and 1 more at" in broken.stdout
    assert CANARY not in broken.stdout + broken.stderr

    # Left out by the stack's file: the same limit stops nothing any more.
    again = gpuplane(world, "up", "--yes", "--skip-preview")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "gpu-price" not in again.stdout
