from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import catalog
from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Availability, Candidate, CapacityType

CLOUDS = ("runpod", "lambda", "paperspace")


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("H100-SXM", ("H100-SXM",)),
        ("h100 sxm", ("H100-SXM",)),
        ("H100_SXM5", ("H100-SXM",)),
        ("H100", ("H100-SXM", "H100-NVL", "H100-PCIe")),
        ("A100", ("A100-80GB-SXM", "A100-80GB-PCIe")),
        ("A100-40GB", ("A100-40GB-SXM", "A100-40GB-PCIe")),
        ("RTX 4090", ("RTX4090",)),
        ("NVIDIA GeForce RTX 4090", ("RTX4090",)),
        ("NVIDIA  A30", ("A30",)),
        ("NVIDIA H100 80GB HBM3", ("H100-SXM",)),
        ("L40", ("L40",)),
        ("l40s", ("L40S",)),
    ],
)
def test_a_gpu_name_resolves(name: str, resolved: tuple[str, ...]) -> None:
    assert catalog.resolve_gpu(name) == resolved


@pytest.mark.parametrize(
    ("name", "nearest"), [("H10O-SXM", "H100-SXM"), ("RTX409", "RTX4090"), ("A100-80GB-SMX", "A100-80GB-SXM")]
)
def test_an_unknown_gpu_is_an_error_with_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(ValidationError, match=rf"{name}.*nearest: {nearest}$"):
        catalog.resolve_gpu(name)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_a_gpu_name_resolves_or_is_refused(name: str) -> None:
    try:
        resolved = catalog.resolve_gpu(name)
    except ValidationError as error:
        assert "nearest" in error.message
    else:
        assert resolved
        assert set(resolved) <= set(catalog.gpu_names())


@settings(deadline=None)
@given(st.sampled_from(catalog.gpu_names()), st.sampled_from(CLOUDS))
def test_no_gpu_ever_becomes_another(gpu: str, cloud: str) -> None:
    assert catalog.resolve_gpu(gpu) == (gpu,)
    native = catalog.native_gpu(cloud, gpu)
    if native is not None:
        assert catalog.canonical_gpu(cloud, native) == gpu
        assert catalog.canonical_gpu(cloud, native.replace(" ", "  ")) == gpu


def test_an_ambiguous_name_never_changes_the_memory_class_silently() -> None:
    assert {catalog.memory_gb(gpu) for gpu in catalog.resolve_gpu("A100")} == {80}
    # Lambda's rtx6000 is the old Quadro with 24 GB, not the Ada card of the same number.
    assert catalog.canonical_gpu("lambda", "rtx6000") == "Quadro-RTX-6000"
    assert catalog.native_gpu("lambda", "RTX6000-Ada") is None
    assert catalog.native_gpu("paperspace", "RTX4090") is None


@pytest.mark.parametrize(
    ("cloud", "region", "ids"),
    [
        ("runpod", "", ()),
        ("runpod", "us-east", ("US-GA-1", "US-GA-2", "US-NC-1", "US-NC-2", "US-DE-1", "US-MD-1", "US-PA-1")),
        ("runpod", "eu-ro-1", ("EU-RO-1",)),
        ("runpod", "US-GA-2", ("US-GA-2",)),
        ("runpod", "native:XX-NEW-9", ("XX-NEW-9",)),
        ("lambda", "us-west", ("us-west-1", "us-west-2", "us-west-3")),
        ("paperspace", "us-west", ("ca1",)),
    ],
)
def test_a_region_resolves(cloud: str, region: str, ids: tuple[str, ...]) -> None:
    assert catalog.resolve_region(cloud, region) == ids


@pytest.mark.parametrize(
    ("cloud", "region", "says"),
    [
        ("runpod", "EU-R0-1", "nearest: EU-RO-1"),
        ("runpod", "us-eastt", "nearest: us-east"),
        ("runpod", "middle-east", "nothing in 'middle-east'; it has: us-east"),
        ("paperspace", "ca", "nothing in 'ca'"),
        ("runpod", "native:", "no id after"),
    ],
)
def test_an_unknown_region_is_an_error_that_helps(cloud: str, region: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        catalog.resolve_region(cloud, region)


def test_every_data_centre_belongs_to_one_group_only() -> None:
    for cloud in CLOUDS:
        groups = (
            "us-east",
            "us-central",
            "us-west",
            "ca",
            "eu-central",
            "eu-north",
            "asia-pacific",
            "middle-east",
        )
        seen: list[str] = []
        for group in groups:
            try:
                ids = catalog.resolve_region(cloud, group)
            except ValidationError:
                continue
            assert all(catalog.region_group(cloud, own) == group for own in ids)
            seen += ids
        assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("cloud", "gpu", "count", "usd", "day"),
    [
        ("runpod", "H100-SXM", 1, 3.99, date(2026, 11, 9)),
        ("runpod", "H100-SXM", 8, 31.92, date(2026, 11, 9)),
        ("lambda", "H100-SXM", 1, 4.29, date(2026, 5, 28)),
        ("lambda", "H100-SXM", 8, 31.92, date(2026, 5, 28)),
    ],
)
def test_a_list_price_is_for_the_whole_node_and_dated(
    cloud: str, gpu: str, count: int, usd: float, day: date
) -> None:
    offer = catalog.list_price(Candidate(cloud, "main", "", gpu, count))
    assert offer is not None
    assert (offer.hourly_usd, offer.as_of.date()) == (usd, day)
    assert offer.availability is Availability.UNKNOWN


def test_there_is_no_price_where_none_was_written_down() -> None:
    assert catalog.list_price(Candidate("lambda", "main", "", "H100-SXM", 3)) is None
    assert catalog.list_price(Candidate("runpod", "main", "", "L4")) is None
    assert catalog.list_price(Candidate("runpod", "main", "", "H100-SXM", 1, CapacityType.SPOT)) is None


def test_importing_the_catalogue_reads_nothing_and_loads_no_http() -> None:
    code = (
        "import sys, gpu_clouds.catalog as c; from gpu_clouds import registry; "
        "assert c._catalog.cache_info().currsize == 0; assert 'httpx' not in sys.modules, 'httpx loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
