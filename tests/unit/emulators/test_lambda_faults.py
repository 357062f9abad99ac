from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.lambda_driver import LambdaDriver, launch_body

LAUNCH = "/instance-operations/launch"
END = "/instance-operations/terminate"
CHAT = {"messages": [{"role": "user", "content": "What is a node?"}], "temperature": 0, "max_tokens": 20}
KEY = "upstream key"


@pytest.mark.parametrize(
    ("kind", "args", "status", "made"),
    [
        ("error", {"status": 503}, 503, 0),
        ("error", {"status": 500, "code": "global/unknown"}, 500, 0),
        ("html_error_page", {}, 502, 0),
        ("provider_unavailable", {}, 503, 0),
        ("rate_limited", {}, 429, 0),
        ("create_refused", {}, 400, 0),
        ("no_capacity", {}, 400, 0),
        ("create_then_500", {}, 500, 1),
        ("launch_then_500", {}, 500, 1),
        ("error_after", {"status": 504}, 504, 1),
    ],
)
def test_launches_fail_with_or_without_effect(
    kind: str, args: dict[str, Any], status: int, made: int
) -> None:
    with LambdaDriver() as driver:
        driver.fault(kind, count=1, method="POST", name="gp-*", args=args)
        assert driver.api("POST", LAUNCH, launch_body("other")).status == 200
        reply = driver.api("POST", LAUNCH, launch_body("gp-x"))
        assert reply.status == status
        assert reply.headers["content-type"].startswith("text/html" if "html" in kind else "application/json")
        assert "retry-after" not in reply.headers
        assert len(driver.statuses()) == 1 + made
        assert driver.api("POST", LAUNCH, launch_body("gp-x")).status == 200  # the fault was for once


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("hang", 0),
        ("cut", 0),
        ("create_then_hang", 1),
        ("launch_then_hang", 1),
        ("hang_after", 1),
        ("cut_after", 1),
    ],
)
def test_launches_without_an_answer(kind: str, made: int) -> None:
    with LambdaDriver() as driver:
        driver.fault(kind, count=1, method="POST")
        reply = driver.api("POST", LAUNCH, launch_body(), advance=60)
        assert (reply.status, reply.cut) == (0, True)
        assert len(driver.statuses()) == made


def test_slow_answers_and_a_429_with_a_time() -> None:
    with LambdaDriver() as driver:
        driver.fault("slow", count=1, args={"seconds": 90})
        before = driver.control("GET", "health")["now"]
        assert driver.api("GET", "/regions", advance=10).status == 200
        assert driver.control("GET", "health")["now"] - before == pytest.approx(90)
        driver.fault("rate_limited", count=1, args={"retry_after_s": 7})
        assert driver.api("GET", "/regions").headers["retry-after"] == "7"


def test_a_share_of_all_calls_finds_no_provider() -> None:
    with LambdaDriver() as driver:
        driver.control("PATCH", "lambda/settings", {"provider_unavailable": 0.5})
        statuses = [driver.api("GET", "/regions").status for _ in range(60)]
        assert set(statuses) == {200, 503}
        assert 12 < statuses.count(503) < 48


@pytest.mark.parametrize(
    ("kind", "args", "statuses"),
    [
        ("stuck_provisioning", {}, ["booting", "booting"]),
        ("goes_unhealthy", {"after_s": 20}, ["active", "unhealthy"]),
        ("preempted", {"after_s": 20}, ["active", "preempted"]),
        ("unknown_state", {"status": "migrating"}, ["migrating", "migrating"]),
    ],
)
def test_single_instances_go_wrong(kind: str, args: dict[str, Any], statuses: list[str]) -> None:
    with LambdaDriver(boot_s=10) as driver:
        driver.fault(kind, count=1, args=args)
        bad, good = driver.launch(), driver.launch()
        seen = []
        for _ in range(2):
            driver.advance(20)
            seen.append(driver.ok("GET", f"/instances/{bad}")["status"])
        assert seen == statuses
        assert driver.ok("GET", f"/instances/{good}")["status"] == "active"


def test_ends_go_wrong() -> None:
    with LambdaDriver() as driver:
        one, two = driver.launch("a"), driver.launch("b")
        driver.fault("delete_refused", count=1, name="a")
        assert driver.api("POST", END, {"instance_ids": [one]}).status == 400
        assert driver.statuses() == ["booting", "booting"]
        driver.fault("delete_5xx_but_deleted", count=1, name="b")
        assert driver.api("POST", END, {"instance_ids": [two]}).status == 500
        assert driver.statuses() == ["booting", "terminating"]
        driver.fault("terminate_twice_unknown_error", count=1)
        assert driver.refused("POST", END, {"instance_ids": [two]}) == (500, "global/unknown")
        driver.end(two)


# Nodes


def test_a_node_serves_once_it_is_active() -> None:
    with LambdaDriver(boot_s=10, serving_after_s=5) as driver:
        base = f"/lambda/{driver.launch()}-8000"
        driver.advance(12)
        assert driver.call("GET", f"{base}/health").cut
        driver.advance(5)
        assert driver.call("GET", f"{base}/health").status == 200
        assert driver.call("GET", f"{base}/v1/models").status == 401
        assert driver.call("GET", f"{base}/v1/models", key=KEY).json()["data"][0]["id"] == "org/model"
        answered = driver.call("POST", f"{base}/v1/chat/completions", CHAT, key=KEY).json()
        streamed = driver.call("POST", f"{base}/v1/chat/completions", {**CHAT, "stream": True}, key=KEY)
        assert streamed.events()[-1] == {"data": "[DONE]"}
        assert answered["usage"]["completion_tokens"] > 0
        assert driver.call("GET", base.replace("8000", "9000") + "/health").cut
        assert driver.call("GET", "/lambda/0f-8000/health").cut
        counted = driver.control("GET", "counters")["clouds"]["lambda"]
        assert counted["node_requests"] == 8


def test_a_node_that_ends_cuts_its_streams() -> None:
    with LambdaDriver(boot_s=10, tokens_per_s=1) as driver:
        made = driver.launch()
        driver.advance(11)
        driver.control("PATCH", "lambda/settings", {"preempt_after": 0})
        machine = driver.cloud.fleet.any(made)
        assert machine is not None
        machine.preempted_at = driver.cloud.now() + 5
        streamed = driver.call(
            "POST", f"/lambda/{made}-8000/v1/chat/completions", {**CHAT, "stream": True}, key=KEY, advance=1
        )
        assert streamed.cut
        assert 0 < len(streamed.events()) < 10
        assert driver.call("GET", f"/lambda/{made}-8000/health").cut


@pytest.mark.parametrize(
    ("kind", "args", "status"),
    [
        ("node_error", {"status": 503}, 503),
        ("node_slow", {"seconds": 30}, 200),
        ("node_hang", {}, 0),
        ("node_cut", {}, 0),
    ],
)
def test_traffic_to_a_node_goes_wrong(kind: str, args: dict[str, Any], status: int) -> None:
    with LambdaDriver(boot_s=10) as driver:
        made = driver.launch("gp-x")
        driver.advance(11)
        driver.fault(kind, count=1, name="gp-*", args=args)
        reply = driver.call("GET", f"/lambda/{made}-8000/health", advance=60)
        assert (reply.status, reply.cut) == (status, status == 0)
        assert driver.call("GET", f"/lambda/{made}-8000/health").status == 200


def test_an_unusable_node_says_active_and_answers_500() -> None:
    with LambdaDriver(boot_s=10) as driver:
        driver.fault("unusable", count=1)
        made = driver.launch()
        driver.advance(11)
        assert driver.statuses() == ["active"]
        assert driver.call("GET", f"/lambda/{made}-8000/health").status == 500
        driver.control("PATCH", f"lambda/instances/{made}", {"unusable": False})
        assert driver.call("GET", f"/lambda/{made}-8000/health").status == 200


def test_a_firewall_that_is_enforced() -> None:
    with LambdaDriver(boot_s=10, enforce_firewall=True) as driver:
        rule = {
            "protocol": "tcp",
            "port_range": [8000, 8001],
            "source_network": "203.0.113.0/24",
            "description": "",
        }
        ruleset = driver.ok(
            "POST", "/firewall-rulesets", {"name": "s", "region": "us-east-1", "rules": [rule]}
        )
        shut, let_in = driver.launch(), driver.launch(firewall_rulesets=[{"id": ruleset["id"]}])
        driver.advance(11)
        assert driver.call("GET", f"/lambda/{shut}-8000/health").cut
        assert driver.call("GET", f"/lambda/{let_in}-8000/health").status == 200
        driver.ok("PUT", "/firewall-rules", {"data": [{**rule, "protocol": "all"}]})
        assert driver.call("GET", f"/lambda/{shut}-8000/health").status == 200


def test_control_of_single_instances() -> None:
    with LambdaDriver(boot_s=10) as driver:
        made = driver.launch()
        driver.advance(11)
        assert driver.control("POST", f"lambda/instances/{made}/unhealthy", {})["status"] == "unhealthy"
        assert (
            driver.control("POST", f"lambda/instances/{made}/unhealthy", {"healthy": True})["status"]
            == "active"
        )
        driver.control("POST", f"lambda/instances/{made}/terminate")
        assert driver.statuses() == ["terminating"]
        assert driver.call("POST", f"/_emu/lambda/instances/{made}/preempt", {}).status == 400
        assert driver.call("PATCH", f"/_emu/lambda/instances/{made}", {"name": "x"}).status == 400
        driver.control("PUT", "lambda/prices", {"gpu_1x_a10": 150})
        assert driver.control("GET", "lambda/prices") == {"gpu_1x_a10": 150}
        again = driver.launch()
        assert driver.ok("GET", f"/instances/{again}")["instance_type"]["price_cents_per_hour"] == 150
        assert driver.control("DELETE", "lambda/prices") == {}
        assert driver.call("GET", "/_emu/lambda/nonsense").status == 404
