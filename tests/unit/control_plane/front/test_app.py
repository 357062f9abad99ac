"""What clients get: answers, refusals in OpenAI's form, and never a fault."""

import asyncio
from typing import Any

import pytest

from control_plane.gateway.call import Endpoint, Result
from control_plane.gateway.declared import ApiKey, Declared
from control_plane.gateway.parts import Refused
from tests.unit.control_plane.front.asgi import (
    BOUND_SECRET,
    HELLO,
    LISTING_SECRET,
    SECRET,
    Answer,
    World,
)


@pytest.fixture
def world():
    return World()


def test_a_request_goes_through_all_parts_once(world):
    answer = world.ask(body=HELLO)
    assert (answer.status, answer.json) == (200, {})
    assert answer.header("x-request-id") == "id0"
    assert answer.header("x-ratelimit-limit-requests") == "7"
    (call,) = world.relay.calls
    assert (call.tenant, call.key_id, call.model, call.deadline) == ("team", "main", "small", 80.0)
    prompt = call.prompt_tokens_estimate
    assert world.limiter.taken == [(prompt + 100, pytest.approx(100 * 2e-6))]
    assert world.limiter.settled == [(30, pytest.approx(20 * 2e-6))]
    assert world.ledger.begun == [call]
    ((ended, outcome, usd),) = world.ledger.ended
    assert (ended, outcome.result, usd) == (call, Result.OK, pytest.approx(20 * 2e-6))
    assert world.log.lines == []


def test_what_is_reserved_counts_every_choice(world):
    world.ask(body={**HELLO, "max_tokens": 7, "n": 3})
    (call,) = world.relay.calls
    assert world.limiter.taken[0][0] == call.prompt_tokens_estimate + 21


def test_an_alias_spreads_by_weight_and_always_in_the_same_way(world):
    for _ in range(1000):
        assert world.ask(body={**HELLO, "model": "chat"}).status == 200
    large = sum(call.model == "org/large" for call in world.relay.calls)
    assert 60 <= large <= 140
    for call in world.relay.calls:
        assert call.asked_model == "chat"
        key = ApiKey("k", "team", "")
        assert world.catalog.resolve("chat", key, call.request_id) == call.model


def test_an_alias_has_its_own_price_or_that_of_its_model(world):
    assert world.catalog.price("chat", "small").usd(1_000_000, 1_000_000) == 1.0
    assert world.catalog.price("small", "small").usd(1_000_000, 1_000_000) == 2.0
    assert world.catalog.price("org/large", "org/large").usd(1_000_000, 1_000_000) == 0.0


@pytest.mark.parametrize("secret", ["", "gp-unknown", "gp-old", "gp-gone", "x" * 100_000])
def test_whatever_is_wrong_with_a_key_is_the_same_401(world, secret):
    answer = world.ask(body=HELLO, secret=secret)
    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"
    assert answer.header("www-authenticate") == "Bearer"
    assert answer.body == world.ask(body=HELLO, secret="gp-other").body
    assert world.relay.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": f"bearer  {SECRET} "},
        {"api-key": SECRET},
        {"x-api-key": SECRET},
    ],
)
def test_the_headers_that_clients_send_keys_in(world, headers):
    assert world.ask(body=HELLO, headers=headers, secret="").status == 200


@pytest.mark.parametrize("value", ["Basic " + SECRET, SECRET, "Bearer", "Bearer ", ""])
def test_other_headers_are_no_key(world, value):
    assert world.ask(body=HELLO, headers={"authorization": value}, secret="").status == 401


def test_scopes_and_models_bind_a_key(world):
    assert world.ask(body=HELLO, secret=LISTING_SECRET).status == 403
    assert world.ask(body=HELLO, secret=BOUND_SECRET).status == 200
    refused = world.ask(body={**HELLO, "model": "org/large"}, secret=BOUND_SECRET)
    unknown = world.ask(body={**HELLO, "model": "none"}, secret=BOUND_SECRET)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (
        404,
        "model_not_found",
        "model",
    )
    assert refused.error["message"].replace("org/large", "none") == unknown.error["message"]


def test_the_list_of_models_is_that_of_the_key(world):
    def names(secret: str) -> list[str]:
        return [each["id"] for each in world.ask("GET", "/v1/models", secret=secret).json["data"]]

    assert names(SECRET) == ["chat", "org/large", "small"]
    assert names(BOUND_SECRET) == ["small"]
    assert world.ask("GET", "/v1/models", secret="").status == 401
    one = world.ask("GET", "/v1/models/org/large")
    assert one.json == {"id": "org/large", "object": "model", "created": 100, "owned_by": "gpuplane"}
    assert world.ask("GET", "/v1/models/org%2Flarge").json == one.json
    assert world.ask("GET", "/v1/models/none").status == 404
    assert world.ask("GET", "/v1/models/org/large", secret=BOUND_SECRET).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/v1/embeddings", 405, "POST"),
        ("POST", "/v1/models", 405, "GET, HEAD"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("OPTIONS", "/v1/models", 405, "GET, HEAD"),
        ("BREW", "/metrics", 405, "GET, HEAD"),
        ("GET", "/", 404, None),
        ("POST", "/v1/chat/completions/", 404, None),
        ("POST", "/v1/audio/speech", 404, None),
        ("GET", "/admin/v1/nodes", 404, None),
        ("GET", "/" + "a" * 10_000, 404, None),
        ("GET", "/%00%ff", 404, None),
    ],
)
def test_wrong_addresses_and_methods(world, method, path, status, allow):
    answer = world.ask(method, path)
    assert (answer.status, answer.header("allow")) == (status, allow)
    assert answer.error["type"] == "invalid_request_error"
    assert len(answer.body) < 400


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/r1/cancel"])
def test_responses_are_not_there_and_it_says_why(world, path):
    answer = world.ask("POST", path, body={})
    assert answer.status == 404
    assert "/v1/chat/completions" in answer.error["message"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("abc-123_X.y:z", "abc-123_X.y:z"),
        ("a" * 128, "a" * 128),
        ("a" * 129, "id0"),
        ("", "id0"),
        ("a b", "id0"),
        ("-a", "id0"),
        ("ü", "id0"),
    ],
)
def test_a_clients_request_id_is_echoed_if_it_is_sane_and_never_the_ledgers(world, given, shown):
    answer = world.ask(body=HELLO, headers={"x-request-id": given})
    assert answer.header("x-request-id") == shown
    assert world.ledger.begun[0].request_id == "id0"


def test_bodies_that_are_too_long(world):
    long = world.ask(body=b"", headers={"content-length": "10001"})
    assert (long.status, long.error["code"]) == (413, "request_too_large")
    assert long.header("connection") == "close"
    at_once = world.ask(body=b" " * 10_001)
    assert at_once.status == 413
    pieces = [{"type": "http.request", "body": b" " * 4000, "more_body": True} for _ in range(3)]
    assert (
        world.ask(pieces=[*pieces, {"type": "http.request", "body": b"", "more_body": False}]).status == 413
    )
    assert world.ask(body=HELLO, headers={"content-length": "10000"}).status == 200


def test_a_body_in_pieces_is_one_body(world):
    pieces = [
        {"type": "http.request", "body": bytes([each]), "more_body": True} for each in b'{"model":"small",'
    ]
    pieces.append({"type": "http.request", "body": b'"messages":[]}', "more_body": False})
    assert world.ask(pieces=pieces).status == 200


def test_a_slow_body():
    world = World(body_s=0.01)
    answer = world.ask(pieces=[{"type": "http.request", "body": b"{", "more_body": True}])
    assert (answer.status, answer.error["code"], answer.header("connection")) == (
        408,
        "request_timeout",
        "close",
    )


def test_a_client_that_goes_before_its_body_is_there_gets_nothing(world):
    answer = world.ask(
        pieces=[{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    assert answer.status == 0
    assert world.ask(pieces=[{"type": "http.disconnect"}]).status == 0
    assert world.limiter.taken == []


def test_a_refusal_by_a_limit_is_passed_on_and_nothing_is_written_down(world):
    world.limiter.refusal = Refused(
        429, "Slow down.", code="rate_limit_exceeded", kind="requests", headers=[(b"retry-after", b"3")]
    )
    answer = world.ask(body=HELLO)
    assert (answer.status, answer.error["code"], answer.header("retry-after")) == (
        429,
        "rate_limit_exceeded",
        "3",
    )
    assert (world.ledger.begun, world.relay.calls) == ([], [])


def test_a_refusal_by_the_relay_gives_everything_back(world):
    world.relay.error = Refused(503, "Nobody is there.", code="no_capacity", kind="server_error")
    answer = world.ask(body=HELLO)
    assert (answer.status, answer.error["code"]) == (503, "no_capacity")
    assert answer.header("x-ratelimit-limit-requests") == "7"
    assert world.limiter.settled == [(0, 0.0)]
    ((_, outcome, usd),) = world.ledger.ended
    assert (outcome.result, outcome.status, usd) == (Result.UNSERVED, 503, 0.0)


@pytest.mark.parametrize("late", [False, True])
def test_a_fault_of_a_part_is_told_to_the_log_and_gives_everything_back(world, late):
    world.relay.error = RuntimeError("boom")
    world.relay.late = late
    answer = world.ask(body=HELLO)
    if not late:
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert "boom" not in answer.body.decode()
    assert len(world.limiter.settled) == len(world.ledger.ended) == 1
    assert world.ledger.ended[0][1].result is Result.BROKEN
    assert 'gateway_faults_total{where="app"} 1.0' in world.metrics.text().decode()


def test_a_cancelled_request_gives_everything_back(world):
    world.relay.error = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        world.ask(body=HELLO)
    assert len(world.limiter.settled) == len(world.ledger.ended) == 1


def test_a_ledger_that_fails_breaks_no_answer(world):
    world.ledger.failure = OSError("disk full")
    assert world.ask(body=HELLO).status == 200
    assert world.limiter.settled == [(30, pytest.approx(20 * 2e-6))]
    assert 'gateway_faults_total{where="ledger"} 1.0' in world.metrics.text().decode()


def test_alive_is_not_ready(world):
    assert world.ask("GET", "/health", secret="").status == 200
    assert world.ask("GET", "/ready", secret="").status == 200
    world.reason = "No node is alive."
    answer = world.ask("GET", "/ready", secret="")
    assert (answer.status, answer.error["message"]) == (503, "No node is alive.")
    assert world.ask("GET", "/health", secret="").status == 200


def test_metrics_count_and_keep_their_labels_few(world):
    world.ask(body=HELLO)
    world.ask(body={**HELLO, "stream": True})
    for number in range(50):
        world.ask(body={**HELLO, "model": f"made-up-{number}"})
        world.ask(body=HELLO, secret=f"gp-made-up-{number}")
    world.limiter.refusal = Refused(429, "no", code="rate_limit_exceeded")
    world.ask(body=HELLO)
    answer = world.ask("GET", "/metrics", secret="")
    assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.body.decode()
    assert 'gateway_requests_total{endpoint="chat",model="small",result="ok",status="200"} 2.0' in text
    assert 'gateway_tokens_total{kind="completion",model="small"} 40.0' in text
    assert 'gateway_rejected_total{code="model_not_found",status="404"} 50.0' in text
    assert 'gateway_rejected_total{code="invalid_api_key",status="401"} 50.0' in text
    assert "gateway_in_flight 0.0" in text
    assert "made-up" not in text


def test_a_model_that_is_no_longer_declared_is_other(world):
    world.relay.before = lambda: world.catalog.update(Declared())
    world.ask(body=HELLO)
    assert 'model="other"' in world.metrics.text().decode()


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["https://a.example"], "https://a.example", "https://a.example"),
        (["https://a.example"], "https://b.example", None),
        (["*"], "https://b.example", "*"),
        ([], "https://a.example", None),
    ],
)
def test_pages_of_other_origins(origins, origin, allowed):
    world = World(origins=origins)
    answer = world.ask(body=HELLO, headers={"origin": origin})
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == allowed
    assert answer.header("access-control-allow-credentials") is None
    refused = world.ask(body=HELLO, secret="", headers={"origin": origin})
    assert (refused.status, refused.header("access-control-allow-origin")) == (401, allowed)
    preflight = world.ask(
        "OPTIONS",
        secret="",
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-stainless-os",
        },
    )
    assert preflight.status == (204 if origins else 405)
    assert preflight.header("access-control-allow-origin") == allowed
    methods = preflight.header("access-control-allow-methods")
    assert methods == ("POST" if allowed else None)
    if allowed:
        assert preflight.header("access-control-allow-headers") == "authorization,x-stainless-os"


CANARY = "canary-7c1f"


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize("trouble", ["none", "refused", "fault", "late", "broken", "json", "type", "model"])
def test_neither_content_nor_key_is_in_a_log_a_metric_or_an_error(endpoint, trouble):
    world = World()
    body: Any = {
        "model": "small",
        "messages": [{"role": "user", "content": CANARY}],
        "prompt": CANARY,
        "input": CANARY,
    }
    if trouble == "refused":
        world.relay.error = Refused(502, "No node could answer.", code="upstream_failed")
    elif trouble in ("fault", "late"):
        world.relay.error = RuntimeError("boom")
        world.relay.late = trouble == "late"
    elif trouble == "broken":
        world.ledger.failure = OSError("disk full")
    elif trouble == "json":
        body = b'{"model":"small","messages":["' + CANARY.encode() + b"}"
    elif trouble == "type":
        body |= {"n": CANARY, "max_tokens": CANARY, "prompt": {CANARY: CANARY}, "input": None}
    elif trouble == "model":
        body["model"] = "none"
    answer: Answer = world.ask(path=endpoint.value, body=body)
    shown = (
        answer.body.decode() + repr(answer.headers) + repr(world.log.lines) + world.metrics.text().decode()
    )
    shown += repr(world.relay.calls)
    assert CANARY not in shown
    assert SECRET not in shown
