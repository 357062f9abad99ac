"""GPUs on demand in stage dev."""

from __future__ import annotations

from policies.dev_on_demand import look
from stack_config.policies import DevOnDemandRule
from tests.policies.made import eks, node, sky

ON_DEMAND = [{"gpuCount": 2.0}]
SPOT = [{"gpuCount": 2.0, "capacity": "spot"}]
STACK = [
    node("a", candidates=ON_DEMAND),
    node("b", candidates=SPOT),
    sky("c", accelerators=["A100:4"]),
    sky("d", accelerators=["A100:4"], spot=True),
    eks(
        "e", pool={"gpusPerNode": 8.0, "max": 1.0}, spare={"gpusPerNode": 8.0, "max": 4.0, "capacity": "spot"}
    ),
]


def test_the_sum_is_told_of_the_largest_part() -> None:
    assert not list(look(STACK, DevOnDemandRule(max_gpus=14), "dev"))
    (found,) = look(STACK, DevOnDemandRule(max_gpus=13), "dev")
    assert found.resource.name == "e" and "14 GPUs on demand" in found.what


def test_other_stages_rent_what_they_want() -> None:
    assert not list(look(STACK, DevOnDemandRule(max_gpus=0), "none"))
    assert not list(look(STACK, DevOnDemandRule(max_gpus=0), "prod"))


def test_the_candidate_that_was_rented_counts() -> None:
    fell_over = node(candidates=SPOT, candidate={"gpuCount": 4.0, "capacity": "on_demand"})
    (found,) = look([fell_over], DevOnDemandRule(max_gpus=3), "dev")
    assert "of 4 GPUs" in found.what
