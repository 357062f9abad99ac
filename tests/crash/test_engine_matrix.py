"""Kills and ^C through the whole engine: every replace, and a choice of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.crash.counting import judge
from tests.crash.cutting_proxy import Cut
from tests.crash.engine_matrix import EngineCase, EngineMatrix, EngineScenario, every_cut
from tests.crash.world import Emulator

NO_CHECKPOINTS = {"PULUMI_EXPERIMENTAL": "1", "PULUMI_SKIP_CHECKPOINTS": "1"}
ON_RUNPOD = {"cloud": "runpod"}
ON_LAMBDA = {"cloud": "lambda", "allowedSources": ["203.0.113.0/24"]}
ON_PAPERSPACE = {"cloud": "paperspace"}
FREE = {"cloud": "runpod", "credentials": "account", "gpus": ["RTX4090"], "regions": ["EU-RO-1"]}


def stack_file(nodes: int = 1, account: Mapping[str, Any] = ON_RUNPOD, **cluster: Any) -> Mapping[str, Any]:
    """One account and one cluster."""
    return {
        "stackId": "crash000",
        "credentials": {
            "account": {"endpoint": "emulator", "apiKeyEnv": "GPUPLANE_CRASH_KEY", **account},
        },
        "clusters": {
            "n": {
                "nodes": nodes,
                "candidates": [FREE],
                "image": "vllm/vllm-openai:v0.11.0",
                "ports": ["8000/http"],
                "readiness": {"kind": "http", "path": "/health"},
                **cluster,
            }
        },
    }


CREATE = EngineScenario("create", None, stack_file(2))
UPDATE = EngineScenario("update", stack_file(), stack_file(image="vllm/vllm-openai:v0.12.0"))
FEWER = EngineScenario("delete one node", stack_file(2), stack_file(1))
DESTROY = EngineScenario("destroy", stack_file(2), None)
DELETE_FIRST = EngineScenario("replace, delete first", stack_file(), stack_file(replaceTrigger="2"))
CREATE_FIRST = EngineScenario(
    "replace, create first",
    stack_file(deleteBeforeReplace=False),
    stack_file(deleteBeforeReplace=False, replaceTrigger="2"),
)
UNSAVED = EngineScenario("create, checkpoints skipped", stack_file(0), stack_file(2), extra=NO_CHECKPOINTS)

LAMBDA = stack_file(
    1,
    ON_LAMBDA,
    candidates=[{"cloud": "lambda", "credentials": "account", "gpus": ["A10"], "regions": ["us-west-1"]}],
)
PAPERSPACE = stack_file(
    1,
    ON_PAPERSPACE,
    candidates=[
        {"cloud": "paperspace", "credentials": "account", "gpus": ["RTX-A4000"], "regions": ["ny2"]},
    ],
)
LAMBDA_CREATE = EngineScenario("Lambda, create", None, LAMBDA, clouds=("lambda",))
LAMBDA_DESTROY = EngineScenario("Lambda, destroy", LAMBDA, None, clouds=("lambda",))
PAPERSPACE_CREATE = EngineScenario("Paperspace, create", None, PAPERSPACE, clouds=("paperspace",))
PAPERSPACE_DESTROY = EngineScenario("Paperspace, destroy", PAPERSPACE, None, clouds=("paperspace",))

LAUNCH_CUTS = [
    EngineCase(CREATE, "launch", nth, cut, "both", recovery)
    for nth, cut, recovery in (
        (1, Cut.BEFORE, "up"),
        (1, Cut.LATE, "destroy"),
        (2, Cut.LATE, "up"),
        (2, Cut.UNANSWERED, "up"),
        (1, Cut.UNANSWERED, "destroy"),
        (2, Cut.ANSWERED, "destroy"),
    )
]
OTHERS = [
    *LAUNCH_CUTS,
    EngineCase(CREATE, "launch", 1, Cut.LATE, "engine", "up"),
    EngineCase(CREATE, "launch", 2, Cut.UNANSWERED, "host", "up"),
    EngineCase(CREATE, "launch", 1, Cut.UNANSWERED, "host", "destroy"),
    EngineCase(CREATE, "list", 2, Cut.ANSWERED, "both", "up"),
    EngineCase(CREATE, "list", 2, Cut.ANSWERED, "engine", "destroy"),
    *(
        EngineCase(UPDATE, "patch", 1, cut, dies, recovery)
        for cut, dies, recovery in (
            (Cut.BEFORE, "both", "up"),
            (Cut.LATE, "both", "up"),
            (Cut.UNANSWERED, "engine", "up"),
            (Cut.ANSWERED, "both", "destroy"),
        )
    ),
    *(
        EngineCase(scenario, "delete", 1, cut, dies, recovery)
        for scenario, cut, dies, recovery in (
            (FEWER, Cut.BEFORE, "both", "up"),
            (FEWER, Cut.UNANSWERED, "both", "up"),
            (FEWER, Cut.LATE, "both", "destroy"),
            (DESTROY, Cut.BEFORE, "both", "destroy"),
            (DESTROY, Cut.LATE, "both", "destroy"),
            (DESTROY, Cut.UNANSWERED, "both", "up"),
            (DESTROY, Cut.ANSWERED, "both", "destroy"),
            (DESTROY, Cut.UNANSWERED, "host", "destroy"),
        )
    ),
]
OTHER_CLOUDS = [
    EngineCase(scenario, operation, 1, cut, "both", recovery)
    for scenario, operation, cut, recovery in (
        (LAMBDA_CREATE, "lambda make ruleset", Cut.LATE, "destroy"),
        (LAMBDA_CREATE, "lambda launch", Cut.LATE, "up"),
        (LAMBDA_CREATE, "lambda launch", Cut.UNANSWERED, "destroy"),
        (LAMBDA_DESTROY, "lambda delete", Cut.UNANSWERED, "up"),
        (LAMBDA_DESTROY, "lambda delete key", Cut.LATE, "up"),
        (PAPERSPACE_CREATE, "paperspace make script", Cut.LATE, "up"),
        (PAPERSPACE_CREATE, "paperspace launch", Cut.LATE, "destroy"),
        (PAPERSPACE_CREATE, "paperspace launch", Cut.UNANSWERED, "up"),
        (PAPERSPACE_DESTROY, "paperspace delete", Cut.UNANSWERED, "destroy"),
    )
]
SKIPPED = [
    EngineCase(UNSAVED, "launch", nth, cut, "both", recovery)
    for nth, cut in ((1, Cut.LATE), (2, Cut.UNANSWERED), (2, Cut.ANSWERED))
    for recovery in ("up", "destroy")
]
INTERRUPTED = [
    EngineCase(scenario, operation, nth, cut, "interrupt", recovery)
    for scenario, operation, nth, cut, recovery in (
        (CREATE, "list", 1, Cut.BEFORE, "up"),
        (CREATE, "launch", 1, Cut.BEFORE, "up"),
        (CREATE, "launch", 2, Cut.UNANSWERED, "destroy"),
        (CREATE, "launch", 2, Cut.ANSWERED, "up"),
        (CREATE, "list", 3, Cut.ANSWERED, "destroy"),
        (DELETE_FIRST, "launch", 1, Cut.UNANSWERED, "up"),
        (CREATE_FIRST, "launch", 1, Cut.ANSWERED, "destroy"),
        (DESTROY, "delete", 1, Cut.UNANSWERED, "destroy"),
    )
]


@pytest.fixture
def matrix(emulator: Emulator, folder: Path) -> EngineMatrix:
    """Cases of one test."""
    return EngineMatrix(emulator, folder)


@pytest.mark.parametrize("scenario", [DELETE_FIRST, CREATE_FIRST], ids=lambda one: one.name)
def test_every_cut_of_a_replace(matrix: EngineMatrix, scenario: EngineScenario) -> None:
    judge(f"engine {scenario.name}", matrix.run(every_cut(scenario, matrix.calls(scenario))))


def test_cuts_of_create_update_and_delete(matrix: EngineMatrix) -> None:
    judge("engine create, update, delete", matrix.run(OTHERS), may_miss=0)


def test_cuts_on_other_clouds(matrix: EngineMatrix) -> None:
    judge("engine on Lambda and Paperspace", matrix.run(OTHER_CLOUDS), may_miss=0)


def test_cuts_with_checkpoints_skipped(matrix: EngineMatrix) -> None:
    judge("engine without checkpoints", matrix.run(SKIPPED), may_miss=0)


def test_interrupts(matrix: EngineMatrix) -> None:
    judge("engine interrupted", matrix.run(INTERRUPTED), may_miss=0)


def test_a_lost_state_file_is_found_again_in_the_cloud(matrix: EngineMatrix) -> None:
    matrix.adopts_all(stack_file(3))
