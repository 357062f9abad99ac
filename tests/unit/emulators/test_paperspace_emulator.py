"""The emulated Paperspace: its event engine, its knobs, what survives a restart, and its nodes."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from emulators.clock import SettingError
from emulators.paperspace.cloud import BASE
from emulators.paperspace.script import exported, served_model
from emulators.paperspace.settings import DEFAULT_KEY, SECOND_KEY, Settings
from emulators.paperspace.trouble import FAULT_KINDS
from tests.unit.emulators.driver import EIGHT_OCLOCK, Driver, Reply

SCRIPT = """#!/bin/bash
export VLLM_API_KEY='it'"'"'s the key'
export MODEL=org/model
echo "export NOT=this"
export LINES='one
export INNER=no
two' ; export SECOND=ignored
"""


class Paperspace(Driver):
    """The emulators and a client of Paperspace in one."""

    def __init__(self, folder: Path | None = None, *, start: float = EIGHT_OCLOCK, **settings: Any) -> None:
        super().__init__(folder, start=start)
        if settings:
            self.set(**settings)

    def __enter__(self) -> Paperspace:
        return self

    def set(self, **settings: Any) -> None:
        self.control("PATCH", "paperspace/settings", settings)

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        return self.call(method, f"{BASE}{path}", body, **{"key": DEFAULT_KEY, **more})

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        reply = self.api(method, path, body, **more)
        assert reply.status == 200, reply.body
        return reply.json()

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        reply = self.api(method, path, body, **more)
        return reply.status, reply.json()["code"]

    def launch(self, name: str = "node", **more: Any) -> str:
        body = {
            "name": name,
            "machineType": "A4000",
            "templateId": "twnlo3zj",
            "diskSize": 50,
            "region": "ny2",
            "publicIpType": "dynamic",
            **more,
        }
        found: str = self.ok("POST", "/machines", body)["data"]["id"]
        return found

    def machine(self, machine_id: str) -> Any:
        return self.ok("GET", f"/machines/{machine_id}")

    def event(self, machine_id: str) -> Any:
        return self.ok("GET", f"/machine-events?machineId={machine_id}")["items"][-1]

    def states(self, machine_id: str, *seconds: float) -> list[tuple[str, str]]:
        """State of the machine and of its youngest event, after each of these times."""
        found = []
        for wait in seconds:
            self.advance(wait)
            found.append((self.machine(machine_id)["state"], self.event(machine_id)["state"]))
        return found


def test_a_machine_is_made_step_by_step() -> None:
    with Paperspace() as driver:
        machine = driver.launch()
        assert driver.states(machine, 0, 2, 58, 30, 15) == [
            ("provisioning", "new"),
            ("provisioning", "in progress"),
            ("starting", "in progress"),
            ("serviceready", "in progress"),
            ("ready", "done"),
        ]
        driver.ok("PATCH", f"/machines/{machine}/stop")
        assert driver.states(machine, 0, 120) == [("stopping", "new"), ("off", "done")]
        assert driver.machine(machine)["publicIp"] is None
        driver.ok("PATCH", f"/machines/{machine}/start")
        assert driver.states(machine, 0, 60) == [("starting", "new"), ("ready", "done")]
        driver.ok("DELETE", f"/machines/{machine}")
        driver.advance(20)
        assert driver.api("GET", f"/machines/{machine}").status == 404
        assert driver.control("GET", "state")["paperspace"]["alive"] == 0


@pytest.mark.parametrize(
    ("failure", "seen"),
    [("event_error", ("provisioning", "error")), ("silent_off", ("off", "in progress"))],
)
def test_no_capacity_shows_late_and_in_two_forms(failure: str, seen: tuple[str, str]) -> None:
    with Paperspace(capacity={"A4000|ny2": 1}, capacity_failure=failure) as driver:
        first, second = driver.launch(), driver.launch()
        driver.advance(200)
        assert driver.machine(first)["state"] == "ready"
        assert driver.states(second, 0) == [seen]
        # What was never there costs nothing and takes no place.
        driver.ok("DELETE", f"/machines/{first}")
        driver.advance(30)
        third = driver.launch()
        driver.advance(200)
        assert driver.machine(third)["state"] == "ready"


@pytest.mark.parametrize(("lies", "said"), [(False, False), (True, True)])
def test_availability_may_lie(lies: bool, said: bool) -> None:
    with Paperspace(capacity={"A4000|*": 0}, availability_lies=lies) as driver:
        asked = "/machine-availability?machineType=A4000&region=ny2"
        assert driver.ok("GET", asked) == {"available": said}
        driver.set(availability_missing=True)
        assert driver.refused("GET", asked) == (404, "NOT_FOUND")


def test_provisioning_may_never_end() -> None:
    with Paperspace(provision_forever=True) as driver:
        machine = driver.launch()
        assert driver.states(machine, 100_000) == [("provisioning", "in progress")]


def test_a_start_that_meets_no_capacity() -> None:
    with Paperspace() as driver:
        machine = driver.launch()
        driver.advance(200)
        driver.ok("PATCH", f"/machines/{machine}/stop")
        assert driver.refused("PATCH", f"/machines/{machine}/start") == (409, "CONFLICT")
        driver.advance(130)
        driver.set(capacity={"A4000|ny2": 0})
        driver.ok("PATCH", f"/machines/{machine}/start")
        assert driver.states(machine, 60) == [("off", "error")]


def test_lists_lag_and_deleted_machines_stay_visible() -> None:
    with Paperspace(list_lag_s=20, deleted_visible_s=60) as driver:
        machine = driver.launch()
        assert driver.ok("GET", "/machines")["items"] == []
        assert driver.machine(machine)["id"] == machine
        driver.advance(20)
        assert len(driver.ok("GET", "/machines")["items"]) == 1
        driver.ok("DELETE", f"/machines/{machine}")
        driver.advance(20)
        assert driver.machine(machine)["dtDeleted"]
        assert driver.refused("DELETE", f"/machines/{machine}") == (404, "NOT_FOUND")
        driver.advance(60)
        assert driver.refused("GET", f"/machines/{machine}") == (404, "NOT_FOUND")


def test_pages_and_the_filter_by_part_of_a_name() -> None:
    with Paperspace(page_size=2) as driver:
        made = [driver.launch(f"n{index}") for index in range(5)]
        driver.launch("other")
        found, after = [], ""
        while True:
            page = driver.ok("GET", f"/machines?name=n&limit=100{after}")
            found += [one["id"] for one in page["items"]]
            assert len(page["items"]) <= 2
            if not page["hasMore"]:
                break
            after = f"&after={page['nextPage']}"
        assert found == made


@pytest.mark.parametrize(("style", "region"), [("short", "ny2"), ("long", "East Coast (NY2)")])
def test_regions_are_taken_in_both_styles_and_shown_in_one(style: str, region: str) -> None:
    with Paperspace(region_style=style) as driver:
        for asked in ("ny2", "NY2", "East Coast (NY2)"):
            assert driver.machine(driver.launch(region=asked))["region"] == region


def test_teams_see_nothing_of_each_other() -> None:
    with Paperspace() as driver:
        machine = driver.launch()
        assert driver.ok("GET", "/machines", key=SECOND_KEY)["items"] == []
        assert driver.refused("DELETE", f"/machines/{machine}", key=SECOND_KEY) == (404, "NOT_FOUND")
        assert driver.ok("GET", "/auth/session", key="nobody") is None
        assert driver.refused("GET", "/machines", key="nobody") == (401, "UNAUTHORIZED")


def test_money_runs_while_a_machine_is_not_off() -> None:
    with Paperspace(stop_s=0, provision_s=0, starting_s=0, serviceready_s=0) as driver:
        machine = driver.launch()
        driver.advance(3600)
        driver.ok("PATCH", f"/machines/{machine}/stop")
        driver.advance(36000)
        team = driver.control("GET", "state")["paperspace"]["accounts"]["default"]
        assert team["spent_usd"] == pytest.approx(0.76, abs=0.001)
        assert team["usd_per_hour"] == 0


def test_an_automatic_shutdown() -> None:
    with Paperspace() as driver:
        machine = driver.launch(autoShutdownEnabled=True, autoShutdownTimeout=2, autoShutdownForce=True)
        driver.advance(7000)
        assert driver.machine(machine)["state"] == "ready"
        driver.advance(500)
        assert driver.machine(machine)["state"] == "off"


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
def test_everything_goes_on_after_a_restart(tmp_path: Path, clean: bool) -> None:
    driver = Paperspace(tmp_path, region_style="long")
    script = driver.ok("POST", "/startup-scripts", {"name": "s", "script": SCRIPT})["id"]
    machine = driver.launch(startupScriptId=script)
    event = driver.event(machine)["id"]
    driver.advance(70)
    if clean:
        driver.__exit__(None, None, None)
    else:
        driver.crash()
    with Paperspace(tmp_path, start=EIGHT_OCLOCK + 70) as again:
        assert again.machine(machine)["region"] == "East Coast (NY2)"
        assert again.machine(machine)["state"] == "starting"
        again.advance(100)
        assert again.machine(machine)["state"] == "ready"
        assert again.ok("GET", f"/machine-events/{event}")["state"] == "done"
        assert again.ok("GET", "/startup-scripts")["items"][0]["assignedMachineIds"] == [machine]
        assert (
            again.call("GET", f"/paperspace/node/{machine}-8000/v1/models", key="it's the key").status == 200
        )
        assert again.launch() != machine


def test_a_node_serves_once_ready_with_the_key_of_its_script() -> None:
    with Paperspace() as driver:
        script = driver.ok("POST", "/startup-scripts", {"name": "s", "script": SCRIPT})["id"]
        machine = driver.launch(startupScriptId=script)
        node = f"/paperspace/node/{machine}-8000"
        assert driver.call("GET", f"{node}/health", key=None).cut
        driver.advance(200)
        assert driver.call("GET", f"{node}/health", key=None).status == 200
        assert driver.call("GET", f"{node}/v1/models", key="wrong").status == 401
        models = driver.call("GET", f"{node}/v1/models", key="it's the key").json()
        assert models["data"][0]["id"] == "org/model"
        chat = {"model": "org/model", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        assert driver.call("POST", f"{node}/v1/chat/completions", chat, key="it's the key").status == 200
        driver.control("PATCH", f"paperspace/machines/{machine}", {"unusable": True})
        assert driver.call("GET", f"{node}/health", key=None).status == 500
        driver.control("POST", f"paperspace/machines/{machine}/stop")
        assert driver.call("GET", f"{node}/health", key=None).cut


def test_a_machine_whose_script_is_gone_at_boot_serves_nothing() -> None:
    with Paperspace() as driver:
        script = driver.ok("POST", "/startup-scripts", {"name": "s", "script": SCRIPT})["id"]
        machine = driver.launch(startupScriptId=script)
        driver.ok("DELETE", f"/startup-scripts/{script}")
        driver.advance(200)
        assert driver.machine(machine)["state"] == "ready"
        assert driver.call("GET", f"/paperspace/node/{machine}-8000/health", key=None).cut


def test_a_script_is_read_and_never_run() -> None:
    assert exported(SCRIPT) == {
        "VLLM_API_KEY": "it's the key",
        "MODEL": "org/model",
        "LINES": "one\nexport INNER=no\ntwo",
    }
    assert exported('export A="x\\"$y"\nexport B=\\$z\nexport C=\'open') == {"A": 'x"$y', "B": "$z"}


def test_no_secret_is_in_an_answer_or_a_dump() -> None:
    with Paperspace() as driver:
        script = driver.ok("POST", "/startup-scripts", {"name": "s", "script": SCRIPT})["id"]
        driver.launch(startupScriptId=script)
        driver.advance(200)
        texts = [
            driver.api("GET", path).body
            for path in ("/machines", "/startup-scripts", f"/startup-scripts/{script}")
        ]
        texts.append(json.dumps(driver.control("GET", "state")).encode())
        assert not [text for text in texts if b"the key" in text or b"org/model" in text]


@pytest.mark.parametrize("kind", ["error", "ok_body_with_error_code"])
def test_an_error_may_come_with_status_200(kind: str) -> None:
    with Paperspace() as driver:
        driver.fault(kind, cloud="paperspace", count=1, args={"status": 404, "message": "no"})
        reply = driver.api("GET", "/machines")
        assert reply.status == (200 if kind == "ok_body_with_error_code" else 404)
        assert reply.json() == {"code": "NOT_FOUND", "message": "no"}


def test_a_rate_limit_says_how_long_only_if_asked() -> None:
    with Paperspace(rate_limit=1) as driver:
        driver.ok("GET", "/health")
        assert "retry-after" not in driver.api("GET", "/health").headers
        driver.set(retry_after=True)
        assert int(driver.api("GET", "/health").headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "settings",
    [
        {"nonsense": 1},
        {"capacity": {"H100": 1}},
        {"capacity_failure": "never"},
        {"region_style": "odd"},
        {"page_size": 0},
        {"page_size": 121},
        {"stop_s": -1},
        {"availability_lies": 1},
        {"prices": {"H100": "much"}},
        {"keys": {"k": {"auth": "all"}}},
        {"keys": {"k": {"account": "a", "auth": "some"}}},
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        Settings().merged(settings)


def test_settings_are_read_back() -> None:
    assert Settings().merged(Settings(stop_s=3.0).json()) == Settings(stop_s=3.0)


def test_every_knob_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "clouds" / "paperspace.md").read_text("utf-8")
    names = FAULT_KINDS | {one.name for one in fields(Settings)}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("command", "model"),
    [
        ("docker run --gpus all vllm:1 --model org/tiny --port 8000", "org/tiny"),
        ("docker run vllm:1 --model=org/tiny", "org/tiny"),
        ("docker run vllm:1 --model org/tiny --served-model-name 'my model'", "my model"),
        ("docker run vllm:1 'open", ""),
        ("docker run vllm:1", ""),
        ("echo docker run --model org/tiny", ""),
    ],
)
def test_the_model_that_a_script_serves(command: str, model: str) -> None:
    assert served_model(f"#!/bin/sh\n{command}\n") == model
