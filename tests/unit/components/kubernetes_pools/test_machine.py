"""Which machine a pool gets."""

from __future__ import annotations

import datetime
import itertools
import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.kubernetes_pools.machine import choose
from components.kubernetes_pools.shapes import (
    Cloud,
    Shape,
    catalogue_date,
    gpus_meant,
    known_gpus,
    list_price,
    partitions,
    shape_named,
    shapes,
)
from gpu_clouds.models import CapacityType
from stack_config.errors import Problem
from stack_config.kubernetes_clusters import GpuPool

CLOUDS: tuple[Cloud, ...] = ("eks", "gke", "aks")
CAPACITY = [capacity.value for capacity in CapacityType]
ALL = [shape for cloud in CLOUDS for shape in shapes(cloud)]


def asked(**values: object) -> GpuPool:
    return GpuPool.model_validate({"max": 8, **values})


@pytest.mark.parametrize("shape", ALL, ids=lambda shape: shape.name)
@pytest.mark.parametrize("capacity", CAPACITY)
def test_a_machine_is_taken_exactly_when_it_is_sold_so(shape: Shape, capacity: str):
    found = choose(shape.cloud, "p", asked(shape=shape.name, capacity=capacity))
    if capacity in shape.capacity:
        assert found == shape
    else:
        assert isinstance(found, Problem)
        assert found.path == "p.capacity"
        assert found.nearest in shape.capacity


@given(
    st.sampled_from(CLOUDS),
    st.sampled_from(known_gpus()) | st.text(max_size=12),
    st.none() | st.integers(1, 16),
    st.sampled_from(CAPACITY),
    st.booleans(),
)
def test_whatever_is_chosen_is_what_was_asked_for(
    cloud: Cloud, gpu: str, count: int | None, capacity: str, rdma: bool
):
    found = choose(cloud, "p", asked(gpu=gpu, gpu_count=count, capacity=capacity, rdma=rdma))
    if isinstance(found, Problem):
        assert "\n" not in str(found) or "\n" in repr(gpu)
        assert found.path.startswith("p")
        return
    assert found.gpu in gpus_meant(gpu)
    assert count in (None, found.gpus)
    assert capacity in found.capacity
    assert found.fast_nics or not rdma
    smaller = [
        shape
        for shape in shapes(cloud)
        if shape.gpu in gpus_meant(gpu)
        and shape.gpus < found.gpus
        and capacity in shape.capacity
        and (shape.fast_nics or not rdma)
    ]
    assert count is not None or not smaller


@pytest.mark.parametrize(
    ("cloud", "wanted", "name"),
    [
        ("eks", {"gpu": "H100"}, "p5.4xlarge"),
        ("eks", {"gpu": "h100 sxm", "gpu_count": 8}, "p5.48xlarge"),
        ("eks", {"gpu": "L4", "rdma": True}, "g6.8xlarge"),
        ("eks", {"shape": "P5EN.48xlarge"}, "p5en.48xlarge"),
        ("gke", {"gpu": "A100-40GB"}, "a2-highgpu-1g"),
        ("gke", {"gpu": "H100", "rdma": True}, "a3-highgpu-8g"),
        ("gke", {"gpu": "H100"}, "a3-highgpu-8g"),
        ("gke", {"gpu": "H100", "capacity": "spot"}, "a3-highgpu-1g"),
        ("aks", {"gpu": "H100"}, "Standard_NC40ads_H100_v5"),
        ("aks", {"gpu": "H100-SXM"}, "Standard_ND96isr_H100_v5"),
        ("aks", {"gpu": "Tesla T4"}, "Standard_NC4as_T4_v3"),
    ],
)
def test_known_choices(cloud: Cloud, wanted: dict[str, object], name: str):
    found = choose(cloud, "p", asked(**wanted))
    assert isinstance(found, Shape)
    assert found.name == name


def test_the_table_is_one_table():
    names = [(shape.cloud, shape.name) for shape in ALL]
    assert len(names) == len(set(names))
    for shape in ALL:
        assert shape_named(shape.cloud, shape.name.upper()) == shape
        assert gpus_meant(shape.gpu) == (shape.gpu,)
        assert 1 <= shape.gpus <= 16
        assert set(shape.capacity) <= set(CAPACITY)
        assert shape.capacity
        assert shape.arch in ("x86_64", "arm64")
        assert shape.network_cards >= shape.fast_nics
    assert all(shape.accelerator and shape.disk for shape in shapes("gke"))
    assert all(not shape.images or shape.images[-1] == "al2023" for shape in shapes("eks"))
    by_gpu = itertools.groupby(shapes("eks"), key=lambda shape: shape.gpu)
    assert len(list(by_gpu)) == len({shape.gpu for shape in shapes("eks")})


def test_every_price_has_a_machine_a_source_and_a_date():
    raw = json.loads(
        resources.files("components.kubernetes_pools").joinpath("shapes.json").read_text("utf-8")
    )
    for row in raw["prices"]:
        shape = shape_named(row["cloud"], row["shape"])
        assert shape is not None, row
        assert row["capacity"] in shape.capacity
        found = list_price(shape, row["capacity"])
        assert found is not None
        assert found.hourly_usd > 0
        assert datetime.date.fromisoformat(found.as_of)
    for source in raw["sources"].values():
        assert datetime.date.fromisoformat(source["as_of"])
        assert source["text"]
    assert {catalogue_date(cloud) for cloud in CLOUDS}


def test_slices():
    assert partitions("A100-40GB-SXM")[0] == "1g.5gb"
    assert partitions("L4") == ()
