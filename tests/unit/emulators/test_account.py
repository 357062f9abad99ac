from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.ratelimit import RateLimiter, Window
from emulators.runpod.settings import DEFAULT_KEY, SECOND_KEY
from tests.unit.emulators.driver import H100, Driver, pod_body


@pytest.mark.parametrize(
    ("key", "detail"), [(None, "missing bearer token"), ("other", "invalid bearer token")]
)
def test_keys_that_are_missing_or_wrong(key: str | None, detail: str) -> None:
    with Driver() as driver:
        reply = driver.call("GET", "/v2/pods", key=key)
        assert (reply.status, reply.detail) == (401, detail)


def test_a_read_only_key_reads_and_a_revoked_one_does_not() -> None:
    with Driver() as driver:
        driver.control("PATCH", "runpod/account", {"auth": "readonly"})
        assert driver.call("GET", "/v2/pods").status == 200
        reply = driver.call("POST", "/v2/pods", pod_body())
        assert (reply.status, reply.detail) == (403, "access denied")
        driver.control("PATCH", "runpod/account", {"auth": "none"})
        assert driver.call("GET", "/v2/pods").status == 401


@pytest.mark.parametrize("agent", ["", "Python-urllib/3.11"])
def test_clients_that_look_like_scripts_get_cloudflares_page(agent: str) -> None:
    with Driver() as driver:
        reply = driver.call("GET", "/v2/pods", headers={"user-agent": agent})
        assert reply.status == 403
        assert reply.headers["content-type"].startswith("text/html")
        assert b"1010" in reply.body


def test_rest_v1_is_retired() -> None:
    with Driver() as driver:
        assert driver.call("GET", "/v1/pods").status == 410


def test_an_empty_balance_refuses_then_stops_then_ends_pods() -> None:
    with Driver(ready_after_s=1, balance_terminate_after_s=600) as driver:
        driver.control("PATCH", "runpod/account", {"balance": 5.0})
        body = {"name": "v", "size": 100, "dataCenter": "EU-RO-1"}
        volume = driver.call("POST", "/v2/network-volumes", body).json()["id"]
        driver.create("plain")
        idle = driver.create("idle")["id"]
        driver.call("POST", f"/v2/pods/{idle}/action", {"action": "stop"})
        driver.create("kept", mounts={"network": [{"volumeId": volume, "path": "/data"}]})
        reply = driver.call("POST", "/v2/pods", pod_body(gpu=H100, count=2))
        assert (reply.status, reply.detail) == (402, "insufficient balance")
        driver.advance(5.0 / 0.86 * 3600 + 1)
        assert [pod["status"] for pod in driver.pods()] == ["EXITED"] * 3
        assert driver.call("POST", "/v2/pods", pod_body()).status == 402
        driver.advance(601)
        assert [pod["name"] for pod in driver.pods()] == ["kept"]


def test_the_spend_limit_counts_all_pods_and_is_a_400() -> None:
    with Driver() as driver:
        driver.control("PATCH", "runpod/account", {"spend_limit": 8.0})
        driver.create(gpu=H100, count=2)
        reply = driver.call("POST", "/v2/pods", pod_body(gpu=H100))
        assert reply.status == 400
        assert "spend limit" in reply.detail
        assert driver.call("POST", "/v2/pods", pod_body(gpu=H100), key=SECOND_KEY).status == 201


def test_published_limits_are_in_the_headers_and_hold() -> None:
    with Driver(rate_limit="published") as driver:
        replies = [driver.call("GET", "/v2/pods") for _ in range(61)]
        assert [reply.status for reply in replies] == [200] * 60 + [429]
        assert replies[0].headers["ratelimit-policy"] == (
            '"minute";q=60;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400'
        )
        assert replies[0].headers["ratelimit"].startswith('"minute";r=59;t=60, "hour";r=2999;t=')
        assert replies[60].detail == "rate limit exceeded for the minute window"
        wait = int(replies[60].headers["retry-after"])
        assert driver.call("GET", "/v2/pods", key=SECOND_KEY).status == 200
        driver.advance(wait)
        assert driver.call("GET", "/v2/pods").status == 200


def test_without_limits_there_are_no_headers() -> None:
    with Driver() as driver:
        assert "ratelimit" not in driver.call("GET", "/v2/pods").headers


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 5), st.integers(1, 12))
def test_a_window_never_lets_more_through_than_it_says(gaps: list[float], minute: int, hour: int) -> None:
    limiter = RateLimiter((Window("minute", 60, minute), Window("hour", 3600, hour)))
    passed: list[float] = []
    now = 7200.0
    for gap in gaps:
        now += gap
        verdict = limiter.check(now)
        left = [int(r) for r in re.findall(r"r=(\d+)", verdict.headers["RateLimit"])]
        if verdict.exceeded is None:
            passed.append(now)
        else:
            assert 0 in left
            assert 1 <= verdict.retry_after_s <= verdict.exceeded.seconds
        for window, rest in zip(limiter.windows, left, strict=True):
            inside = sum(at // window.seconds == now // window.seconds for at in passed)
            assert inside <= window.limit
            assert rest == window.limit - inside


def test_the_keys_are_settings() -> None:
    with Driver() as driver:
        driver.control("PATCH", "runpod/account", {"key": "third", "account": "third"})
        assert driver.pods(key="third") == []
        driver.control("PATCH", "runpod/settings", {"keys": {"only": {"account": "only"}}})
        assert driver.call("GET", "/v2/pods", key=DEFAULT_KEY).status == 401
        assert driver.pods(key="only") == []
