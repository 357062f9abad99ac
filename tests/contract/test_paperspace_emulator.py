"""Every answer of the emulated Paperspace, and which bodies it takes, against the description in short."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.paperspace import bodies
from emulators.paperspace.cloud import BASE
from emulators.paperspace.settings import DEFAULT_KEY
from tests.contract.paperspace_description import CREATE, OPERATIONS, UPDATE, answer_complaints, complaints
from tests.unit.emulators.driver import Driver, Reply

BODY = {
    "name": "m",
    "machineType": "A4000",
    "templateId": "twnlo3zj",
    "diskSize": 100,
    "region": "East Coast (NY2)",
    "publicIpType": "dynamic",
    "takeInitialSnapshot": True,
    "startOnCreate": True,
    "emailPassword": False,
}


class Checked:
    """Calls the emulator and checks every answer against the description."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.seen: set[tuple[str, int]] = set()

    def __call__(
        self,
        operation: str,
        body: Any = None,
        *,
        expect: int = 200,
        id_: str = "",
        query: str = "",
        **more: Any,
    ) -> Any:
        method, path = operation.split(" ")
        path = path.replace("{id}", id_)
        reply: Reply = self.driver.call(method, f"{BASE}{path}{query}", body, **{"key": DEFAULT_KEY, **more})
        assert reply.status == expect, reply.body
        value = json.loads(reply.body)
        found = answer_complaints(operation, reply.status, value)
        assert not found, f"{operation} -> {reply.status}: {found}"
        self.seen.add((operation, reply.status))
        return value


@pytest.mark.parametrize("style", ["short", "long"])
def test_every_answer_fits_the_description(style: str) -> None:
    with Driver() as driver:
        driver.control("PATCH", "paperspace/settings", {"region_style": style, "deleted_visible_s": 30})
        call = Checked(driver)
        _machines(call)
        _objects(call)
        _before_a_launch(call)
        _errors(call)
        assert set(driver.emulators.paperspace.operations) == set(OPERATIONS)
        answered = {operation for operation, status in call.seen if status == 200}
        assert answered == set(OPERATIONS), "an operation has no successful answer in this test"


def _machines(call: Checked) -> None:
    made = call("POST /machines", BODY)
    machine, event = made["data"]["id"], made["event"]["id"]
    for _ in range(12):
        call("GET /machines", query="?limit=1&orderBy=name&order=desc")
        call("GET /machines/{id}", id_=machine)
        call("GET /machine-events/{id}", id_=event)
        call("GET /machine-events", query=f"?machineId={machine}")
        call.driver.advance(10)
    assert call("GET /machines/{id}", id_=machine)["state"] == "ready"
    call(
        "PUT /machines/{id}",
        {"name": "n", "autoShutdownEnabled": True, "autoShutdownTimeout": 8},
        id_=machine,
    )
    call("PUT /machines/{id}", {"diskSize": 250}, id_=machine)
    call("PATCH /machines/{id}/stop", {}, id_=machine, expect=409)
    call.driver.advance(100)
    call("PATCH /machines/{id}/restart", id_=machine)
    call.driver.advance(100)
    call("PATCH /machines/{id}/stop", {}, id_=machine)
    call("PATCH /machines/{id}/start", {}, id_=machine, expect=409)
    call.driver.advance(200)
    call("PATCH /machines/{id}/start", id_=machine)
    call.driver.advance(200)
    call("DELETE /machines/{id}", id_=machine)
    call.driver.advance(25)
    assert call("GET /machines/{id}", id_=machine)["dtDeleted"]
    call("POST /machines", BODY)
    call("POST /machines", BODY)
    assert call("GET /machines", query="?limit=1")["nextPage"]


def _objects(call: Checked) -> None:
    machine = call("GET /machines")["items"][-1]["id"]
    script = call("POST /startup-scripts", {"name": "s", "script": "true", "isRunOnce": True})["id"]
    call("PUT /startup-scripts/{id}", {"name": "t"}, id_=script)
    call("POST /startup-scripts/{id}/assign", {"machineId": machine}, id_=script)
    assert call("GET /startup-scripts")["items"][0]["assignedMachineIds"] == [machine]
    call("POST /startup-scripts/{id}/unassign", {"machineId": machine}, id_=script)
    call("GET /startup-scripts/{id}", id_=script)
    call("DELETE /startup-scripts/{id}", id_=script)
    network = call("POST /private-networks", {"name": "n", "region": "ny2"})["id"]
    call("GET /private-networks")
    call("GET /private-networks/{id}", id_=network)
    call("PUT /private-networks/{id}", {"name": "o"}, id_=network)
    inside = call("POST /machines", BODY | {"networkId": network})["data"]["id"]
    call("DELETE /private-networks/{id}", id_=network, expect=409)
    call("DELETE /machines/{id}", id_=inside)
    call.driver.advance(25)
    call("DELETE /private-networks/{id}", id_=network, expect=409)
    call.driver.advance(40)
    call("DELETE /private-networks/{id}", id_=network)
    ip = call("POST /public-ips", {"region": "NY2"})["ip"]
    call("PUT /public-ips/{id}", {"machineId": machine}, id_=ip)
    call("DELETE /public-ips/{id}", id_=ip, expect=409)
    call("GET /public-ips")
    call("PUT /public-ips/{id}", {"machineId": None}, id_=ip)
    call("DELETE /public-ips/{id}", id_=ip)
    for family in ("snapshots", "custom-templates"):
        copy_ = call(f"POST /{family}", {"name": "c", "machineId": machine})["id"]
        call(f"GET /{family}")
        call(f"GET /{family}/{{id}}", id_=copy_)
        call(f"PUT /{family}/{{id}}", {"name": "d"}, id_=copy_)
        if family == "snapshots":
            call("POST /snapshots/{id}/restore", {}, id_=copy_)
        call(f"DELETE /{family}/{{id}}", id_=copy_)


def _before_a_launch(call: Checked) -> None:
    call("GET /os-templates")
    assert call("GET /machine-availability", query="?machineType=h100&region=NY2") == {"available": True}
    assert call("GET /machine-availability", query="?machineType=H100&region=ca1") == {"available": False}
    call("GET /machine-availability", query="?machineType=H100", expect=400)
    call("GET /billing/account-standing")
    call("GET /health")
    assert call("GET /auth/session")["team"]["maxMachines"] is None
    assert call("GET /auth/session", key="nobody") is None


def _errors(call: Checked) -> None:
    for operation in OPERATIONS:
        if operation != "GET /auth/session":
            call(operation, {}, id_="absent", key="nobody", expect=401)
        if "{id}" in operation:
            body = {"machineId": "x", "name": "x"} if operation.startswith(("POST", "PUT")) else None
            known = OPERATIONS[operation][0] or {}
            body = {key: value for key, value in (body or {}).items() if key in known.get("properties", {})}
            call(operation, body or None if body else {}, id_="absent", expect=404)
    call("POST /machines", BODY | {"region": "Mars"}, expect=400)
    call("POST /machines", BODY | {"machineType": "H100"}, expect=400)
    call("POST /machines", BODY | {"templateId": "none"}, expect=404)
    call("POST /machines", BODY | {"startupScriptId": "none"}, expect=404)
    call("GET /machines", query="?limit=121", expect=400)
    call("GET /machines", query="?after=none", expect=400)
    call.driver.control("PATCH", "paperspace/account", {"max_machines": 0})
    call("POST /machines", BODY, expect=403)
    call.driver.control("PATCH", "paperspace/account", {"auth": "readonly"})
    call("POST /machines", BODY, expect=403)
    call.driver.fault("error", cloud="paperspace", count=1)
    call("GET /machines", expect=500)
    call.driver.control("PATCH", "paperspace/settings", {"rate_limit": 1})
    call("GET /health")
    call("GET /health", expect=429)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from(["", "x", "static", "daily", "ny2", "shutdown", 50, 16000, 1.5]),
    st.sampled_from([[], ["x"], [1], {}]),
)


@pytest.mark.parametrize(
    ("name", "check", "schema"),
    [("create", bodies.CREATE_MACHINE, CREATE), ("update", bodies.UPDATE_MACHINE, UPDATE)],
)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_emulator_takes_no_body_that_the_description_refuses(
    name: str, check: Any, schema: Any, data: st.DataObject
) -> None:
    body: dict[str, Any] = copy.deepcopy(BODY)
    if name == "update":
        body = {"name": "n", "diskSize": 100}
    known = sorted(schema["properties"])
    for _ in range(data.draw(st.integers(0, 3))):
        key = data.draw(st.sampled_from([*known, "surplus"]))
        if data.draw(st.booleans()):
            body[key] = data.draw(VALUES)
        else:
            body.pop(key, None)
    if not check(body):
        # Regions are looked at later, by name.
        assert [line for line in complaints(schema, body) if "region" not in line] == []
