"""The stand-ins in the real engine. That they agree to something says nothing of what a cloud would do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.engine.conftest import new_stack, template  # noqa: F401 - fixtures
from tests.engine.harness import Stack, _processes, wait_until
from tests.kubernetes.standins import programs
from tests.kubernetes.standins.world import World, pretended

AWS_POOL = "aws:eks/nodeGroup:NodeGroup"
GCP_POOL = "gcp:container/nodePool:NodePool"
AKS_POOL = "azure-native:containerservice:AgentPool"
PASSWORD = "canary-password-4711"
# Generous: a busy machine starts a plugin slowly.
START_S, END_S = 120.0, 30.0

NewStack = Callable[..., Stack]


def messages(result: Any) -> str:
    return "\n".join(each["message"] for each in result.diagnostics())


def test_a_life_on_aws(new_stack: NewStack, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    stack = pretended(new_stack(programs.AWS), ["aws"], tmp_path / "world")
    world = World(tmp_path / "world", "aws")

    assert set(stack.preview().expect_ok().ops().values()) == {"create"}
    assert not world.file.exists(), "a preview pretends nothing"
    made = stack.up().expect_ok()
    assert messages(made).count("stand-in for pulumi-resource-aws: inputs are checked") == 1
    outputs = stack.outputs()
    assert outputs["endpoint"].startswith("https://") and outputs["group"].startswith("sg-")
    assert outputs["zone"] == "us-east-1a"
    assert set(stack.preview().expect_ok().ops().values()) == {"same"}

    # The autoscaler's work is no difference; what somebody else changed is, and a removed role is gone.
    pool = world.one(AWS_POOL)
    world.change(AWS_POOL, scalingConfig={**pool["scalingConfig"], "desiredSize": 2, "maxSize": 9})
    world.remove("aws:ec2/launchTemplate:LaunchTemplate")
    ops = stack.refresh().expect_ok().ops()
    assert (ops["pool"], ops["template"]) == ("refresh", "refresh")
    assert "template" not in stack.resources()
    repaired = stack.up().expect_ok().ops()
    assert (repaired["template"], repaired["pool"]) == ("create", "update")
    assert world.one(AWS_POOL)["scalingConfig"]["maxSize"] == 2

    # A launch template changes in place and tells of a new version; the pool follows.
    stack.set_config({"text": "b"})
    changed = stack.up().expect_ok().ops()
    assert (changed["template"], changed["pool"]) == ("update", "update")
    assert world.one(AWS_POOL)["launchTemplate"]["version"] == "2"

    # A new image replaces the pool: its name is taken until the old one is gone.
    stack.set_config({"image": "BOTTLEROCKET_x86_64_NVIDIA", "dbr": False})
    refused = stack.up()
    assert not refused.ok and "'gpu:gpu' already exists" in refused.output
    stack.set_config({"dbr": None})
    replaced = stack.up().expect_ok()
    assert "replace" in {step["op"] for step in replaced.steps()}
    assert world.one(AWS_POOL)["amiType"] == "BOTTLEROCKET_x86_64_NVIDIA"

    stack.destroy().expect_ok()
    assert world.read() == {}


def test_what_is_named_must_be_there(new_stack: NewStack, tmp_path: Path) -> None:  # noqa: F811
    stack = pretended(new_stack(programs.AWS, config={"cluster": "other"}), ["aws"], tmp_path / "world")
    refused = stack.preview()
    assert not refused.ok
    assert "clusterName: there is no aws:eks/cluster:Cluster whose name is 'other'" in refused.output


def test_without_a_folder_nothing_is_pretended(new_stack: NewStack, tmp_path: Path) -> None:  # noqa: F811
    stack = pretended(new_stack(programs.GCP), ["gcp"], None)
    stack.preview().expect_ok()
    refused = stack.up()
    assert not refused.ok
    assert "a stand-in for pulumi-resource-gcp, which creates nothing" in refused.output
    assert "Install the official plugin" in refused.output
    assert not [name for name in stack.resources() if name != "default"]


def test_a_life_on_gcp(new_stack: NewStack, tmp_path: Path) -> None:  # noqa: F811
    stack = pretended(new_stack(programs.GCP), ["gcp"], tmp_path / "world")
    world = World(tmp_path / "world", "gcp")
    stack.up().expect_ok()
    pool = world.one(GCP_POOL)
    assert pool["nodeConfig"]["serviceAccount"] == "gpu-nodes@gpuplane-stand-in.iam.gserviceaccount.com"
    # A larger machine of the family is changed in place, spot is not.
    stack.set_config({"machine": "g2-standard-16", "most": 4})
    assert stack.up().expect_ok().ops()["pool"] == "update"
    stack.set_config({"spot": True})
    replaced = stack.up().expect_ok()
    assert "replace" in {step["op"] for step in replaced.steps()}
    assert world.one(GCP_POOL)["nodeConfig"]["spot"] is True
    stack.destroy().expect_ok()
    assert world.read() == {}


def test_a_life_on_azure(new_stack: NewStack, tmp_path: Path) -> None:  # noqa: F811
    stack = new_stack(programs.AZURE)
    stack.set_secret("password", PASSWORD)
    pretended(stack, ["azure-native"], tmp_path / "world")
    world = World(tmp_path / "world", "azure-native")
    up = stack.up().expect_ok()
    assert PASSWORD not in stack.state_text() + up.output + world.file.read_text()
    assert stack.resources()["database"]["outputs"]["administratorLoginPassword"] != PASSWORD
    kubeconfig = stack.outputs()["kubeconfig"]
    assert isinstance(kubeconfig, dict) and "ciphertext" in kubeconfig, "credentials are a secret"
    assert set(stack.refresh().expect_ok().ops().values()) == {"refresh"}
    assert set(stack.preview().expect_ok().ops().values()) == {"same"}

    # AKS refuses this change, and the plugin does not replace for it by itself.
    stack.set_config({"spot": True})
    refused = stack.preview()
    assert not refused.ok
    assert "Azure refuses to change it" in refused.output and "replace_on_changes" in refused.output
    stack.set_config({"replace": True})
    replaced = stack.up().expect_ok()
    assert "replace" in {step["op"] for step in replaced.steps()}
    assert world.one(AKS_POOL)["scaleSetPriority"] == "Spot"
    stack.destroy().expect_ok()
    assert world.read() == {}


def test_what_a_stand_in_did_not_make_is_left_alone(new_stack: NewStack, tmp_path: Path) -> None:  # noqa: F811
    program = """
import pulumi
import pulumi_azure_native as azure
explicit = azure.Provider("explicit", location="westeurope")
azure.resources.ResourceGroup("group", resource_group_name="real", location="eastus")
azure.resources.ResourceGroup("other", location="eastus", opts=pulumi.ResourceOptions(provider=explicit))
"""
    stack = pretended(new_stack(program), ["azure-native"], tmp_path / "world")
    made = stack.up().expect_ok()
    assert messages(made).count("inputs are checked") == 1, "one line, however many providers there are"
    text = stack.run("stack", "export", "--stack", "test").output
    exported = stack.project / "state.json"
    exported.write_text(text.replace('"__standIn"', '"tookTheMarkAway"'))
    stack.run("stack", "import", "--stack", "test", "--file", str(exported)).expect_ok()
    for refused in (stack.refresh(), stack.destroy()):
        assert not refused.ok
        assert "was not made by this stand-in" in refused.output
    assert "real" in World(tmp_path / "world", "azure-native").file.read_text()


def test_it_ends_with_its_engine(new_stack: NewStack, tmp_path: Path) -> None:  # noqa: F811
    # The program waits as soon as its first resource has been previewed.
    program = programs.AWS + "\nimport time\nvpc.cidr_block.apply(lambda _: time.sleep(120))\n"
    stack = pretended(new_stack(program), ["aws"], tmp_path / "world")
    running = stack.start_operation("preview")
    engine = running.process.pid

    def plugin() -> int | None:
        found = [
            pid for pid, parent, line in _processes() if "standins/start.py" in line and parent == engine
        ]
        return found[0] if found else None

    pid = wait_until(plugin, START_S, "the plugin started")
    running.kill_engine()
    wait_until(lambda: all(other != pid for other, _, _ in _processes()), END_S, "the plugin ended")
