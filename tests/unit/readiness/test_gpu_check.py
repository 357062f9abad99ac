"""The GPU check, run whole over SSH on a node with a driver in disguise."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import pytest

from gpu_clouds.gpu_check import read_answer
from gpu_clouds.probing import NodeProbe
from gpu_clouds.readiness import Readiness
from tests.unit.readiness.conftest import instance
from tests.unit.readiness.ssh_server import Node

FAKE_CUDA = """
import ctypes, json, sys
from pathlib import Path
here = Path(__file__).parent
plan = json.loads((here / "plan.json").read_text())
calls = open(here / "calls", "a", buffering=1)

class Cuda:
    def __init__(self, name):
        if plan.get("no library"):
            raise OSError(name)
        assert name == "libcuda.so.1", name

    def __getattr__(self, what):
        def call(*values):
            print(what, file=calls)
            if what == "cuDeviceGetCount":
                values[0]._obj.value = plan.get("cuda", 2)
            if what == "cuGetErrorName":
                values[1]._obj.value = plan["name"].encode()
            if what == "cuMemAlloc_v2":
                assert values[1].value == 16 << 20
            return plan.get("codes", {}).get(what, 0)
        return call

ctypes.CDLL = Cuda
exec(sys.stdin.read())
"""


class Driver:
    """Programs of a node whose answers are written down beforehand."""

    def __init__(self, node: Node, plan: dict[str, Any]) -> None:
        self.folder = node.folder / "bin"
        self.folder.mkdir()
        (self.folder / "plan.json").write_text(json.dumps(plan))
        (self.folder / "fake_cuda.py").write_text(FAKE_CUDA)
        if "smi" in plan:
            self._program("nvidia-smi", plan["smi"])
        if plan.get("python", True):
            self._program("python3", f"exec {sys.executable} {self.folder}/fake_cuda.py")
        # Nothing else of this machine: it may have a driver, or a python3, of its own.
        for tool in ("cat", "grep", "head", "sh", "sleep", "touch"):
            found = shutil.which(tool, path="/bin:/usr/bin")
            assert found
            (self.folder / tool).symlink_to(found)
        node.path = f"{self.folder}"

    def _program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []


TWO = "printf 'NVIDIA H100 80GB HBM3\\nNVIDIA H100 80GB HBM3\\n'"
NOT_READY = {"cuInit": 802}

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("works", {"smi": TWO}, "", ""),
    ("in use already", {"smi": TWO, "codes": {"cuMemAlloc_v2": 2}}, "", ""),
    ("no room for a context", {"smi": TWO, "codes": {"cuCtxCreate_v2": 2}}, "", ""),
    (
        "CUDA 802",
        {"smi": TWO, "codes": NOT_READY, "name": "CUDA_ERROR_SYSTEM_NOT_READY"},
        "gpu",
        "the GPUs do not work: cuInit: CUDA error 802 CUDA_ERROR_SYSTEM_NOT_READY",
    ),
    (
        "an ECC error while writing",
        {"smi": TWO, "codes": {"cuCtxSynchronize": 214}, "name": "CUDA_ERROR_ECC_UNCORRECTABLE"},
        "gpu",
        "the GPUs do not work: cuCtxSynchronize: CUDA error 214 CUDA_ERROR_ECC_UNCORRECTABLE",
    ),
    ("one of two is lost", {"smi": "echo NVIDIA H100"}, "gpu", "nvidia-smi shows 1 GPU(s), not 2"),
    ("no GPU", {"smi": "true"}, "gpu", "nvidia-smi shows 0 GPU(s), not 2"),
    ("CUDA sees fewer", {"smi": TWO, "cuda": 1}, "gpu", "CUDA shows 1 GPU(s), not 2"),
    (
        "the driver is broken",
        {"smi": "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"},
        "gpu",
        "the GPUs do not work: nvidia-smi: Failed to initialize NVML: Driver/library version mismatch",
    ),
    ("no library", {"smi": TWO, "no library": True}, "gpu", "the GPUs do not work: no libcuda.so.1"),
    ("no driver yet", {}, "", "the node has no nvidia-smi yet, which the GPU check needs"),
    (
        "no python",
        {"smi": TWO, "python": False},
        "",
        "the node has no python3 yet, which the GPU check needs",
    ),
    ("hangs", {"smi": "sleep 60"}, "gpu", "the GPU check does not end within 2 s"),
]


@pytest.mark.parametrize(("plan", "refused_by", "detail"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_gpus_of_a_node(
    node: Node, probe: NodeProbe, plan: dict[str, Any], refused_by: str, detail: str
) -> None:
    driver = Driver(node, plan)
    limit = 1.6 if detail.endswith("2 s") else 30.0
    answer = probe(instance(node), Readiness(gpu=True, gpus=2, timeout_s=limit))
    assert (answer.ok, answer.refused_by, answer.detail) == (not detail, refused_by, detail)
    if not detail:
        calls = driver.calls()
        made = calls.count("cuCtxCreate_v2") if "codes" not in plan else 2
        assert made == 2 == calls.count("cuDeviceGet")
        assert calls.count("cuMemFree_v2") == (2 if "codes" not in plan else 0)


def test_gpus_that_have_worked_are_left_alone_until_the_node_starts_anew(
    node: Node, probe: NodeProbe
) -> None:
    driver = Driver(node, {"smi": TWO})
    asked = Readiness("command", command="true", gpu=True, gpus=2)
    assert probe(instance(node), asked)
    assert probe(instance(node), asked)
    assert driver.calls().count("cuInit") == 1
    probe.forget("i-1")
    assert probe(instance(node), asked)
    assert driver.calls().count("cuInit") == 2


def test_bad_gpus_are_told_before_the_command_is_run(node: Node, probe: NodeProbe) -> None:
    Driver(node, {"smi": "true"})
    answer = probe(instance(node), Readiness("command", command="touch ran", gpu=True))
    assert answer.refused_by == "gpu"
    assert not (node.folder / "ran").exists()


@pytest.mark.parametrize(
    "output", ["", "hello", "gpuplane-gpu", "gpuplane-gpu listed 2", "gpuplane-gpu cuda 2"]
)
def test_an_answer_without_a_result_is_no_pass(output: str) -> None:
    assert read_answer(output, 2).problem == "the GPU check ended without a result"


def test_other_lines_do_not_matter() -> None:
    said = "Welcome\ngpuplane-gpu listed 8\nwarning: x\ngpuplane-gpu cuda 8\n"
    assert read_answer(said, 8).problem == ""
    assert read_answer(said, 4).problem == "nvidia-smi shows 8 GPU(s), not 4"
