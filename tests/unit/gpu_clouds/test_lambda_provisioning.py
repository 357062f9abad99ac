"""The algorithm on the emulated Lambda, fault by fault: what the account is left with, what users read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gpu_clouds import errors
from gpu_clouds.ending import Ender
from gpu_clouds.intents import Intent, IntentLog
from gpu_clouds.models import Candidate, InstanceState, InstanceTemplate
from gpu_clouds.provisioning import NodeRequest, Provisioner, ProvisioningError
from gpu_clouds.run import Run as EngineRun
from tests.unit.gpu_clouds.lambda_harness import A10, STACK, EmulatedLambda

A6000 = Candidate("lambda", "main", "us-south-1", "RTX-A6000")
LAUNCH = "/api/v1/instance-operations/launch"
END = "/api/v1/instance-operations/terminate"
LIST = "/api/v1/instances"


@dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        name: What goes wrong.
        faults: Faults that are set.
        settings: Settings of the emulated Lambda.
        got: The type of the node that the caller gets, or the kinds of error.
        launches: Most launches that may be sent.
    """

    name: str
    faults: tuple[dict[str, Any], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    got: str = "A10"
    launches: int = 1
    key: str = "emulator-key"


def fault(kind: str, path: str = "*", count: int | None = 1, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "path": path, "count": count, **more}


CASES = [
    Case("goes well"),
    Case("sold out by the list of types", settings={"capacity": {"gpu_1x_a10|*": 0}}, got="RTX-A6000"),
    Case("refused in the cloud's own form", (fault("no_capacity"),), got="RTX-A6000", launches=2),
    Case("all refused", settings={"listed_but_refused": 1.0}, got="capacity", launches=2),
    Case("500 after it was made", (fault("launch_then_500"),)),
    Case("no answer after it was made", (fault("launch_then_hang"),)),
    Case("connection cut after it was made", (fault("cut_after", LAUNCH),)),
    Case("500 and nothing made", (fault("error", LAUNCH),), launches=2),
    Case("connection cut and nothing made", (fault("cut", LAUNCH),), launches=2),
    Case("provider down", (fault("provider_unavailable", LAUNCH),), launches=2),
    Case("page of a gateway", (fault("html_error_page", LAUNCH),), launches=2),
    Case("429 on launches", (fault("rate_limited", LAUNCH, 2),), launches=3),
    Case("429 on everything for a while", (fault("rate_limited", "*", 3),), launches=3),
    Case("500 after it was made, and not listed yet", (fault("launch_then_500"),), {"list_lag_s": 25}),
    Case("list and get lag", (), {"list_lag_s": 25, "get_lag_s": 25}),
    Case("name and tags come late", (), {"name_after_s": 20}),
    Case("listing fails for a while", (fault("error", LIST, 3, args={"status": 503}),)),
    Case("listing is a page of a gateway", (fault("html_error_page", LIST, 3),)),
    Case("types can not be read", (fault("error", "/api/v1/instance-types", 2),)),
    Case("stuck while booting", (fault("stuck_provisioning"),), got="RTX-A6000", launches=2),
    Case("boots for ever", settings={"boot_forever": True}, got="deadline", launches=2),
    Case("unhealthy at once", (fault("goes_unhealthy"),), got="RTX-A6000", launches=2),
    Case("taken away while booting", (fault("preempted"),), got="RTX-A6000", launches=2),
    Case("taken away at once", settings={"preempt_after": 0}, got="not_found failed", launches=2),
    Case("a state that nobody knows", (fault("unknown_state"),), got="RTX-A6000", launches=2),
    Case("quota", settings={"keys": {"emulator-key": {"account": "default", "quota": 0}}}, got="quota"),
    Case("bad address", key="emulator-key-bad-address", got="billing"),
    Case("inactive", key="emulator-key-inactive", got="billing", launches=0),
    Case("bad key", key="nonsense", got="auth", launches=0),
    Case("invalid parameters", (fault("create_refused", count=None),), got="validation", launches=2),
    Case("invalid parameters here only", (fault("create_refused"),), got="RTX-A6000", launches=2),
    Case(
        "fatal refusal",
        (fault("create_refused", args={"status": 403, "code": "global/forbidden"}),),
        got="RTX-A6000",
        launches=2,
    ),
    Case("clock skew", settings={"clock_skew_s": -86400}),
    Case(
        "the key can not be registered at first",
        (fault("error_after", "/api/v1/ssh-keys", 1, method="POST"),),
    ),
    Case("the published pace", settings={"rate_limit": "published"}),
    Case("a fifth of all calls finds no provider", settings={"provider_unavailable": 0.2}, launches=4),
]


class Run:
    """One `up` of a stack with one node."""

    def __init__(self, tmp_path: Path, case: Case, **options: Any) -> None:
        self.emulated = EmulatedLambda.start(tmp_path, **{"boot_s": 60, **case.settings})
        for one in case.faults:
            self.emulated.frame.faults.add(one)
        self.cloud, self.wire = self.emulated.connect(case.key, **options)
        self.intents = IntentLog(STACK, tmp_path, self.emulated.clock)

    def up(self, **more: Any) -> Any:
        self.run = EngineRun(self.emulated.clock)
        provisioner = Provisioner(
            {"main": self.cloud},
            self.intents,
            self.emulated.clock,
            threading.Event(),
            lambda text: None,
            lambda: None,
            run=self.run,
        )
        template = InstanceTemplate(image="i", ports=("8000/http",), env={"TOKEN": "canary-of-the-node"})
        return provisioner.find_or_launch(NodeRequest("p", STACK, "web-0", (A10, A6000), template, **more))

    def down(self, *, same_run: bool = False) -> None:
        run = self.run if same_run else None
        ender = Ender(self.emulated.clock, None, lambda text: None, lambda: None, run=run)
        ender.end_all({"main": self.cloud}, "p", STACK, self.intents)

    @property
    def living(self) -> list[str]:
        now = self.emulated.frame.clock.now()
        return [one.id for one in self.emulated.cloud.fleet.all() if one.living(now)]

    @property
    def launches(self) -> int:
        return self.wire.sent.count("POST /instance-operations/launch")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_the_account_holds_what_is_declared_or_nothing(tmp_path: Path, case: Case) -> None:
    run = Run(tmp_path, case)
    if case.got in ("A10", "RTX-A6000"):
        got = run.up()
        assert got.instance.gpu == case.got
        assert got.instance.state is InstanceState.READY
        assert run.living == [got.instance.id]
    else:
        with pytest.raises((ProvisioningError, errors.GpuCloudError)) as caught:
            run.up()
        told = str(caught.value)
        assert any(
            f"{kind}" in told or getattr(caught.value, "kind", "") == kind for kind in case.got.split()
        ), told
        assert "canary" not in told
        assert run.living == []
    assert run.launches <= case.launches
    run.emulated.frame.faults.clear()
    run.emulated.cloud.change_settings({"provider_unavailable": 0, "rate_limit": "none"})
    if case.key != "emulator-key":
        return
    run.down()
    assert run.living == []
    left = run.emulated.account()
    assert left["ssh_keys"] == left["firewall_rulesets"] == []


@pytest.mark.parametrize(
    ("faults", "settings"),
    [
        ((fault("delete_refused", count=2),), {}),
        ((fault("delete_5xx_but_deleted"),), {}),
        ((fault("error", END, 3),), {}),
        ((fault("cut_after", END),), {"terminate_twice_unknown_error": True}),
        ((fault("html_error_page", END, 2),), {}),
        ((fault("rate_limited", END, 3),), {}),
        ((), {"terminating_s": 170, "terminate_twice_unknown_error": True}),
        ((), {"terminating_s": 100_000}),
        ((), {"terminated_visible_s": 100_000}),
        ((fault("provider_unavailable", count=3),), {"list_lag_s": 20}),
    ],
)
def test_a_stack_ends_whatever_its_end_meets(tmp_path: Path, faults: Any, settings: dict[str, Any]) -> None:
    run = Run(tmp_path, Case("", settings=settings))
    run.up()
    for one in faults:
        run.emulated.frame.faults.add(one)
    run.down()
    assert run.living == []
    assert run.emulated.account()["ssh_keys"] == []


def test_a_launch_is_written_down_right_before_it_is_sent(tmp_path: Path) -> None:
    """Not before its turn: until then it could not take effect, and a later run would not wait for it."""
    run = Run(tmp_path, Case(""))
    run.cloud.create(NodeRequest("p", STACK, "n", (A10,), InstanceTemplate(image="i")).spec(A10, frozenset()))
    ages: list[float] = []
    launch = run.wire.handle_request

    def noting(request: Any) -> Any:
        if request.url.path == LAUNCH:
            ages.append(run.emulated.clock.time() - opened[-1])
        return launch(request)

    opened: list[float] = []
    open_intent = run.intents.open

    def noting_open(marker: str, cloud: str) -> Intent:
        opened.append(run.emulated.clock.time())
        return open_intent(marker, cloud)

    run.wire.handle_request = noting  # type: ignore[method-assign]
    run.intents.open = noting_open  # type: ignore[method-assign]
    before = run.emulated.clock.time()
    run.up()
    assert opened[0] - before >= 10
    assert len(ages) == 1
    assert ages[0] <= 2


class _KilledError(BaseException):
    """The process ends here; nothing after it runs."""


@pytest.mark.parametrize("path", ["/api/v1/ssh-keys", "/api/v1/firewall-rulesets"])
def test_what_a_killed_run_still_makes_for_the_stack_ends_with_it(tmp_path: Path, path: str) -> None:
    """A key or ruleset that was asked for takes effect 30 s after the kill, while the stack is ended."""
    run = Run(tmp_path, Case(""), allowed_sources=("203.0.113.0/24",))
    answer, sleep, clock = run.wire.handle_request, run.emulated.clock.sleep, run.emulated.clock
    late: list[tuple[float, Any]] = []

    def killed(request: Any) -> Any:
        if request.method == "POST" and request.url.path == path and not late:
            late.append((clock.time() + 30, request))
            raise _KilledError
        return answer(request)

    def passing(seconds: float, cancel: threading.Event | None = None) -> None:
        sleep(seconds, cancel)
        while late and clock.time() >= late[0][0]:
            answer(late.pop()[1])

    run.wire.handle_request = killed  # type: ignore[method-assign]
    with pytest.raises(_KilledError):
        run.up()
    run.wire.handle_request = answer  # type: ignore[method-assign]
    clock.sleep = passing  # type: ignore[method-assign]
    run.down()
    assert late == []
    left = run.emulated.account()
    assert (left["ssh_keys"], left["firewall_rulesets"]) == ([], [])


def test_a_key_that_a_killed_destroy_still_deletes_is_not_relied_on(tmp_path: Path) -> None:
    """The delete takes effect 30 s after the kill, or between the look for the key and the next launch."""
    run = Run(tmp_path, Case(""))
    run.up()
    answer, sleep, clock = run.wire.handle_request, run.emulated.clock.sleep, run.emulated.clock
    late: list[tuple[float, Any]] = []

    def killed(request: Any) -> Any:
        if request.method == "DELETE" and "/ssh-keys/" in request.url.path and not late:
            late.append((clock.time() + 30, request))
            raise _KilledError
        return answer(request)

    def passing(seconds: float, cancel: threading.Event | None = None) -> None:
        sleep(seconds, cancel)
        while late and clock.time() >= late[0][0]:
            answer(late.pop()[1])

    run.wire.handle_request = killed  # type: ignore[method-assign]
    with pytest.raises(_KilledError):
        run.down()

    def at_the_worst_moment(request: Any) -> Any:
        if request.url.path == LAUNCH and late:
            answer(late.pop()[1])
        return answer(request)

    run.wire.handle_request = at_the_worst_moment  # type: ignore[method-assign]
    clock.sleep = passing  # type: ignore[method-assign]
    got = run.up()
    assert (late, run.living) == ([], [got.instance.id])
    assert run.launches == 2
    run.down()
    assert run.emulated.account()["ssh_keys"] == []


def test_a_drought_waits_for_no_turn(tmp_path: Path) -> None:
    run = Run(tmp_path, Case("", settings={"capacity": {"*|*": 0}}))
    before = run.emulated.clock.time()
    with pytest.raises(ProvisioningError, match="nothing was sent"):
        run.up(first_listing_once=True)
    assert run.emulated.clock.time() - before <= 5
    assert run.launches == 0


def test_a_node_of_this_very_run_keeps_what_the_stack_keeps(tmp_path: Path) -> None:
    run = Run(tmp_path, Case(""))
    got = run.up()
    run.down(same_run=True)
    assert run.living == [got.instance.id]
    assert len(run.emulated.account()["ssh_keys"]) == 1
    run.down()
    assert (run.living, run.emulated.account()["ssh_keys"]) == ([], [])


def test_a_second_run_adopts_and_a_changed_one_does_not(tmp_path: Path) -> None:
    run = Run(tmp_path, Case(""))
    first = run.up()
    again = run.up()
    assert (again.adopted, again.instance.id, run.launches) == (True, first.instance.id, 1)
    other = run.up(replace_trigger="2")
    assert (other.adopted, run.launches) == (False, 2)


def test_a_surplus_node_of_a_killed_run_is_found_and_ended(tmp_path: Path) -> None:
    run = Run(tmp_path, Case(""))
    spec = NodeRequest("p", STACK, "web-0", (A10,), InstanceTemplate(image="i")).spec(A10, frozenset())
    run.cloud.create(spec)
    run.cloud.create(spec)
    run.emulated.frame.clock.advance(120)
    assert len(run.living) == 2
    run.down()
    assert run.living == []
