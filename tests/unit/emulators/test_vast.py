"""The emulated Vast.ai: settings, faults, control, restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from emulators.app import Emulators, check_settings
from emulators.clock import EmulatedClock, SettingError
from emulators.http import Request, Response
from emulators.vast.cloud import BASE
from emulators.vast.settings import DEFAULT_KEY, SECOND_KEY

BODY = {"image": "an-image", "label": "a-node", "env": {"-p 8000:8000": "1", "VLLM_API_KEY": "s3cret"}}


class Driver:
    """Calls an emulator without sockets."""

    def __init__(self, folder: Path | None = None) -> None:
        self.clock = EmulatedClock(0, start=1_795_248_000.0, real_time=lambda: 0.0)
        self.emulators = Emulators(folder, clock=self.clock)
        self.vast = self.emulators.vast

    def call(
        self, method: str, path: str, body: Any = None, key: str = DEFAULT_KEY, **query: str
    ) -> tuple[int, Any]:
        status, answer = self.raw(method, f"{BASE}{path}", json.dumps(body).encode(), key, query)
        return status, json.loads(answer)

    def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        key: str = DEFAULT_KEY,
        query: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        request = Request(method, path, query or {}, {"authorization": f"Bearer {key}"}, body)
        answer = asyncio.run(self.vast.handle(request))
        assert isinstance(answer, Response)
        return answer.status, answer.body

    def rent(self, ask: int = 7001001, **more: Any) -> int:
        status, answer = self.call("PUT", f"/v0/asks/{ask}/", {**BODY, **more})
        assert status == 200, answer
        return int(answer["new_contract"])

    def shown(self, machine_id: int) -> Any:
        return self.call("GET", f"/v0/instances/{machine_id}/")[1]["instances"]


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_a_life(driver: Driver) -> None:
    machine_id = driver.rent()
    statuses = []
    for _ in range(3):
        statuses.append(driver.shown(machine_id)["actual_status"])
        driver.emulators.frame.advance(31)
    assert statuses == [None, "loading", "running"]
    assert driver.raw("GET", f"/vast/node/{machine_id}-8000/health")[0] == 200
    assert driver.call("DELETE", f"/v0/instances/{machine_id}/") == (200, {"success": True})
    assert driver.shown(machine_id) is None
    assert driver.call("DELETE", f"/v0/instances/{machine_id}/")[1]["error"] == "no_such_instance"


def test_the_model_wants_the_key_of_its_environment(driver: Driver) -> None:
    machine_id = driver.rent()
    driver.emulators.frame.advance(100)
    assert driver.raw("GET", f"/vast/node/{machine_id}-8000/v1/models")[0] == 401
    assert driver.raw("GET", f"/vast/node/{machine_id}-8000/v1/models", key="s3cret")[0] == 200


def test_a_second_account_sees_nothing_of_the_first(driver: Driver) -> None:
    machine_id = driver.rent()
    assert driver.call("GET", "/v1/instances/", key=SECOND_KEY)[1]["instances"] == []
    assert driver.call("DELETE", f"/v0/instances/{machine_id}/", key=SECOND_KEY)[0] == 404


def test_a_low_bid_is_refused_and_leaves_a_stopped_instance(driver: Driver) -> None:
    status, answer = driver.call("PUT", "/v0/asks/7001001/", {**BODY, "price": 0.01})
    assert (status, answer["success"]) == (400, False)
    assert driver.shown(answer["new_contract"])["cur_state"] == "stopped"


def test_filters_and_order(driver: Driver) -> None:
    body = {"gpu_name": {"eq": "L40S"}, "num_gpus": {"gte": 1}, "order": [["dph_total", "desc"]]}
    _, answer = driver.call("POST", "/v0/bundles/", body)
    assert [one["num_gpus"] for one in answer["offers"]] == [4, 1]
    assert driver.call("POST", "/v0/bundles/", {"gpu_name": "L40S"})[0] == 400
    assert driver.call("POST", "/v0/bundles/", {"type": "free"})[0] == 400


def test_what_breaks_a_rule_is_refused(driver: Driver) -> None:
    for body in (None, {}, {**BODY, "env": {"-v /:/": "1"}}):
        assert driver.call("PUT", "/v0/asks/7001001/", body)[0] == 400
    assert driver.call("PUT", "/v0/asks/1/", BODY)[1]["error"] == "no_such_ask"
    assert driver.call("GET", "/v1/instances/", limit="no")[0] == 400
    assert driver.call("GET", "/v1/instances/", after_token="no")[0] == 400
    assert driver.call("GET", "/v0/elsewhere/")[0] == 404
    assert driver.call("GET", "/v1/instances/", key="no")[0] == 401


def test_money(driver: Driver) -> None:
    driver.rent()
    driver.emulators.frame.advance(3600)
    assert driver.call("GET", "/v0/users/current/")[1]["credit"] == pytest.approx(99.65)
    driver.vast.control("PATCH", "account", {"credit": 0.1})
    assert driver.call("PUT", "/v0/asks/7001001/", BODY)[1]["error"] == "insufficient_credit"


def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = Driver(tmp_path)
    machine_id = first.rent()
    first.vast.change_settings({"ready_after_s": 5})
    asyncio.run(first.emulators.close())
    second = Driver(tmp_path)
    second.emulators.frame.advance(10)
    assert second.shown(machine_id)["actual_status"] == "running"
    assert second.rent() != machine_id


def test_state_has_no_secret_and_tells_what_lives(driver: Driver) -> None:
    first, second = driver.rent(), driver.rent()
    driver.vast.control("POST", f"instances/{first}/destroy", {})
    state = driver.vast.state()
    assert state["alive"] == 1
    assert [one["id"] for one in state["machines"] if one["deleted_at"] is None] == [str(second)]
    assert "s3cret" not in json.dumps(state)
    driver.vast.reset()
    assert driver.vast.state()["machines"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"ready_after_s": -1},
        {"ready_after_s": "soon"},
        {"capacity": {"RTX 4090": 1}},
        {"capacity": {"RTX 4090|SE": -1}},
        {"prices": {"RTX 4090": -1}},
        {"gone_answer": "500"},
        {"listed_but_taken": 1},
        {"page_size": 0},
        {"keys": {"a": {}}},
        {"keys": {"a": {"account": "a", "auth": "some"}}},
        {"keys": []},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        check_settings({"vast": changes})


def test_control(driver: Driver) -> None:
    machine_id = driver.rent()
    assert driver.vast.control("PUT", "capacity", {"RTX 4090|SE": 1}) == {"RTX 4090|SE": 1}
    assert driver.call("PUT", "/v0/asks/7001001/", BODY)[1]["error"] == "no_such_ask"
    driver.vast.control("PATCH", f"instances/{machine_id}", {"stopped": True})
    assert driver.shown(machine_id)["actual_status"] == "exited"
    for path, body in (
        (f"instances/{machine_id}", {"image": "x"}),
        ("instances/1", {}),
        ("account", {"x": 1}),
    ):
        with pytest.raises(SettingError):
            driver.vast.control("PATCH", path, body)
    assert driver.vast.control("GET", "nothing", None) is None
