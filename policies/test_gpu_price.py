"""The price of one GPU."""

from __future__ import annotations

import pytest

from policies.gpu_price import look
from policies.reading import Seen
from stack_config.policies import GpuPriceRule
from tests.policies.made import eks, node, sky

EIGHT = [{"cloud": "runpod", "gpu": "H100-SXM", "gpuCount": 8.0}]


@pytest.mark.parametrize(
    ("resource", "limit", "broken"),
    [
        (node(usd=16.0, candidates=EIGHT), 2.0, False),
        (node(usd=16.0, candidates=EIGHT), 1.99, True),
        (node(usd=16.0, candidates=[], candidate={"gpuCount": 4.0}), 3.0, True),
        (node(usd=None, candidates=EIGHT), 0.01, False),
        (sky(usd=12.0, accelerators=["A100:2"], nodes=3.0), 2.0, False),
        (sky(usd=12.0, accelerators=["A100:2"], nodes=3.0), 1.5, True),
        (sky(usd=12.0), 0.01, False),
        (eks(big={"gpusPerNode": 8.0, "max": 2.0}), 1.0, False),
        (eks(big={"gpusPerNode": 8.0, "max": 2.0}), 0.9, True),
        (eks(none={"gpusPerNode": 8.0, "max": 0.0}), 0.1, False),
    ],
)
def test_it_is_the_price_of_the_machine_by_its_gpus(resource: Seen, limit: float, broken: bool) -> None:
    assert bool(list(look([resource], GpuPriceRule(max_gpu_hourly_usd=limit), "none"))) is broken
    assert not list(look([resource], GpuPriceRule(), "none"))
