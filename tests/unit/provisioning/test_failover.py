"""Failover over three clouds and several accounts: order, deadlines, rounds, and what the user reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds.attempts import Attempt, report
from gpu_clouds.errors import (
    AuthError,
    BillingError,
    CapacityError,
    PermissionRefusedError,
    TransientError,
)
from gpu_clouds.models import Candidate
from gpu_clouds.provisioning import ProvisioningError
from tests.unit.provisioning.world import LAMBDA, Backend, EngineRun, FakeCloud, Launch, World, request

RUNPOD = Candidate("runpod", "main", "EU-RO-1", "H100-SXM")
LAMBDA_1 = Candidate("lambda", "spare", "us-west-1", "H100-SXM")
PAPERSPACE = Candidate("paperspace", "third", "ny2", "H100-SXM")
TEAM_A, TEAM_B = RUNPOD, replace(RUNPOD, credentials="team-b")
SOLD_OUT = Launch(error=CapacityError("no machine is free"), makes=False)


class Clouds(World):
    """Three clouds; the third tells no prices, and of the first there is a second account."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.third = Backend("paperspace", self.clock, replace(LAMBDA, price_before_create=False))
        self.team_b = Backend("runpod", self.clock)
        self.launches: list[tuple[float, str]] = []

    def run(self) -> EngineRun:
        run = self.start()

        def seen(name: str) -> FakeCloud:
            backend = {
                "main": self.runpod,
                "spare": self.other,
                "third": self.third,
                "team-b": self.team_b,
            }[name]

            def before(call: str) -> None:
                if call == "create":
                    self.launches.append((self.clock.time(), name))

            return FakeCloud(backend, name, before)

        run.clouds = {name: seen(name) for name in ("main", "spare", "third", "team-b")}
        return run

    def all_sold_out(self, times: int = 99) -> None:
        for backend in (self.runpod, self.other, self.third, self.team_b):
            backend.script = [SOLD_OUT] * times

    def order(self) -> list[str]:
        return [name for _, name in self.launches]


@pytest.fixture
def clouds(tmp_path: Path) -> Clouds:
    return Clouds(tmp_path)


def test_the_next_cloud_is_tried_within_a_second_of_a_refusal(clouds: Clouds) -> None:
    clouds.runpod.script = [SOLD_OUT]
    clouds.other.script = [Launch(error=PermissionRefusedError("not this type"), makes=False)]
    done = clouds.run().up(request("n0", RUNPOD, LAMBDA_1, PAPERSPACE))
    assert done.candidate == PAPERSPACE
    assert clouds.order() == ["main", "spare", "third"]
    assert clouds.launches[-1][0] - clouds.launches[0][0] <= 1.0


def test_by_price_across_clouds(clouds: Clouds) -> None:
    clouds.all_sold_out()
    # Live: RunPod 4.50; Lambda's prices can't be read, its list says 4.29; Paperspace's list says 5.95.
    clouds.runpod.prices = {RUNPOD: 4.5}
    unpriced = replace(LAMBDA_1, gpu_count=3)
    with pytest.raises(ProvisioningError) as caught:
        clouds.run().up(request("n0", unpriced, PAPERSPACE, RUNPOD, LAMBDA_1, order="price"))
    assert [a.candidate for a in caught.value.attempts] == [LAMBDA_1, RUNPOD, PAPERSPACE, unpriced]
    lines = caught.value.message.splitlines()[1:]
    assert lines == [
        "  lambda us-west-1 H100-SXM x1 at 4.29 USD/h (list price): capacity: no machine is free",
        "  runpod EU-RO-1 H100-SXM x1 at 4.50 USD/h: capacity: no machine is free",
        "  paperspace ny2 H100-SXM x1 at 5.95 USD/h (list price): capacity: no machine is free",
        "  lambda us-west-1 H100-SXM x3 at an unknown price: capacity: no machine is free",
    ]


@given(
    st.lists(st.sampled_from([RUNPOD, LAMBDA_1, PAPERSPACE]), min_size=1, max_size=3, unique=True),
    st.dictionaries(st.sampled_from([RUNPOD, LAMBDA_1]), st.floats(0.1, 9), max_size=2),
)
def test_cheapest_first_whatever_is_known(
    tmp_path_factory: pytest.TempPathFactory, asked: list[Candidate], prices: dict[Candidate, float]
) -> None:
    clouds = Clouds(tmp_path_factory.mktemp("world"))
    clouds.all_sold_out()
    clouds.runpod.prices = clouds.other.prices = prices
    listed = {RUNPOD: 3.99, LAMBDA_1: 4.29, PAPERSPACE: 5.95}
    with pytest.raises(ProvisioningError) as caught:
        clouds.run().up(request("n0", *asked, order="price"))
    tried = [a.candidate for a in caught.value.attempts]
    assert tried == sorted(asked, key=lambda c: prices.get(c, listed[c]))


def test_unreadable_prices_are_replaced_by_the_list_and_said(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = clouds.run()

    def fails(candidates: object) -> None:
        raise TransientError("HTTP 503")

    monkeypatch.setattr(run.clouds["main"], "offers", fails)
    done = run.up(request("n0", PAPERSPACE, RUNPOD, order="price"))
    assert done.candidate == RUNPOD
    assert "runpod (main) tells no prices now (transient): its list prices are used" in done.notes


def test_a_deadline_of_its_own_goes_before_the_others(clouds: Clouds) -> None:
    clouds.runpod.script = [Launch(boot=5000)]
    clouds.other.script = [Launch(boot=5000)]
    hasty = replace(RUNPOD, provision_deadline_s=60.0)
    done = clouds.run().up(request("n0", hasty, LAMBDA_1, PAPERSPACE, provision_deadline_s=300.0))
    assert done.candidate == PAPERSPACE
    first, second, third = [at for at, _ in clouds.launches]
    assert 60 <= second - first <= 120
    assert 300 <= third - second <= 360


def test_a_deadline_is_no_part_of_what_a_node_is(clouds: Clouds) -> None:
    clouds.run().up(request("n0", RUNPOD))
    hasty = replace(RUNPOD, provision_deadline_s=60.0)
    done = clouds.run().up(request("n0", hasty))
    assert done.adopted and clouds.order() == ["main"]


def test_rounds_go_over_all_clouds_until_one_has_a_machine(clouds: Clouds) -> None:
    clouds.all_sold_out(2)
    clouds.third.script = [SOLD_OUT]
    asked = request("n0", RUNPOD, LAMBDA_1, PAPERSPACE, wait_for_capacity_min=10)
    done = clouds.run().up(asked)
    assert done.candidate == PAPERSPACE
    assert clouds.order() == ["main", "spare", "third"] * 2
    assert clouds.living() == [] and [n.id for n in clouds.third.living()] == ["paperspace1"]


def test_a_drought_tells_every_attempt(clouds: Clouds) -> None:
    clouds.all_sold_out()
    asked = [replace(RUNPOD, region=f"US-TX-{n}") for n in range(1, 7)]
    asked += [replace(LAMBDA_1, region=f"us-east-{n}") for n in range(1, 4)] + [PAPERSPACE]
    with pytest.raises(ProvisioningError) as caught:
        clouds.run().up(request("n0", *asked))
    head, *lines = caught.value.message.splitlines()
    assert head == (
        "[n0] no candidate has a free machine now; add candidates, or set waitForCapacityMin to wait for one"
    )
    assert len(lines) == len(asked) == 10
    for candidate, line in zip(asked, lines, strict=True):
        assert line.startswith(f"  {candidate} at ")
        assert line.endswith("USD/h (list price): capacity: no machine is free")


def test_a_report_of_a_very_long_drought_ends() -> None:
    error = CapacityError("none")
    attempts = [Attempt(replace(RUNPOD, region=f"R{n}"), error) for n in range(50)]
    lines = report("head", attempts).splitlines()
    assert len(lines) == 42 and lines[-1] == "  … 10 more"


def test_two_accounts_of_one_cloud_are_told_apart(clouds: Clouds) -> None:
    clouds.all_sold_out()
    with pytest.raises(ProvisioningError) as caught:
        clouds.run().up(request("n0", TEAM_A, TEAM_B, LAMBDA_1))
    lines = caught.value.message.splitlines()[1:]
    assert [line.split(" at ")[0].strip() for line in lines] == [
        "runpod EU-RO-1 H100-SXM x1 (main)",
        "runpod EU-RO-1 H100-SXM x1 (team-b)",
        "lambda us-west-1 H100-SXM x1 (spare)",
    ]


def test_a_second_account_has_listings_and_prices_of_its_own(clouds: Clouds) -> None:
    clouds.runpod.script = [SOLD_OUT]
    clouds.runpod.prices, clouds.team_b.prices = {TEAM_A: 2.0}, {TEAM_B: 3.0}
    run = clouds.run()
    done = run.up(request("n0", TEAM_B, TEAM_A, order="price"))
    assert done.candidate == TEAM_B and clouds.order() == ["main", "team-b"]
    for backend in (clouds.runpod, clouds.team_b):
        assert backend.calls.count("offers") == 1 and backend.calls.count("list") >= 1
    # It is found again in the account that it is in.
    again = clouds.run().up(request("n0", TEAM_A, TEAM_B))
    assert again.adopted and again.candidate == TEAM_B


@pytest.mark.parametrize("error", [AuthError("key 'team-b' is refused"), BillingError("no credit")])
def test_a_refused_account_stops_and_is_named(clouds: Clouds, error: AuthError) -> None:
    clouds.runpod.script = [SOLD_OUT]
    clouds.team_b.script = [Launch(error=error, makes=False)]
    with pytest.raises(ProvisioningError) as caught:
        clouds.run().up(request("n0", TEAM_A, TEAM_B, LAMBDA_1))
    assert caught.value.kind == error.kind
    assert clouds.order() == ["main", "team-b"]
    assert "(team-b)" in caught.value.message.splitlines()[-1]


def test_a_bad_place_is_bad_for_every_account(clouds: Clouds) -> None:
    run = clouds.run()
    run.run.avoid("runpod", "EU-RO-1", "a node in EU-RO-1 was unusable in this run")
    done = run.up(request("n0", TEAM_A, TEAM_B, LAMBDA_1))
    assert done.candidate == LAMBDA_1
