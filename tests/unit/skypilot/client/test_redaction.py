"""Secrets of tasks, tokens and passwords are in no error, log line or metric, whatever the server says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds.metrics import METRICS
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import BasicAuth, BearerToken
from gpu_clouds.skypilot.errors import ApiError, as_cloud_error
from gpu_clouds.skypilot.task_secrets import secret_values
from tests.unit.skypilot.client.harness import Server, client, failed, finished, taken, texts

# Made here, so that no scanner takes them for real ones.
CANARIES = {
    "env": "canary-" + "e" * 12,
    "secret": "canary-" + "s" * 12,
    "multi": "canary-first-line\n  canary-second-line",
    "quoted": 'canary\'s "quoted" value',
    "token": "sky_canary-" + "t" * 20,
    "further": "canary-" + "f" * 12,
}
TASK = json.dumps(
    {
        "envs": {"A": CANARIES["env"], "M": CANARIES["multi"]},
        "secrets": {"HF_TOKEN": CANARIES["secret"], "Q": CANARIES["quoted"]},
        "run": "echo hello",
    }
)
Ask = Callable[[SkyPilotClient], Any]
CALLS: dict[str, Ask] = {
    "launch": lambda c: c.launch(TASK, "c", secrets=[CANARIES["further"]]).result(),
    "exec": lambda c: c.exec(TASK, "c", secrets=[CANARIES["further"]]).result(),
    "validate": lambda c: c.validate(TASK, secrets=[CANARIES["further"]]),
}


def everything_echoed() -> str:
    """What a careless server could say: all that it was sent, in several spellings."""
    return "\n".join(
        spelling
        for value in CANARIES.values()
        for spelling in (value, repr(value), json.dumps(value), f"x{value}y", yaml.safe_dump({"a": value}))
    )


def answers() -> list[Any]:
    said = everything_echoed()
    return [
        httpx.Response(
            400, json={"detail": {"type": "InvalidSkyPilotConfigError", "message": said, "extra": said}}
        ),
        httpx.Response(400, json={"detail": said}),
        httpx.Response(422, json={"detail": [{"loc": ["body", said], "msg": said, "input": said}]}),
        httpx.Response(500, text=said),
        httpx.Response(401, json=said),
        httpx.Response(400, json={"error": "version_mismatch", "message": said}),
        httpx.Response(400, json={"error": said, "message": said}),
        httpx.Response(302, headers={"Location": "https://x/?t=" + CANARIES["token"]}, text=said),
        httpx.ConnectError(said),
        httpx.ReadError(said),
    ]


def check(error: ApiError) -> None:
    for shown in (error, as_cloud_error(error)):
        for text in texts(shown):
            assert "canary" not in text


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("which", range(10))
def test_no_error_of_a_call_repeats_a_secret(call: str, which: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server({f"/{call}": answers()[which]})
    with pytest.raises(ApiError) as caught:
        CALLS[call](client(server, auth=BearerToken.fixed(CANARIES["token"])))
    check(caught.value)
    assert "canary" not in caplog.text
    assert "canary" not in "".join(METRICS.series())
    assert any(b"canary" in request.content for request in server.requests)


@pytest.mark.parametrize("call", ["launch", "exec"])
def test_no_error_of_a_failed_request_repeats_a_secret(call: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = everything_echoed()
    server = Server(
        {
            f"/{call}": taken(),
            "/api/status": finished("FAILED"),
            "/api/get": failed("CommandError", said, name=said),
        }
    )
    with pytest.raises(ApiError) as caught:
        CALLS[call](client(server, auth=BearerToken.fixed(CANARIES["token"])))
    assert caught.value.error_code == "CommandError"
    check(caught.value)
    assert "canary" not in caplog.text


def test_neither_a_client_nor_a_request_shows_a_secret() -> None:
    server = Server({"/launch": taken()})
    subject = client(server, auth=BasicAuth("me", "canary-password"))
    pending = subject.launch(TASK, "c", secrets=[CANARIES["further"]])
    assert "canary" not in repr(pending) + repr(subject.connection) + repr(subject)


def test_the_log_of_a_call_has_what_an_operator_needs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "gpuplane.clouds")
    client(Server({"/launch": taken()})).launch(TASK, "c")
    line = json.loads(next(message for message in caplog.messages if message.startswith("{")))
    assert (line["operation"], line["cloud"], line["status"]) == ("launch", "skypilot", "200")
    assert line["request_id"]


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("envs: {A: one}\nsecrets: {B: two}\n", {"one", "two"}),
        ("envs: {A: 5, B: 1.5, C: null, D: true}\n", {"5", "1.5"}),
        ("envs: [A: one, B: two]\n", {"one", "two"}),
        ("name: dag\n---\nenvs: {A: one}\n---\nenvs: {A: two}\n", {"one", "two"}),
        ("run: echo\n", set()),
        ("envs: null\n", set()),
        ("envs: word\n", set()),
        ("- a list\n", set()),
        ("resources: [\n", set()),
        ("", set()),
        ("a: &x [*x]\n", set()),
        ("d: 2026-99-99T00:00:00\n", set()),
    ],
)
def test_secret_values_of_a_task(task: str, values: set[str]) -> None:
    assert secret_values(task) == values


@given(st.text(max_size=60))
def test_no_task_text_throws(task: str) -> None:
    secret_values(task)
