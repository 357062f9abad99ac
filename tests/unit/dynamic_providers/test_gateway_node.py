"""GatewayNode against a stand-in of the admin endpoint: its life, drift, rotation, a gateway that is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pulumi.output import Unknown

from dynamic_providers import gateway_node
from dynamic_providers.base import own_props
from dynamic_providers.gateway_admin import GatewayAdmin, GatewayAwayError
from dynamic_providers.gateway_node import GatewayNodeProvider
from dynamic_providers.host.call import set_progress_sink
from dynamic_providers.host.results import Kind
from gpu_clouds.errors import AuthError, CancelledError, GpuCloudError, TransientError, ValidationError
from tests.unit.dynamic_providers.admin_server import TOKEN, Admin, admin_server
from tests.unit.dynamic_providers.memory_cloud import MemoryCloud, shared_with

UNKNOWN: Any = Unknown()  # type: ignore[no-untyped-call]  # of the SDK
KEY = "canary-upstream-1"


@pytest.fixture
def admin() -> Iterator[Admin]:
    with admin_server() as running:
        yield running


@pytest.fixture
def provider() -> GatewayNodeProvider:
    made = GatewayNodeProvider()
    made._shared = shared_with(MemoryCloud())
    return made


@pytest.fixture
def told() -> Iterator[list[str]]:
    lines: list[str] = []
    set_progress_sink(lambda call, text, keep: lines.append(text))
    yield lines
    set_progress_sink(None)


class Waits:
    """A clock that waits for nothing and writes down how long it should have."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def time(self) -> float:
        return sum(self.waited)

    def monotonic(self) -> float:
        return sum(self.waited)

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        if cancel is not None and cancel.is_set():
            raise CancelledError("cancelled while waiting")
        self.waited.append(seconds)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()
    monkeypatch.setattr("dynamic_providers.gateway_node.SystemClock", lambda: waits)
    monkeypatch.setattr("dynamic_providers.gateway_admin.SystemClock", lambda: waits)
    return waits


def node(at: str = "http://127.0.0.1:1", **more: Any) -> dict[str, Any]:
    return {
        "gateway": at,
        "adminToken": TOKEN,
        "node": "chat-0",
        "nodeId": "pod-1",
        "url": "https://pod-1-8000.proxy.runpod.net",
        "models": ["tiny"],
        "apiKey": KEY,
        **more,
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"gateway": "ftp://x"}, "gateway: must be a URL with http or https"),
        ({"gateway": "http://me:word@x"}, "gateway: must hold no user, password, query or fragment"),
        ({"adminToken": ""}, "adminToken: must not be empty"),
        ({"node": "Chat"}, "node: must be lower-case letters, digits and inner hyphens"),
        ({"url": ""}, "url: must be a URL with http or https"),
        ({"url": "http://x:99999"}, "url: is no URL"),
        ({"models": []}, "models: name the models that it serves"),
        ({"models": [""]}, "models: name the models that it serves"),
        ({"apiKey": ""}, "apiKey: must not be empty: a node that asks for no key answers anybody"),
        ({"tlsSha256": "AB"}, "tlsSha256: must be 64 hexadecimal digits, lower case"),
        ({"maxInFlight": -1.0}, "maxInFlight: must be greater than or equal to 0"),
        ({"modles": []}, "modles: unknown input; did you mean 'models'?"),
    ],
)
def test_a_broken_rule_is_one_clear_line(
    provider: GatewayNodeProvider, more: dict[str, Any], said: str
) -> None:
    assert [each.reason for each in provider.check({}, node(**more)).failures] == [said]


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://8.8.8.8:8000", True),
        ("http://nodes.example.com:8000", True),
        ("http://10.1.2.3:8000", False),
        ("http://127.0.0.1:8000/proxy/x-8000", False),
        ("https://203.0.113.9:8000", False),
    ],
)
def test_plain_http_to_a_public_address(provider: GatewayNodeProvider, url: str, refused: bool) -> None:
    assert bool(provider.check({}, node(url=url)).failures) == refused
    assert provider.check({}, node(url=url, allowPlainHttp=True)).failures == []


def test_what_is_not_known_yet_is_let_through(provider: GatewayNodeProvider) -> None:
    later = node(gateway=UNKNOWN, adminToken=UNKNOWN, nodeId=UNKNOWN, url=UNKNOWN, apiKey=UNKNOWN)
    result = provider.check({}, later)
    assert result.failures == []
    assert result.inputs == later
    # What is known is normalised all the same, so that a plan holds.
    assert provider.check({}, {**later, "drainS": 30.0}).inputs == later
    assert [each.reason for each in provider.check({}, {**later, "models": []}).failures] == [
        "models: name the models that it serves"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, {}),
        ({}, {"url": "https://other"}, {"url": Kind.UPDATE}),
        ({}, {"adminToken": UNKNOWN}, {"adminToken": Kind.UPDATE}),
        ({}, {"apiKey": "other"}, {"apiKey": Kind.UPDATE}),
        ({}, {"url": UNKNOWN}, {"url": Kind.UPDATE}),
        ({}, {"nodeId": UNKNOWN}, {"nodeId": Kind.UPDATE_REPLACE}),
        ({}, {"nodeId": "pod-2"}, {"nodeId": Kind.UPDATE_REPLACE}),
        ({}, {"gateway": UNKNOWN}, {"gateway": Kind.UPDATE_REPLACE}),
        ({}, {"maxInFlight": 4}, {"maxInFlight": Kind.ADD}),
        ({"state": "open"}, {}, {"state": Kind.UPDATE}),
        ({"state": "probing"}, {}, {}),
    ],
)
def test_differences(
    provider: GatewayNodeProvider, old: dict[str, Any], new: dict[str, Any], expected: dict[str, Kind]
) -> None:
    diff = provider.diff("chat-0", {**node(), "state": "healthy", **old}, node(**new))
    assert diff.detailed == expected
    assert diff.delete_before_replace


def test_its_life(provider: GatewayNodeProvider, admin: Admin, told: list[str]) -> None:
    made = provider.create(node(admin.url))
    assert made.id == "chat-0"
    outs = own_props(made.outs or {})
    assert outs == {**node(admin.url), "state": "healthy"}
    assert admin.nodes["chat-0"]["apiKey"] == KEY
    assert (admin.nodes["chat-0"]["url"], admin.nodes["chat-0"]["models"]) == (outs["url"], ["tiny"])

    read = provider.read("chat-0", outs)
    assert (read.id, read.outs) == ("chat-0", outs)
    assert provider.diff("chat-0", outs, node(admin.url)).detailed == {}

    new = node(admin.url, url="https://other", maxInFlight=4.0)
    changed = provider.update("chat-0", outs, new)
    assert admin.nodes["chat-0"]["url"] == "https://other"
    assert admin.nodes["chat-0"]["maxInFlight"] == 4

    provider.delete("chat-0", own_props(changed.outs or {}))
    assert admin.nodes == {}
    assert admin.calls[-1] == ("DELETE", "chat-0?30")
    provider.delete("chat-0", own_props(changed.outs or {}))  # absent is success
    assert told == []


def test_one_that_is_there_already_is_taken_over(provider: GatewayNodeProvider, admin: Admin) -> None:
    """An `up` was killed after the registration: the state does not know of it."""
    provider.create(node(admin.url))
    provider.create(node(admin.url, url="https://other"))
    assert list(admin.nodes) == ["chat-0"]
    assert admin.nodes["chat-0"]["url"] == "https://other"


def test_drift_is_seen_and_healed(provider: GatewayNodeProvider, admin: Admin) -> None:
    outs = own_props(provider.create(node(admin.url)).outs or {})
    admin.nodes["chat-0"] |= {"url": "https://elsewhere", "models": ["other"], "maxInFlight": 9}
    read = provider.read("chat-0", dict(outs))
    found = provider.diff("chat-0", read.outs or {}, node(admin.url)).detailed
    assert {path.partition("[")[0] for path in found} == {"url", "models", "maxInFlight"}
    provider.update("chat-0", read.outs or {}, node(admin.url))
    assert admin.nodes["chat-0"]["url"] == node()["url"]
    admin.states["chat-0"] = "open"
    assert (provider.read("chat-0", dict(outs)).outs or {})["state"] == "open"
    del admin.nodes["chat-0"]
    assert provider.read("chat-0", dict(outs)).id == ""


def test_a_cordon_of_somebody_outlives_an_update(provider: GatewayNodeProvider, admin: Admin) -> None:
    outs = own_props(provider.create(node(admin.url)).outs or {})
    admin.nodes["chat-0"]["cordoned"] = True
    provider.update("chat-0", outs, node(admin.url, models=["tiny", "more"]))
    assert admin.nodes["chat-0"]["cordoned"] is True


def test_a_node_that_the_gateway_does_not_see_yet_is_a_warning(
    provider: GatewayNodeProvider, admin: Admin, told: list[str], clock: Waits
) -> None:
    admin.states["chat-0"] = "probing"
    made = provider.create(node(admin.url))
    assert (made.outs or {})["state"] == "probing"
    assert told == ["warning: [chat-0] the gateway calls it probing"]
    assert sum(clock.waited) == pytest.approx(gateway_node.SEEN_S, abs=0.2)


def test_a_gateway_that_is_gone_has_forgotten_the_node(
    provider: GatewayNodeProvider, told: list[str], clock: Waits
) -> None:
    with admin_server() as admin:
        outs = own_props(provider.create(node(admin.url)).outs or {})
    read = provider.read("chat-0", dict(outs))
    assert (read.id, read.outs) == ("chat-0", outs)
    assert told.pop().startswith("warning: [chat-0] left as it is in the state: the gateway at http://127.")
    provider.delete("chat-0", outs)
    assert told == ["[chat-0] the gateway is gone, and with it what it knew of this node"]
    assert len(clock.waited) == 8, "it is asked again for a moment, since it may be starting"
    with pytest.raises(TransientError, match=r"the gateway at http://127\.0\.0\.1:\d+ does not answer"):
        provider.create(node(admin.url))


def test_a_rotated_token(provider: GatewayNodeProvider, admin: Admin, told: list[str]) -> None:
    outs = own_props(provider.create(node(admin.url)).outs or {})
    admin.token = "canary-admin-token-2"
    assert provider.read("chat-0", dict(outs)).id == "chat-0"
    assert told.pop().endswith("does not accept the admin token")
    with pytest.raises(AuthError):
        provider.update("chat-0", outs, node(admin.url))
    other = node(admin.url, node="chat-1", adminToken=admin.token)
    provider.check({}, other)  # any other node of this run tells the new token
    provider.delete("chat-0", outs)
    assert admin.nodes == {}
    assert told == []


def test_a_token_that_nobody_knows_is_not_in_the_way_of_a_destroy(
    provider: GatewayNodeProvider, admin: Admin, told: list[str]
) -> None:
    outs = own_props(provider.create(node(admin.url)).outs or {})
    admin.token = "canary-admin-token-2"
    provider.delete("chat-0", outs)
    assert "takes neither token that is known here: chat-0 stays in its table" in told[0]
    assert "canary" not in told[0]


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (404, ValidationError, "has no admin endpoint: it was started without GATEWAY_ADMIN_TOKEN"),
        (400, ValidationError, "answers 400: canary of the gateway"),
        (503, TransientError, "answers 503: canary of the gateway"),
    ],
)
def test_what_the_gateway_refuses_is_told(
    provider: GatewayNodeProvider, admin: Admin, status: int, kind: type[GpuCloudError], said: str
) -> None:
    admin.status = status
    with pytest.raises(kind) as refused:
        provider.create(node(admin.url))
    assert refused.value.message == f"the gateway at {admin.url} {said}"
    assert TOKEN not in repr(refused.value) and KEY not in repr(refused.value)


def test_nothing_is_sent_after_a_cancel_but_a_delete(clock: Waits) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    cancel = threading.Event()
    cancel.set()
    with GatewayAdmin(
        "http://127.0.0.1:1",
        TOKEN,
        cancel=cancel,
        may_write=lambda: None,
        clock=clock,
        transport=httpx.MockTransport(away),
    ) as client:
        with pytest.raises(CancelledError):
            client.put("chat-0", {})
        with pytest.raises(GatewayAwayError):
            client.delete("chat-0", 0)
    assert len(clock.waited) == 4


def test_something_else_at_the_address_is_told() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>")

    client = GatewayAdmin(
        "http://127.0.0.1:1",
        TOKEN,
        cancel=threading.Event(),
        may_write=lambda: None,
        transport=httpx.MockTransport(page),
    )
    with client, pytest.raises(GpuCloudError, match="is no gateway"):
        client.get("chat-0")


def test_plain_http_to_another_machine_never_carries_the_token() -> None:
    with pytest.raises(ValidationError, match="plain http is for this machine only"):
        GatewayAdmin("http://gateway.example.com", TOKEN, cancel=threading.Event(), may_write=lambda: None)
