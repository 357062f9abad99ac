"""Nodes that their cloud calls ready and that are no good: who ends them, when, and what is tried next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Instance
from gpu_clouds.provisioning import ProvisioningError
from gpu_clouds.readiness import ProbeResult, Readiness
from tests.unit.provisioning.world import H100, L40S, Launch, World, request

GPU = Readiness(gpu=True)
BROKEN = ProbeResult(False, "CUDA error 802", "gpu")
FINE = ProbeResult(True)
HERE, THERE = replace(H100, region="EU-RO-1"), replace(H100, region="EU-CZ-1")


@pytest.fixture(autouse=True)
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name is looked for before a launch; here nothing ever runs it."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def world_with(tmp_path: Path, answer: Callable[[Instance], ProbeResult]) -> World:
    world = World(tmp_path)
    world.answer = lambda instance, readiness: answer(instance)
    return world


def in_places(*bad: str) -> Callable[[Instance], ProbeResult]:
    return lambda instance: BROKEN if instance.region in bad else FINE


def regions(world: World) -> list[str]:
    """Where nodes were launched, in order."""
    return [n.spec.candidate.region for n in world.runpod.nodes.values()]


def test_broken_gpus_end_the_node_and_the_next_candidate_is_taken(tmp_path: Path) -> None:
    world = world_with(tmp_path, in_places("EU-RO-1"))
    done = world.start().up(request("n0", HERE, THERE, readiness=GPU))
    assert done.instance.region == "EU-CZ-1"
    assert [n.id for n in world.living()] == ["runpod2"]
    told = "\n".join(done.notes)
    assert "runpod EU-RO-1 is tried last for the rest of this run: CUDA error 802" in told
    assert "unusable: CUDA error 802; node runpod1: deleted" in told


def test_gpus_get_three_tries_and_a_minute(tmp_path: Path) -> None:
    world = World(tmp_path)
    start = world.clock.time()
    asked: list[float] = []

    def answer(instance: Instance, readiness: Readiness) -> ProbeResult:
        asked.append(world.clock.time() - start)
        assert readiness.gpus == 1
        return BROKEN if world.clock.time() - start < 75 else FINE

    world.answer = answer
    # 20 s to boot, and 55 s until the GPUs are initialised.
    assert world.start().up(request("n0", HERE, readiness=GPU)).instance.id == "runpod1"
    assert len(asked) > 3

    world.answer = lambda instance, readiness: BROKEN
    start = world.clock.time()
    with pytest.raises(ProvisioningError) as caught:
        world.start().up(request("n1", HERE, readiness=GPU))
    assert caught.value.kind == "unusable"
    assert 80 <= world.clock.time() - start <= 150
    assert world.names() == ["n0"]


def test_how_many_gpus_are_wanted_is_the_candidates_word(tmp_path: Path) -> None:
    world = World(tmp_path)
    wanted: list[int] = []

    def answer(instance: Instance, readiness: Readiness) -> ProbeResult:
        wanted.append(readiness.gpus)
        return FINE

    world.answer = answer
    world.start().up(request("n0", replace(HERE, gpu_count=8), readiness=GPU))
    assert wanted == [8]


def test_other_nodes_of_the_run_try_a_bad_place_last(tmp_path: Path) -> None:
    world = world_with(tmp_path, in_places("EU-RO-1"))
    run = world.start()
    run.up(request("n0", HERE, THERE, readiness=GPU))
    run.up(request("n1", HERE, THERE, readiness=GPU))
    assert regions(world) == ["EU-RO-1", "EU-CZ-1", "EU-CZ-1"]
    # Better a bad place than nothing; the error says why it came last.
    world.runpod.script = [Launch(error=ValidationError("x", status=400), makes=False)] * 2
    with pytest.raises(ProvisioningError) as caught:
        run.up(request("n2", HERE, THERE, readiness=GPU))
    first, second = caught.value.message.splitlines()[1:]
    assert "EU-CZ-1" in first and "tried last" not in first
    assert "EU-RO-1" in second
    assert "(tried last: a node in EU-RO-1 was unusable in this run)" in second
    # Another run knows nothing of it.
    world.runpod.script = []
    world.start().up(request("n3", HERE, THERE, readiness=GPU))
    assert regions(world)[-2:] == ["EU-RO-1", "EU-CZ-1"]


@pytest.mark.parametrize("region", ["eu-central", ""])
def test_a_group_goes_on_in_its_other_places(tmp_path: Path, region: str) -> None:
    world = World(tmp_path)
    bad: list[str] = []

    def answer(instance: Instance, readiness: Readiness) -> ProbeResult:
        if instance.region not in bad and len(bad) < 2:
            bad.append(instance.region or "US-GA-1")
        return BROKEN if instance.region in ("", *bad) else FINE

    world.answer = answer
    world.runpod.script = []
    group = replace(H100, region=region)
    if region:
        done = world.start().up(request("n0", group, L40S, readiness=GPU))
        assert done.instance.region == "EU-FR-1"
        assert bad == ["EU-CZ-1", "EU-NL-1"]
    else:
        # A cloud that does not tell where the node is: nothing to avoid, so three launches and no more.
        done = world.start().up(request("n0", group, L40S, readiness=GPU))
        assert world.runpod.calls.count("create") == 3
        assert done.instance.cloud == "lambda"


def test_a_command_is_given_up_after_its_tries_only(tmp_path: Path) -> None:
    loading = ProbeResult(False, "the readiness command ends with 1: loading", "command")
    world = world_with(tmp_path, lambda instance: loading if instance.cloud == "runpod" else FINE)
    patient = Readiness("command", command="x")
    start = world.clock.time()
    done = world.start().up(request("n0", HERE, L40S, readiness=patient))
    assert done.instance.cloud == "lambda"
    assert world.clock.time() - start > 900
    assert "deadline: not ready after" in "\n".join(done.notes)

    strict = replace(patient, tries=4)
    start = world.clock.time()
    done = world.start().up(request("n1", HERE, L40S, readiness=strict))
    assert done.instance.cloud == "lambda"
    assert world.clock.time() - start < 120
    assert "unusable: the readiness command ends with 1: loading" in "\n".join(done.notes)


def test_refusals_count_in_a_row(tmp_path: Path) -> None:
    no = ProbeResult(False, "no", "command")
    away = ProbeResult(False, "cannot log in")
    answers = [no, away, no, away, no, FINE]
    world = world_with(tmp_path, lambda instance: answers.pop(0))
    asked = request("n0", HERE, readiness=Readiness("command", command="x", tries=2))
    assert world.start().up(asked).instance.id == "runpod1"
    assert answers == []


def test_a_node_that_is_kept_by_wish_is_kept(tmp_path: Path) -> None:
    world = world_with(tmp_path, in_places("EU-RO-1"))
    with pytest.raises(ProvisioningError) as caught:
        world.start().up(request("n0", HERE, THERE, readiness=GPU, keep_on_failure=True))
    assert caught.value.kept is not None
    assert [n.id for n in world.living()] == ["runpod1"]


@pytest.mark.parametrize(
    ("launch", "says"),
    [
        (Launch(gpus=0), "the node has 0 GPU(s), not 2"),
        (Launch(gpus=1), "the node has 1 GPU(s), not 2"),
        (Launch(gpu="A100-80GB-SXM"), "the node has A100-80GB-SXM, not H100-SXM"),
    ],
)
def test_other_gpus_than_asked_for_are_a_failure(tmp_path: Path, launch: Launch, says: str) -> None:
    world = World(tmp_path)
    world.runpod.script = [launch]
    done = world.start().up(request("n0", replace(HERE, gpu_count=2), L40S))
    assert done.instance.cloud == "lambda"
    assert [n.id for n in world.living()] == ["lambda1"]
    assert f"failed: {says}; node runpod1: deleted" in "\n".join(done.notes)


def test_a_gpu_that_the_table_does_not_know_is_no_failure(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [Launch(gpu="NVIDIA X1")]
    assert world.start().up(request("n0", HERE)).instance.id == "runpod1"


def test_a_machine_without_ssh_launches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    world = World(tmp_path)
    with pytest.raises(ValidationError, match="no `ssh`"):
        world.start().up(request("n0", HERE, readiness=GPU))
    assert world.runpod.calls == []
