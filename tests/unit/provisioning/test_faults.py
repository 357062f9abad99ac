"""Every fault of a launch: what is left in the cloud, what the caller gets, what the user reads."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gpu_clouds.errors import (
    AmbiguousError,
    AuthError,
    BillingError,
    CapacityError,
    ConflictError,
    GpuCloudError,
    PermissionRefusedError,
    QuotaError,
    RateLimitedError,
    TransientError,
    UnknownCloudError,
    ValidationError,
)
from gpu_clouds.models import InstanceState
from gpu_clouds.provisioning import NodeRequest, ProvisioningError
from tests.unit.provisioning.world import A100, H100, L40S, Launch, World, request

SOLD_OUT = Launch(error=CapacityError("no instances", status=400), makes=False)
BAD = Launch(error=ValidationError("objectMounts is unknown", status=400), makes=False)
LOST_MADE = Launch(error=AmbiguousError("read timed out"))
LOST = Launch(error=AmbiguousError("read timed out"), makes=False)


def refused(error: GpuCloudError) -> Launch:
    return Launch(error=error, makes=False)


@dataclass(frozen=True)
class Case:
    name: str
    runpod: list[Launch]
    left: list[str]
    """Ids of the nodes that are left."""
    other: list[Launch] = field(default_factory=list)
    got: str = ""
    """Id of the node that the caller gets, or the kind of the error."""
    says: tuple[str, ...] = ()
    asked: NodeRequest = field(default_factory=request)
    creates: tuple[int, int] = (1, 0)


CASES = [
    Case("goes well", [], ["runpod1"], got="runpod1"),
    Case(
        "sold out", [SOLD_OUT], ["lambda1"], got="lambda1", creates=(1, 1), says=("capacity: no instances",)
    ),
    Case("permission", [refused(PermissionRefusedError("pool"))], ["lambda1"], got="lambda1", creates=(1, 1)),
    Case("conflict", [refused(ConflictError("busy"))], ["lambda1"], got="lambda1", creates=(1, 1)),
    Case("400 here only", [BAD], ["lambda1"], got="lambda1", creates=(1, 1)),
    Case(
        "all sold out",
        [SOLD_OUT],
        [],
        [SOLD_OUT],
        got="capacity",
        creates=(1, 1),
        says=("waitForCapacityMin",),
    ),
    Case(
        "all 400: not a drought",
        [BAD, BAD],
        [],
        got="validation",
        creates=(2, 0),
        asked=request("n0", H100, A100),
        says=("bad request or a broken backend, not a drought", "objectMounts is unknown"),
    ),
    Case(
        "422 stops",
        [refused(ValidationError("no image", status=422))],
        [],
        got="validation",
        says=("no image",),
    ),
    Case("key stops", [refused(AuthError("bad key", status=401))], [], got="auth", says=("bad key",)),
    Case("billing stops", [refused(BillingError("no credit"))], [], got="billing", says=("no credit",)),
    Case("quota stops", [refused(QuotaError("limit of 5"))], [], got="quota", says=("limit of 5",)),
    Case("lost answer, made", [LOST_MADE], ["runpod1"], got="runpod1"),
    Case("lost answer, made late", [replace(LOST_MADE, effect_after=25)], ["runpod1"], got="runpod1"),
    Case("lost answer, not made", [LOST], ["runpod1"], got="runpod1", creates=(2, 0)),
    Case(
        "lost twice, not made",
        [LOST, LOST],
        ["lambda1"],
        got="lambda1",
        creates=(2, 1),
        says=("read timed out",),
    ),
    Case(
        "lost, made after the second launch",
        [replace(LOST_MADE, effect_after=40)],
        ["runpod2"],
        got="runpod2",
        creates=(2, 0),
        says=("runpod1 appeared late: ending it",),
    ),
    Case(
        "lost twice, both made late",
        [replace(LOST_MADE, effect_after=55), replace(LOST_MADE, effect_after=55)],
        ["runpod1"],
        got="runpod1",
        creates=(2, 0),
        says=("runpod2 appeared late",),
    ),
    Case(
        "lost twice, made late, the next candidate won",
        [LOST, replace(LOST_MADE, effect_after=45)],
        ["lambda1"],
        got="lambda1",
        creates=(2, 1),
        says=("runpod1 appeared late",),
    ),
    Case(
        "lost and late, everybody else sold out: better than nothing",
        [LOST, replace(LOST_MADE, effect_after=45)],
        ["runpod1"],
        [SOLD_OUT],
        got="runpod1",
        creates=(2, 1),
    ),
    Case(
        "lost and late, then the account is refused",
        [replace(LOST_MADE, effect_after=55), refused(BillingError("no credit"))],
        ["runpod1"],
        got="runpod1",
        creates=(2, 0),
    ),
    Case("5xx", [refused(TransientError("502"))], ["runpod1"], got="runpod1", creates=(2, 0)),
    Case(
        "an answer that fits nothing, made",
        [Launch(error=UnknownCloudError("<html>"))],
        ["runpod1"],
        got="runpod1",
    ),
    Case(
        "asked to slow down",
        [refused(RateLimitedError("429", retry_after_s=12))],
        ["runpod1"],
        got="runpod1",
        creates=(2, 0),
    ),
    Case(
        "slowed down for ever",
        [refused(RateLimitedError("429"))] * 3,
        ["lambda1"],
        got="lambda1",
        creates=(3, 1),
    ),
    Case(
        "broken host",
        [Launch(becomes=InstanceState.FAILED)],
        ["lambda1"],
        got="lambda1",
        creates=(1, 1),
        says=("runpod1: deleted",),
    ),
    Case(
        "stops by itself", [Launch(becomes=InstanceState.STOPPED)], ["lambda1"], got="lambda1", creates=(1, 1)
    ),
    Case(
        "never ready",
        [Launch(boot=5000)],
        ["lambda1"],
        got="lambda1",
        creates=(1, 1),
        says=("not ready after", "runpod1: deleted"),
    ),
    Case(
        "never ready anywhere",
        [Launch(boot=5000)],
        [],
        [Launch(boot=5000)],
        got="deadline",
        creates=(1, 1),
        says=("runpod1: deleted", "lambda1: deleted"),
    ),
    Case(
        "never ready, kept by wish",
        [Launch(boot=5000)],
        ["runpod1"],
        got="deadline",
        asked=request(keep_on_failure=True),
        says=("node runpod1", "keepOnFailure", "costs money"),
    ),
    Case("the listing lags", [Launch(visible_after=25, boot=1)], ["runpod1"], got="runpod1"),
    Case(
        "dearer than the cap when it is there",
        [Launch(price=9.0)],
        [],
        [Launch(price=8.0)],
        got="price_cap",
        creates=(1, 1),
        asked=request(max_hourly_usd=3.0),
        says=("no candidate costs at most 3.00 USD/h", "runpod1: deleted", "lambda1: deleted"),
    ),
    Case(
        "dearer than the cap is ended even when failures are kept",
        [Launch(price=9.0)],
        ["lambda1"],
        got="lambda1",
        creates=(1, 1),
        asked=request(max_hourly_usd=3.0, keep_on_failure=True),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_fault(case: Case, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script, world.other.script = list(case.runpod), list(case.other)
    heard = ""
    try:
        done = world.start().up(case.asked)
        got, heard = done.instance.id, "\n".join(done.notes)
        assert not done.adopted
        assert done.instance.state is InstanceState.READY
        assert done.marker == next(n.spec.name for n in world.living() if n.id == got)
        assert world.lines[-1].startswith("[n0] active 100%")
    except ProvisioningError as error:
        got, heard = error.kind, error.message
        assert (error.kept.id if error.kept else None) == (case.left[0] if case.left else None)
        assert world.lines[-1] == "[n0] failed"
    assert [n.id for n in world.living()] == case.left
    assert got == case.got
    for text in case.says:
        assert text in heard
    assert (world.runpod.calls.count("create"), world.other.calls.count("create")) == case.creates
    # Nothing can appear any more, and no intent asks the next run to wait.
    again = world.start()
    assert again.intents.settle_left("gp-", 60) == 0


def test_a_fault_in_the_client_is_a_launch_without_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    faults = [KeyError("id")]

    def after(call: str) -> None:
        if call == "create" and faults:
            raise faults.pop()

    done = world.start(after=after).up(request())
    assert [n.id for n in world.living()] == ["runpod1"] == [done.instance.id]


def test_a_refusal_costs_no_time_before_the_next_candidate(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [SOLD_OUT, refused(PermissionRefusedError("pool"))]
    times: list[float] = []

    def before(call: str) -> None:
        if call == "create":
            times.append(world.clock.time())

    world.start(before=before).up(request("n0", H100, A100, L40S))
    assert len(times) == 3
    assert times[-1] - times[0] <= 1.0


def test_the_report_is_short_and_names_every_node(tmp_path: Path) -> None:
    world = World(tmp_path)
    regions = [replace(H100, region=f"R{i}") for i in range(12)]
    world.runpod.script = [SOLD_OUT] * 11 + [Launch(becomes=InstanceState.FAILED)]
    world.runpod.delete_faults = [AuthError("key revoked")] * 9
    with pytest.raises(ProvisioningError) as caught:
        world.start().up(request("n0", *regions))
    lines = caught.value.message.splitlines()
    assert len(lines) == 1 + 8 + 1
    assert lines[-1] == "  … 4 more"
    assert "runpod1" in lines[0]
    assert "kept" in lines[1]
    assert caught.value.kept is not None
    assert caught.value.kept.id == "runpod1"
    assert [n.id for n in world.living()] == ["runpod1"]


def test_sold_out_goes_round_until_the_time_is_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script, world.other.script = [SOLD_OUT] * 3, [SOLD_OUT] * 3
    start = world.clock.time()
    done = world.start().up(request(wait_for_capacity_min=5))
    assert done.instance.id == "runpod1"
    assert world.clock.time() - start >= 90
    world.runpod.script, world.other.script = [SOLD_OUT] * 99, [SOLD_OUT] * 99
    start = world.clock.time()
    with pytest.raises(ProvisioningError) as caught:
        world.start().up(request("n1", wait_for_capacity_min=5))
    assert caught.value.kind == "capacity"
    assert 240 <= world.clock.time() - start <= 300
    assert len(caught.value.attempts) == 2
    assert world.names() == ["n0"]


def test_a_bad_request_is_not_repeated_while_waiting_for_capacity(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [BAD, BAD]
    with pytest.raises(ProvisioningError):
        world.start().up(request("n0", H100, A100, wait_for_capacity_min=60))
    assert world.runpod.calls.count("create") == 2
    assert world.living() == []


def test_no_answer_and_no_listing_stops_before_a_second_node(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [replace(LOST_MADE, effect_after=3)]
    run = world.start()
    world.runpod.list_faults = [None, None] + [TransientError("502")] * 20
    with pytest.raises(ProvisioningError) as caught:
        run.up(request())
    assert "got no answer" in caught.value.message
    assert world.runpod.calls.count("create") == 1
    assert world.other.calls.count("create") == 0
    assert [n.id for n in world.living()] == ["runpod1"]
    # The next run finds it.
    world.runpod.list_faults = []
    assert world.start().up(request()).instance.id == "runpod1"
    assert [n.id for n in world.living()] == ["runpod1"]
