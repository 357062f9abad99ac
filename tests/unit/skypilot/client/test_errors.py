from __future__ import annotations

import ast
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds import errors
from gpu_clouds.answers import Answer
from gpu_clouds.skypilot.answers import clean_line, error_of, failed_request, plain
from gpu_clouds.skypilot.errors import (
    ApiError,
    ConnectionFailedError,
    RequestFailedError,
    RequestTimeoutError,
    UnreadableAnswerError,
    VersionMismatchError,
    as_cloud_error,
    cloud_errors,
)
from tests.unit.skypilot.client.harness import ID, Server, client, failed, texts

TITLE = "SkyPilot server s"


def answer(status: int, body: Any = None, *, text: str | None = None, **headers: str) -> Answer:
    content = (text if text is not None else json.dumps(body)).encode()
    return Answer.of(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        (answer(401, "Authentication required"), "unauthorized", "Authentication required"),
        (
            answer(401, {"detail": "Invalid or expired service account token"}),
            "unauthorized",
            "Invalid or expired",
        ),
        (answer(403, {"detail": "Forbidden"}), "", "Forbidden; this token or user may not do this"),
        (answer(404, {"detail": "Token not found"}), "", "HTTP 404: Token not found"),
        (answer(503, {"detail": "exhausted its concurrent worker limit"}), "", "exhausted"),
        (
            answer(400, {"detail": {"type": "InvalidSkyPilotConfigError", "message": "no field x"}}),
            "InvalidSkyPilotConfigError",
            "no field x",
        ),
        (
            answer(422, {"detail": [{"loc": ["body", "task"], "msg": "Field required", "input": "canary"}]}),
            "",
            "task: Field required",
        ),
        (answer(500, {"detail": "Failed: 400: name 'a' already exists"}), "already_exists", "already exists"),
        (answer(502, text="<html><h1>Bad Gateway</h1></html>"), "", "launch: HTTP 502"),
        (answer(500, text="Internal Server Error"), "", "Internal Server Error"),
        (answer(500, text=""), "", "launch: HTTP 500"),
        (answer(400, ["odd"]), "", "launch: HTTP 400"),
        (answer(400, {"error": "bad", "message": "worse"}), "bad", "worse"),
        (answer(307, text=""), "", "log-in page"),
    ],
)
def test_shapes_of_errors(found: Answer, code: str, said: str) -> None:
    error = error_of(found, "launch", TITLE)
    assert error.status_code == found.status
    assert error.error_code == code
    assert said in error.message
    assert error.message.startswith(f"{TITLE}: launch: HTTP {found.status}")
    assert "canary" not in "".join(texts(error))
    assert "<html>" not in error.message


def test_both_versions_stand_in_a_version_mismatch() -> None:
    found = answer(
        400,
        {"error": "version_mismatch", "message": "\x1b[33mYour client is too old\x1b[0m:\n0.9.0"},
        x_skypilot_version="0.20.0",
        x_skypilot_api_version="99",
    )
    error = error_of(found, "status", TITLE)
    assert isinstance(error, VersionMismatchError)
    assert "SkyPilot 0.20.0 (API 99)" in error.message
    assert "0.14.1 (API 62)" in error.message
    assert "too old: 0.9.0" in error.message
    assert error.details["server_version"] == "0.20.0"
    assert isinstance(as_cloud_error(error), errors.ValidationError)
    bare = error_of(answer(400, {"error": "version_mismatch"}), "status", TITLE)
    assert "of an unknown version" in bare.message


MAPPED: list[tuple[str, type[errors.GpuCloudError]]] = [
    ("ResourcesUnavailableError", errors.CapacityError),
    ("ResourcesMismatchError", errors.ConflictError),
    ("ClusterNotUpError", errors.ConflictError),
    ("ClusterOwnerIdentityMismatchError", errors.ConflictError),
    ("ClusterDoesNotExist", errors.NotFoundError),
    ("JobNotFound", errors.NotFoundError),
    ("InvalidSkyPilotConfigError", errors.ValidationError),
    ("InvalidClusterNameError", errors.ValidationError),
    ("NotSupportedError", errors.ValidationError),
    ("ProvisionUnsupportedError", errors.ValidationError),
    ("ValueError", errors.ValidationError),
    ("PermissionDeniedError", errors.PermissionRefusedError),
    ("UserRequestRejectedByPolicy", errors.PermissionRefusedError),
    ("NoCloudAccessError", errors.PermissionRefusedError),
    ("InvalidCloudCredentials", errors.AuthError),
    ("KubeAPIUnreachableError", errors.TransientError),
    ("ClusterStatusFetchingError", errors.TransientError),
    ("RuntimeError", errors.UnknownCloudError),
    ("CommandError", errors.UnknownCloudError),
    ("SomethingNewError", errors.UnknownCloudError),
    ("", errors.UnknownCloudError),
]


@pytest.mark.parametrize(("code", "expected"), MAPPED)
def test_a_failed_request_in_the_tree_of_the_project(code: str, expected: type[errors.GpuCloudError]) -> None:
    server = Server({"/status": httpx.Response(200, headers={"x-skypilot-request-id": ID})})
    server.answers["/api/get"] = failed(code, "why")
    with pytest.raises(expected) as caught, cloud_errors():
        client(server).status()
    assert type(caught.value) is expected
    assert (caught.value.cloud, caught.value.request_id) == ("skypilot", ID)
    assert "why" in caught.value.message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ApiError("x", status_code=400), errors.ValidationError),
        (ApiError("x", status_code=401), errors.AuthError),
        (ApiError("x", status_code=403), errors.PermissionRefusedError),
        (ApiError("x", status_code=404), errors.NotFoundError),
        (ApiError("x", status_code=409), errors.ConflictError),
        (ApiError("x", status_code=410), errors.RetiredError),
        (ApiError("x", status_code=422), errors.ValidationError),
        (ApiError("x", status_code=429), errors.RateLimitedError),
        (ApiError("x", status_code=418), errors.UnknownCloudError),
        (ApiError("x", status_code=302), errors.UnknownCloudError),
        (ApiError("x", status_code=503), errors.TransientError),
        (ApiError("x", status_code=503, writes=True), errors.AmbiguousError),
        (ApiError("x", status_code=500, writes=True, refused=True), errors.ValidationError),
        (
            ApiError("x", status_code=500, error_code="already_exists", writes=True, refused=True),
            errors.ConflictError,
        ),
        (ConnectionFailedError("x", sent=False, writes=True), errors.TransientError),
        (ConnectionFailedError("x", sent=True, writes=True), errors.AmbiguousError),
        (ConnectionFailedError("x", sent=True), errors.TransientError),
        (UnreadableAnswerError("x", writes=True), errors.AmbiguousError),
        (UnreadableAnswerError("x"), errors.UnknownCloudError),
        (RequestTimeoutError("x"), errors.DeadlineError),
    ],
)
def test_other_errors_in_the_tree_of_the_project(
    error: ApiError, expected: type[errors.GpuCloudError]
) -> None:
    assert type(as_cloud_error(error)) is expected


def test_an_error_of_the_tree_stays_itself() -> None:
    own = errors.CancelledError("stop")
    assert as_cloud_error(own) is own
    with pytest.raises(errors.CancelledError), cloud_errors():
        raise own


def test_a_refusal_that_calls_itself_a_500_is_not_repeated() -> None:
    path = "/users/service-account-tokens/rotate"
    server = Server({path: httpx.Response(500, json={"detail": "Failed to rotate: 400: bad days"})})
    with pytest.raises(ApiError):
        client(server).rotate_service_account_token("t1")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "status", "found"),
    [
        ("ClusterDoesNotExist", 500, True),
        ("JobNotFound", 200, True),
        ("", 404, True),
        ("ValueError", 500, False),
    ],
)
def test_not_found(code: str, status: int, found: bool) -> None:
    assert ApiError("x", error_code=code, status_code=status).is_not_found is found


def test_events_of_a_cluster_that_there_is_not() -> None:
    found = failed_request(
        answer(500, failed("ValueError", "Hash for cluster c not found.").json()), ID, "cluster_events", TITLE
    )
    assert found is not None
    assert found.is_not_found


def test_details_are_plain_and_can_not_be_changed() -> None:
    error = error_of(
        answer(
            400, {"detail": {"type": "T", "message": "m", "args": ["canary"], "stacktrace": "canary", "n": 5}}
        ),
        "validate",
        TITLE,
    )
    assert dict(error.details) == {"n": "5"}
    with pytest.raises(TypeError):
        error.details["n"] = "6"  # type: ignore[index]  # that is what is tested


def test_an_answer_of_api_get_that_is_no_failed_request() -> None:
    for found in (answer(200, {"status": "SUCCEEDED"}), answer(500, {"detail": "x"}), answer(502, text="")):
        assert failed_request(found, ID, "launch", TITLE) is None


@pytest.mark.parametrize(
    "error", ["", "null", "{", "[]", "7", json.dumps({"type": 7, "message": None}), None, 7]
)
def test_a_failure_without_a_readable_reason_is_still_a_failure(error: Any) -> None:
    found = failed_request(answer(500, {"detail": {"error": error, "status": "FAILED"}}), ID, "launch", TITLE)
    assert isinstance(found, RequestFailedError)
    assert "no reason given" in found.message


NAMES = st.sampled_from(["detail", "error", "type", "message", "loc", "msg", "status"])
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@given(BODIES, st.sampled_from([200, 204, 302, 400, 401, 404, 422, 429, 500, 503]))
def test_no_body_throws(body: Any, status: int) -> None:
    found = answer(status, body)
    failed_request(found, ID, "launch", TITLE)
    error = error_of(found, "launch", TITLE)
    assert "\n" not in error.message
    assert "\x1b" not in error.message
    as_cloud_error(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;33mbold\x1b[0m", "bold"),
        ("a\x1b]8;;http://x\x07link\x1b]8;;\x1b\\b", "alinkb"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("bell\x07\x00\x9b31m", "bell 31m"),
        ("  padded   ", "padded"),
    ],
)
def test_text_for_people_is_one_plain_line(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_long_text_is_cut_after_the_secrets_were_taken_out() -> None:
    secret = "canary-" + "s" * 40
    text = plain("x" * 1480 + " " + secret, [secret])
    assert len(text) <= 1500
    assert "canary" not in text


def test_a_line_of_a_log_keeps_its_spaces_and_what_was_written_last() -> None:
    assert clean_line("  \x1b[32mok\x1b[0m  \n") == "  ok  "
    assert clean_line("10%\r20%\r30%") == "30%"


def test_nothing_is_ever_unpickled() -> None:
    from pathlib import Path

    import gpu_clouds.skypilot as room

    for file in Path(room.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {"pickle", "cloudpickle", "dill", "shelve", "marshal", "sky", "pulumi"} & {
                name.split(".")[0] for name in names
            }, file.name
