"""Prices, from what the real server has listed."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_clouds import errors
from gpu_clouds.models import Availability, Candidate, CapacityType
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.models import AcceleratorOffer
from gpu_clouds.skypilot.prices import Prices
from tests.unit.dynamic_providers.memory_cloud import QuickClock
from tests.unit.skypilot.cloud.sky import Sky


def candidate(gpu: str = "H100-SXM", count: int = 1, place: str = "slurm/fake", **more: Any) -> Candidate:
    return Candidate("skypilot", "sky", place, gpu, count, **more)


@pytest.mark.parametrize(
    ("asked", "usd"),
    [
        (candidate(), 2.5),
        (candidate(count=8), 20.0),
        (candidate(count=3), 7.5),  # listed are powers of two
        (candidate(place=""), 2.5),
        (candidate(place="slurm"), 2.5),
        (candidate("A100-80GB-SXM"), None),  # the server has A100, which is the one of 40 GB
        (candidate("A100-40GB-SXM", 2), 3.0),
        (candidate(count=16), None),
        (candidate("B200"), None),
        (candidate("H200-NVL"), None),
        (candidate(place="aws"), None),  # the server has no account there
    ],
)
def test_what_the_real_catalogue_says(asked: Candidate, usd: float | None) -> None:
    offers = SkyPilotCloud(Sky(QuickClock()).client(), "sky").offers([asked])
    assert [offer.hourly_usd for offer in offers] == ([] if usd is None else [usd])
    for offer in offers:
        assert (offer.candidate, offer.source) == (asked, "skypilot catalogue")
        assert offer.availability is Availability.UNKNOWN


def test_offers_keep_the_order_and_leave_out_other_clouds() -> None:
    cloud = SkyPilotCloud(Sky(QuickClock()).client(), "sky")
    asked = [candidate(count=2), Candidate("runpod", "r", "", "H100-SXM"), candidate(count=1)]
    assert [offer.candidate.gpu_count for offer in cloud.offers(asked)] == [2, 1]


def test_a_catalogue_is_read_once_a_minute() -> None:
    sky = Sky(QuickClock())
    cloud = SkyPilotCloud(sky.client(), "sky")
    for count in (1, 2, 4):
        cloud.offers([candidate(count=count)])
    assert (sky.sent("/list_accelerators"), sky.sent("/enabled_clouds")) == (1, 1)
    sky.clock.sleep(61)
    cloud.offers([candidate()])
    assert sky.sent("/list_accelerators") == 2


class Catalogue:
    """A server that answers with given rows, and tells what it was asked."""

    def __init__(self, *rows: tuple[str, str, float, float | None, float | None, str]) -> None:
        self.rows = [
            AcceleratorOffer(
                cloud=cloud,
                accelerator_name=name,
                accelerator_count=count,
                price=price,
                spot_price=spot,
                region=region,
            )
            for cloud, name, count, price, spot, region in rows
        ]
        self.asked: list[dict[str, Any]] = []

    def enabled_clouds(self) -> list[str]:
        return ["AWS", "kubernetes"]

    def list_accelerators(self, **asked: Any) -> list[AcceleratorOffer]:
        self.asked.append(asked)
        return self.rows


def offered(catalogue: Catalogue, asked: Candidate) -> float | str | None:
    offer = Prices(catalogue, QuickClock()).offer(asked)  # type: ignore[arg-type]
    return "none" if offer is None else offer.hourly_usd


AWS = Catalogue(
    ("AWS", "H100", 8, 98.32, 25.0, "us-east-1"),
    ("AWS", "H100", 8, 99.0, 24.0, "us-east-2"),
    ("AWS", "H100", 1, float("nan"), None, "us-east-1"),
    ("AWS", "H100-MEGA", 1, 1.0, 1.0, "us-east-1"),
)


@pytest.mark.parametrize(
    ("asked", "usd"),
    [
        (candidate(count=8, place="aws"), 98.32),
        (candidate(count=8, place="aws", capacity=CapacityType.SPOT), 24.0),
        (candidate(count=4, place="aws"), "none"),  # a cloud sells what it lists
        (candidate(count=1, place="aws"), None),  # listed, but without a price
    ],
)
def test_a_cloud_of_others(asked: Candidate, usd: float | str | None) -> None:
    assert offered(AWS, asked) == usd


@pytest.mark.parametrize(
    ("place", "clouds", "region"),
    [
        ("", ["aws", "kubernetes"], None),
        ("aws", ["aws"], None),
        ("aws/us-east-1/us-east-1a", ["aws"], r"^us\-east\-1$"),
        ("aws/*", ["aws"], None),
        ("k8s/my.context", ["kubernetes"], "my.context"),
    ],
)
def test_what_the_server_is_asked(place: str, clouds: list[str], region: str | None) -> None:
    catalogue = Catalogue(("AWS", "H100", 1, 4.0, None, "us-east-1"))
    offered(catalogue, candidate(place=place))
    (asked,) = catalogue.asked
    assert (asked["clouds"], asked["region"], asked["name"]) == (clouds, region, "^H100$")
    assert asked["all_regions"] is True


def test_a_place_that_is_none_is_refused_before_the_server_is_asked() -> None:
    sky = Sky(QuickClock())
    with pytest.raises(errors.ValidationError, match="has nothing in 'us-east'"):
        SkyPilotCloud(sky.client(), "sky").offers([candidate(place="us-east")])
    assert sky.calls == []
