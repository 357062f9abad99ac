"""A token that is rotated while the process runs, and what a 401 does."""

from __future__ import annotations

import threading

import httpx
import pytest

from gpu_clouds.errors import AuthError, ValidationError
from gpu_clouds.skypilot.connection import BasicAuth, BearerToken
from gpu_clouds.skypilot.errors import ApiError, as_cloud_error
from tests.unit.gpu_clouds.harness import FakeClock
from tests.unit.skypilot.client.harness import Server, client, connection, succeeded, taken

OLD, NEW = "sky_old-token-value", "sky_new-token-value"


class Source:
    """Where the token of now is; counts how often it is read."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.reads = 0

    def __call__(self) -> str:
        self.reads += 1
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


def guarded(good: str) -> Server:
    """A server that accepts one token."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") == f"Bearer {good}":
            return taken() if request.method == "POST" else succeeded([])
        return httpx.Response(401, json={"detail": "Service account token revoked or rotated"})

    return Server({"/status": answer, "/exec": answer, "/api/get": answer, "/api/status": answer})


def sent_tokens(server: Server) -> list[str]:
    return [request.headers.get("Authorization", "") for request in server.requests]


def test_a_rotated_token_is_read_once_more_and_stays() -> None:
    source, server = Source(OLD, NEW), guarded(NEW)
    subject = client(server, auth=BearerToken(source))
    assert subject.status() == []
    assert sent_tokens(server) == [f"Bearer {OLD}", f"Bearer {NEW}", f"Bearer {NEW}"]
    assert source.reads == 2
    subject.status()
    assert source.reads == 2


def test_a_token_that_stays_the_same_is_sent_once() -> None:
    source, server, clock = Source(OLD), guarded(NEW), FakeClock()
    with pytest.raises(ApiError, match="check the token") as caught:
        client(server, auth=BearerToken(source), clock=clock).status()
    assert len(server.requests) == 1
    assert source.reads == 2
    assert clock.waits == []
    assert caught.value.is_unauthorized
    assert isinstance(as_cloud_error(caught.value), AuthError)
    assert OLD not in str(caught.value)


def test_a_new_token_that_is_wrong_too_is_sent_once() -> None:
    source, server = Source(OLD, "sky_third-token-value"), guarded(NEW)
    with pytest.raises(ApiError) as caught:
        client(server, auth=BearerToken(source)).status()
    assert caught.value.is_unauthorized
    assert len(server.requests) == 2


def test_a_source_that_fails_after_a_401_leaves_the_401() -> None:
    reads = 0

    def read() -> str:
        nonlocal reads
        reads += 1
        if reads > 1:
            raise ValidationError("the token file is gone")
        return OLD

    server = guarded(NEW)
    with pytest.raises(ApiError) as caught:
        client(server, auth=BearerToken(read)).status()
    assert caught.value.is_unauthorized
    assert len(server.requests) == 1


def test_a_rotation_also_helps_calls_that_are_sent_once() -> None:
    server = guarded(NEW)
    assert client(server, auth=BearerToken(Source(OLD, NEW))).exec("run: true\n", "c").request_id
    assert sent_tokens(server) == [f"Bearer {OLD}", f"Bearer {NEW}"]


def test_many_threads_with_a_revoked_token_are_no_storm() -> None:
    source, server, clock = Source(OLD), guarded(NEW), FakeClock()
    subject = client(server, auth=BearerToken(source), clock=clock)
    refused: list[ApiError] = []

    def ask() -> None:
        try:
            subject.status()
        except ApiError as error:
            refused.append(error)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 20
    assert len(server.requests) == 20
    assert clock.waits == []


def test_an_empty_token_is_found_before_anything_is_sent() -> None:
    server = guarded(NEW)
    with pytest.raises(ValidationError, match="token is empty"):
        client(server, auth=BearerToken.fixed("")).status()
    assert server.requests == []


def test_user_and_password() -> None:
    server = Server({"/status": taken(), "/api/get": succeeded([])})
    client(server, auth=BasicAuth("admin", "a-password")).status()
    assert set(sent_tokens(server)) == {"Basic YWRtaW46YS1wYXNzd29yZA=="}


def test_a_wrong_password_is_one_clear_error() -> None:
    server = Server({"/status": httpx.Response(401, json="Invalid credentials")})
    with pytest.raises(ApiError, match=r"status: HTTP 401: Invalid credentials; check the token, or user"):
        client(server, auth=BasicAuth("admin", "a-password")).status()
    assert len(server.requests) == 1


def test_without_authentication_no_header_is_sent() -> None:
    server = Server({"/status": taken(), "/api/get": succeeded([])})
    client(server).status()
    assert set(sent_tokens(server)) == {""}
    assert connection().auth is None
