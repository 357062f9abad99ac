"""An instance's life on the emulated Lambda, what a restart keeps, and who may have what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulators.clock import SettingError
from emulators.lambda_cloud.settings import BAD_ADDRESS_KEY, INACTIVE_KEY, SECOND_KEY, SMALL_KEY, Settings
from tests.unit.emulators.lambda_driver import A10, REGION, LambdaDriver, launch_body

LAUNCH = "/instance-operations/launch"
GONE = (404, "global/object-does-not-exist")
CAPACITY = (400, "instance-operations/launch/insufficient-capacity")


def test_a_life() -> None:
    with LambdaDriver(boot_s=30, ip_after_s=5, terminating_s=10, terminated_visible_s=60) as driver:
        made = driver.launch()
        seen = []
        for seconds in (4, 2, 25):
            driver.advance(seconds)
            one = driver.ok("GET", f"/instances/{made}")
            seen.append((one["status"], "ip" in one))
        assert seen == [("booting", False), ("booting", True), ("active", True)]
        assert driver.end(made)["terminated_instances"][0]["status"] == "terminating"
        driver.advance(11)
        assert driver.statuses() == ["terminated"]
        driver.advance(60)
        assert driver.statuses() == []
        assert driver.refused("GET", f"/instances/{made}") == GONE
        assert driver.refused("POST", "/instance-operations/terminate", {"instance_ids": [made]}) == GONE
        state = driver.control("GET", "lambda/state")
        assert (state["alive"], [row["id"] for row in state["ended"]]) == (0, [made])


def test_it_costs_by_the_minute_from_active_to_its_end() -> None:
    with LambdaDriver(boot_s=30) as driver:
        made = driver.launch()
        driver.advance(30 + 61)
        driver.end(made)
        driver.advance(3600)
        spent = driver.control("GET", "lambda/state")["accounts"]["default"]["spent_usd"]
        assert spent == pytest.approx(2 / 60 * 1.29, abs=1e-4)


@pytest.mark.parametrize(
    ("setting", "statuses"),
    [
        ({"boot_forever": True}, ["booting", "booting", "booting"]),
        ({"goes_unhealthy_after": 20}, ["active", "unhealthy", "unhealthy"]),
        ({"preempt_after": 20}, ["active", "preempted"]),
    ],
)
def test_lives_that_go_wrong(setting: dict[str, Any], statuses: list[str]) -> None:
    with LambdaDriver(boot_s=10, terminated_visible_s=40, **setting) as driver:
        driver.launch()
        seen = []
        for seconds in (15, 20, 60):
            driver.advance(seconds)
            seen += driver.statuses()
        assert seen == statuses


def test_lags_of_list_get_and_name() -> None:
    with LambdaDriver(list_lag_s=20, get_lag_s=10, name_after_s=30) as driver:
        made = driver.launch()
        assert driver.statuses() == []
        assert driver.refused("GET", f"/instances/{made}") == GONE
        driver.advance(11)
        assert "name" not in driver.ok("GET", f"/instances/{made}")
        driver.advance(10)
        assert driver.statuses() == ["booting"]
        driver.advance(10)
        assert driver.ok("GET", f"/instances/{made}")["name"] == "node"


def test_ending_twice() -> None:
    with LambdaDriver(terminate_twice_unknown_error=True) as driver:
        made = driver.launch()
        driver.end(made)
        again = driver.refused("POST", "/instance-operations/terminate", {"instance_ids": [made]})
        assert again == (500, "global/unknown")
        assert driver.statuses() == ["terminating"]


def test_eight_gpus_boot_longer() -> None:
    with LambdaDriver(boot_s=10, boot_8_gpus_s=100) as driver:
        driver.launch(instance_type_name="gpu_8x_h100_sxm5")
        driver.advance(50)
        assert driver.statuses() == ["booting"]
        driver.advance(51)
        assert driver.statuses() == ["active"]


def test_capacity_is_counted_and_listed() -> None:
    with LambdaDriver(capacity={f"{A10}|{REGION}": 2, "gpu_1x_gh200|*": 0}) as driver:

        def free(name: str) -> list[str]:
            item = driver.ok("GET", "/instance-types")[name]
            return [region["name"] for region in item["regions_with_capacity_available"]]

        assert free("gpu_1x_gh200") == []
        first = driver.launch()
        assert REGION in free(A10)
        driver.launch()
        assert REGION not in free(A10)
        assert driver.refused("POST", LAUNCH, launch_body()) == CAPACITY
        driver.end(first)
        driver.launch()


def test_listed_but_refused() -> None:
    with LambdaDriver(listed_but_refused=0.5) as driver:
        answers = [driver.api("POST", LAUNCH, launch_body()).status for _ in range(40)]
        assert 8 < answers.count(400) < 32
        driver.control("PATCH", "lambda/settings", {"listed_but_refused": 1.0})
        assert driver.refused("POST", LAUNCH, launch_body()) == CAPACITY


def test_accounts_are_apart_and_have_their_limits() -> None:
    with LambdaDriver() as driver:
        made = driver.launch()
        assert driver.refused("GET", f"/instances/{made}", key=SECOND_KEY) == GONE
        assert driver.ok("GET", "/instances", key=SECOND_KEY) == []
        assert driver.refused("GET", "/instances", key=INACTIVE_KEY) == (403, "global/account-inactive")
        assert driver.refused("GET", "/instances", key="x") == (401, "global/invalid-api-key")
        assert "No API key" in driver.api("GET", "/instances", key=None).json()["error"]["message"]
        for key in (BAD_ADDRESS_KEY, SMALL_KEY):
            driver.ok("POST", "/ssh-keys", {"name": "mine", "public_key": "ssh-ed25519 AAAA x"}, key=key)
        assert driver.refused("POST", LAUNCH, launch_body(), key=BAD_ADDRESS_KEY) == (
            403,
            "global/invalid-address",
        )
        ids = [driver.ok("POST", LAUNCH, launch_body(), key=SMALL_KEY)["instance_ids"][0] for _ in range(2)]
        assert driver.refused("POST", LAUNCH, launch_body(), key=SMALL_KEY) == (400, "global/quota-exceeded")
        driver.ok("POST", "/instance-operations/terminate", {"instance_ids": ids}, key=SMALL_KEY)
        driver.ok("POST", LAUNCH, launch_body(), key=SMALL_KEY)
        driver.control("PATCH", "lambda/account", {"key": "new", "account": "third", "auth": "forbidden"})
        assert driver.ok("GET", "/instances", key="new") == []
        assert driver.refused("POST", "/ssh-keys", {"name": "k"}, key="new") == (403, "global/forbidden")


@pytest.mark.parametrize("sent", ["Basic ZW11bGF0b3Ita2V5Og==", "Basic emulator-key", "bearer emulator-key"])
def test_every_documented_way_to_send_a_key(sent: str) -> None:
    with LambdaDriver() as driver:
        assert driver.api("GET", "/instances", key=None, headers={"authorization": sent}).status == 200


def test_the_published_pace() -> None:
    with LambdaDriver() as driver:
        driver.control("PATCH", "lambda/settings", {"rate_limit": "published"})
        assert [driver.api("GET", "/regions").status for _ in range(4)] == [200, 200, 429, 429]
        driver.advance(60)
        statuses = []
        for _ in range(5):
            driver.advance(6)
            statuses.append(driver.api("POST", LAUNCH, launch_body()).status)
        assert statuses == [200, 200, 200, 429, 200]  # a little room, then one in twelve seconds


def test_the_old_host_redirects() -> None:
    with LambdaDriver() as driver:
        headers = {"host": "cloud.lambdalabs.com"}
        reply = driver.api("GET", "/instances", headers=headers)
        assert (reply.status, reply.headers["location"]) == (301, "https://cloud.lambda.ai/api/v1/instances")
        driver.control("PATCH", "lambda/settings", {"redirect_old_host": False})
        assert driver.api("GET", "/instances", headers=headers).status == 200


def test_a_crash_loses_nothing(tmp_path: Path) -> None:
    driver = LambdaDriver(tmp_path, boot_s=30, goes_unhealthy_after=100)
    made, other = driver.launch("one"), driver.launch("two")
    disk = driver.ok("POST", "/filesystems", {"name": "weights", "region": REGION})
    rules = driver.ok("PUT", "/firewall-rules", {"data": []})
    driver.advance(20)
    driver.end(other)
    now = driver.control("GET", "health")["now"]
    driver.crash()
    with LambdaDriver(tmp_path, start=now) as again:
        assert again.cloud.settings()["boot_s"] == 30
        assert [(one["id"], one["status"]) for one in again.ok("GET", "/instances")] == [
            (made, "booting"),
            (other, "terminating"),
        ]
        again.advance(15)
        assert again.statuses()[0] == "active"
        again.advance(100)
        assert again.statuses()[0] == "unhealthy"
        assert again.ok("GET", "/file-systems") == [disk]
        assert again.ok("GET", "/firewall-rules") == rules
        assert again.launch() not in (made, other)


def test_reset_forgets_all_but_the_settings() -> None:
    with LambdaDriver(boot_s=7) as driver:
        driver.launch()
        driver.control("POST", "reset")
        assert driver.ok("GET", "/instances") == driver.ok("GET", "/ssh-keys") == []
        assert driver.control("GET", "lambda/settings")["boot_s"] == 7


def test_no_key_and_no_user_data_in_the_control_endpoints() -> None:
    with LambdaDriver() as driver:
        driver.launch()
        told = str(driver.control("GET", "state")) + str(driver.control("GET", "requests?last=9"))
        assert "upstream" not in told
        assert "AAAA" not in told


@pytest.mark.parametrize(
    "changes",
    [
        {"nonsense": 1},
        {"boot_s": -1},
        {"boot_s": None},
        {"boot_forever": 1},
        {"listed_but_refused": 1.5},
        {"capacity": {"a10": 1}},
        {"capacity": {"a|b": 1.5}},
        {"prices": {"a": "1"}},
        {"rate_limit": "some"},
        {"rate_limit": {"launch": 0}},
        {"rate_limit": {}},
        {"keys": {"k": {}}},
        {"keys": {"k": {"account": "a", "auth": "maybe"}}},
    ],
)
def test_a_setting_that_can_not_be_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(changes)) if "keys" not in changes else "account"):
        Settings().merged(changes)


def test_settings_survive_json() -> None:
    changed = Settings().merged({"rate_limit": {"launch": 6}, "preempt_after": 5, "capacity": {"a|b": None}})
    assert Settings().merged(changed.json()) == changed
