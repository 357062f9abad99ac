from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from emulators.runpod.settings import Settings
from emulators.runpod.trouble import FAULT_KINDS
from tests.unit.emulators.driver import Driver, pod_body


def test_reads_and_writes_are_counted_apart_and_kept_at_a_clean_end(tmp_path: Path) -> None:
    with Driver(tmp_path) as driver:
        pod = driver.create()["id"]
        driver.pods()
        driver.call("GET", f"/v2/pods/{pod}")
        driver.call("DELETE", f"/v2/pods/{pod}")
        driver.call("POST", "/v2/pods", {})
        counters = driver.control("GET", "counters")
        assert counters["clouds"]["runpod"] == {"reads": 2, "writes": 3, "node_requests": 0}
        routes = {(row["method"], row["route"], row["status"]): row["count"] for row in counters["routes"]}
        assert routes[("DELETE", "/v2/pods/{id}", 204)] == 1
        assert routes[("POST", "/v2/pods", 422)] == 1
    with Driver(tmp_path) as driver:
        assert driver.control("GET", "counters") == counters
        driver.control("DELETE", "counters")
        assert driver.control("GET", "counters") == {"clouds": {}, "routes": []}


def test_the_request_log_shows_no_secret() -> None:
    with Driver() as driver:
        driver.create(env={"TOKEN": "canary"})
        driver.call("GET", "/v2/pods", key="canary")
        reply = driver.call("GET", "/_emu/requests?last=5", key=None)
        assert [row["status"] for row in reply.json()["requests"]] == [201, 401]
        assert b"canary" not in reply.body
        assert b"emulator-key" not in reply.body


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nothing", None, 404),
        ("GET", "moonpod/state", None, 404),
        ("POST", "faults", b"{", 400),
        ("POST", "clock/advance", {"hours": 1}, 400),
        ("POST", "clock/advance", {"seconds": -1}, 400),
        ("POST", "runpod/pods/none/crash", {}, 400),
        ("PATCH", "runpod/account", {"owner": "x"}, 400),
        ("PUT", "runpod/capacity", {"everything": 0}, 400),
        ("PATCH", "runpod/settings", [], 400),
    ],
)
def test_control_requests_that_make_no_sense(method: str, path: str, body: object, status: int) -> None:
    with Driver() as driver:
        reply = driver.call(method, f"/_emu/{path}", body, key=None)
        assert reply.status == status
        assert reply.json()["error"]


def test_capacity_and_prices_are_merged_and_cleared() -> None:
    with Driver() as driver:
        driver.control("PUT", "runpod/capacity", {"NVIDIA L4|*": 0})
        table = driver.control("PUT", "runpod/capacity", {"NVIDIA L4|US-KS-2": 1})
        assert table == {"NVIDIA L4|*": 0, "NVIDIA L4|US-KS-2": 1}
        assert [driver.call("POST", "/v2/pods", pod_body()).status for _ in range(2)] == [201, 400]
        driver.control("DELETE", "runpod/capacity")
        assert driver.call("POST", "/v2/pods", pod_body()).status == 201


def test_the_cloud_can_end_and_crash_pods_by_itself() -> None:
    with Driver(ready_after_s=1) as driver:
        first, second = driver.create("a")["id"], driver.create("b")["id"]
        driver.advance(2)
        driver.control("POST", f"runpod/pods/{first}/terminate")
        driver.control("POST", f"runpod/pods/{second}/crash", {"phase": "ERROR"})
        assert [(pod["name"], pod["status"]) for pod in driver.pods()] == [("b", "ERROR")]
        assert driver.control("GET", "runpod/state")["alive"] == 1


def test_paths_of_no_cloud_get_404() -> None:
    with Driver() as driver:
        assert driver.call("GET", "/").status == 404


def test_the_documentation_names_every_setting_and_every_fault() -> None:
    text = (Path(__file__).parents[3] / "docs" / "emulators.md").read_text()
    names = FAULT_KINDS | {one.name for one in fields(Settings)}
    assert not {name for name in names if f"`{name}`" not in text}
