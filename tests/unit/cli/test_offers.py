"""What can be rented: which candidates are asked for, filters, order, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.main import run
from cli.offers_table import Filters, as_table, shown
from gpu_clouds.catalog import list_price
from gpu_clouds.errors import AuthError
from gpu_clouds.models import Availability, Candidate, Offer
from tests.unit.cli.clouded import Cloud, Clouded, clouded
from tests.unit.cli.conftest import Project

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def stack(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouded:
    return clouded(project, tmp_path, monkeypatch)


def offer(price: float | None, availability: Availability = Availability.HIGH) -> Offer:
    return Offer(Candidate("runpod", "main", "", "L4"), price, availability, "catalogue", AT)


PRICES = st.none() | st.integers(0, 5000).map(lambda cents: cents / 100)


@given(st.lists(st.tuples(PRICES, st.sampled_from(list(Availability)))), PRICES, st.booleans())
def test_filters_keep_exactly_what_fits_cheapest_first(
    given_offers: list[tuple[float | None, Availability]], cap: float | None, available: bool
) -> None:
    offers = [offer(*each) for each in given_offers]
    kept = shown(offers, Filters(max_usd=cap, available=available))
    for each in offers:
        fits = cap is None or (each.hourly_usd is not None and each.hourly_usd <= cap)
        fits = fits and (not available or each.availability is not Availability.NONE)
        assert kept.count(each) == (offers.count(each) if fits else 0)
    prices = [float("inf") if each.hourly_usd is None else each.hourly_usd for each in kept]
    assert prices == sorted(prices)


def test_an_unknown_price_is_shown_as_such() -> None:
    assert "unknown" in as_table([offer(None)])
    assert as_table([]) == "nothing on offer fits"


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[tuple[str, str, int, float]]:
    assert run(["offers", "--stack", "prod", "--json", *arguments]) == 0
    data = json.loads(capsys.readouterr().out)
    return [(o["credentials"], o["gpu"], o["gpuCount"], o["hourlyUsd"]) for o in data["offers"]]


def test_all_accounts_are_asked_and_sorted_by_price(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys) == [
        ("main", "L4", 1, 0.3),
        ("other", "L4", 1, 0.3),
        ("main", "RTX4090", 1, 0.5),
        ("other", "RTX4090", 1, 0.5),
        ("main", "H100-SXM", 1, 4.0),
        ("other", "H100-SXM", 1, 4.0),
    ]
    assert stack.clouds["main"].calls == ["offers"]


def test_each_filter(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.clouds["other"].prices = {}
    assert asked(capsys, "--gpu", "rtx 4090", "--gpu", "h100") == [
        ("main", "RTX4090", 1, 0.5),
        ("main", "H100-SXM", 1, 4.0),
    ]
    assert asked(capsys, "--count", "4", "--max-usd", "2") == [
        ("main", "L4", 4, 1.2),
        ("main", "RTX4090", 4, 2.0),
    ]
    assert asked(capsys, "--cloud", "runpod", "--max-usd", "0.3") == [("main", "L4", 1, 0.3)]
    stack.clouds["main"].sold_out = {"L4"}
    assert asked(capsys, "--available", "--max-usd", "1") == [("main", "RTX4090", 1, 0.5)]
    assert run(["offers", "--stack", "prod", "--region", "eu-central", "--gpu", "L4"]) == 0
    assert "eu-central" in capsys.readouterr().out


def test_the_candidates_of_a_cluster(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "--cluster", "chat") == [("main", "RTX4090", 2, 1.0), ("main", "H100-SXM", 1, 4.0)]
    # One of them may go anywhere, the other is bound to US-CA-2.
    assert asked(capsys, "--cluster", "chat", "--region", "eu-central") == [("main", "RTX4090", 2, 1.0)]
    assert asked(capsys, "--cluster", "chat", "--region", "us-west") == [
        ("main", "RTX4090", 2, 1.0),
        ("main", "H100-SXM", 1, 4.0),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cluster", "chatt"], 'has no cluster "chatt"; did you mean "chat"?'),
        (["--gpu", "RTX4091"], "GPU 'RTX4091' is unknown; nearest: RTX4090"),
        (["--region", "eu-centrall"], "region 'eu-centrall' is unknown on runpod; nearest: eu-central"),
        (["--cloud", "runpodd"], "cloud 'runpodd' is unknown; nearest: runpod"),
        (["--gpu", "L4", "--cluster", "chat"], "nothing to ask for"),
    ],
)
def test_a_mistake_is_one_line(
    stack: Clouded, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["offers", "--stack", "prod", *arguments]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_one_account_that_fails_is_named_and_all_that_fail_are_a_failure(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.clouds["other"].errors["offers"] = AuthError("the key is bad")
    assert run(["offers", "--stack", "prod", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["notAsked"] == {"other": "the key is bad"}
    assert "other could not be asked: the key is bad" in said.err
    stack.clouds["main"].errors["offers"] = AuthError("the key is bad")
    assert run(["offers", "--stack", "prod"]) == 1
    assert "no cloud could be asked" in capsys.readouterr().err


def test_a_cloud_without_prices_before_a_create_shows_list_prices(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent(Cloud):
        def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
            return [
                Offer(c, None, Availability.LOW, "machine types", AT) for c in candidates if c.gpu != "L4"
            ]

    known = Silent("main")
    known.capabilities = replace(known.capabilities, price_before_create=False)
    stack.clouds["main"] = known
    stack.clouds["other"].prices = {}
    assert run(["offers", "--stack", "prod", "--json", "--gpu", "L4", "--gpu", "H100-SXM"]) == 0
    offers = {o["gpu"]: o for o in json.loads(capsys.readouterr().out)["offers"]}
    assert offers["H100-SXM"]["source"] == "runpod list price"
    assert offers["H100-SXM"]["availability"] == "low"
    listed = list_price(Candidate("runpod", "main", "", "H100-SXM"))
    assert listed is not None
    assert offers["H100-SXM"]["hourlyUsd"] == listed.hourly_usd
    if "L4" in offers:
        assert offers["L4"]["availability"] == "unknown"


def test_spot_is_asked_for_by_name(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["offers", "--stack", "prod", "--json", "--capacity", "spot", "--gpu", "L4"]) == 0
    assert {o["capacity"] for o in json.loads(capsys.readouterr().out)["offers"]} == {"spot"}
    assert run(["offers", "--stack", "prod", "--cluster", "chat", "--capacity", "spot"]) == 1
    assert "nothing to ask for" in capsys.readouterr().err


def test_a_stack_without_accounts_says_so(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.config = {"stackId": "abcd1234"}
    stack.state()
    assert run(["offers", "--stack", "prod"]) == 1
    assert "has no credential set" in capsys.readouterr().err
