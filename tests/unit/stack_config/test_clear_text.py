"""Keys in clear text are found wherever they were written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stack_config import Opaque
from stack_config.clear_text import clear_text

CANARY = "canary-51f0"
SECURE = Opaque()


def paths(
    values: dict[str, Any], file: dict[str, Any] | None = None, secret: tuple[str, ...] = ()
) -> list[str]:
    found = clear_text(values, file, secret)
    assert CANARY not in "".join(map(str, found))
    return [problem.path for problem in found]


def accounts(**keys: object) -> dict[str, Any]:
    return {"credentials": {name: {"cloud": "runpod", "apiKey": key} for name, key in keys.items()}}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (accounts(main=CANARY), ["gpuplane:credentials.main.apiKey"]),
        ({"clusters": {"chat": {"apiKey": CANARY}}}, ["gpuplane:clusters.chat.apiKey"]),
        (
            {"clusters": {"chat": {"readiness": {"gpu": True, "sshKey": CANARY}}}},
            ["gpuplane:clusters.chat.readiness.sshKey"],
        ),
        ({"credentials": {"main": {"cloud": "runpod", "apiKeyEnv": "RUNPOD_API_KEY"}}}, []),
        ({"stackId": "k3v9x2pq"}, []),
        ({"credentials": None, "clusters": "text"}, []),
        ({"credentials": {"main": None}, "clusters": {"chat": {"apiKey": ""}}}, []),
    ],
)
def test_without_any_secure_value_what_the_engine_gave_decides(
    values: dict[str, Any], found: list[str]
) -> None:
    assert paths(values) == found
    assert paths(values, {}) == found


def test_beside_a_secure_value_the_file_tells_which_is_which() -> None:
    given = accounts(main=CANARY, other=CANARY)
    file = accounts(main=SECURE, other=CANARY)
    assert paths(given, file, ("credentials",)) == ["gpuplane:credentials.other.apiKey"]
    assert paths(given, accounts(main=SECURE, other=SECURE), ("credentials",)) == []
    # An environment or another file has them: the engine has said that they are secret, and no more.
    assert paths(given, {}, ("credentials",)) == []
    assert paths(given, None, ("credentials",)) == []
    # What is secret in one object says nothing of another.
    assert paths({**given, "clusters": {"a": {"apiKey": CANARY}}}, file, ("clusters",)) == [
        "gpuplane:credentials.main.apiKey",
        "gpuplane:credentials.other.apiKey",
    ]


def test_objects_that_are_secure_as_a_whole_or_written_as_text() -> None:
    given = accounts(main=CANARY)
    assert paths(given, {"credentials": SECURE}, ("credentials",)) == []
    as_text = {"credentials": json.dumps(given["credentials"])}
    assert paths(as_text) == ["gpuplane:credentials.main.apiKey"]
    assert paths(given, as_text, ("credentials",)) == ["gpuplane:credentials.main.apiKey"]
    assert paths({"credentials": "{broken"}) == []


def test_the_problem_has_the_command_that_helps() -> None:
    (problem,) = clear_text(accounts(main=CANARY), None, ())
    assert str(problem) == (
        "gpuplane:credentials.main.apiKey: is in clear text, and the engine would keep it so; make it a "
        "secure value: pulumi config set --secret --path gpuplane:credentials.main.apiKey"
    )
