"""What may be rented, and where."""

from __future__ import annotations

import pytest

from policies.placement import look
from policies.reading import Seen
from stack_config.policies import PlacementRule
from tests.policies.made import eks, made, node, sky

TWO = node(
    candidates=[
        {"cloud": "runpod", "region": "EU-RO-1", "gpu": "RTX4090"},
        {"cloud": "lambda", "gpu": "A10"},
    ]
)
SLURM = sky(infra=["slurm/hall1"], accelerators=["H100:8"])


@pytest.mark.parametrize(
    ("resource", "limits", "words"),
    [
        (TWO, PlacementRule(), []),
        (TWO, PlacementRule(clouds=("runpod", "lambda"), gpus=("rtx4090", "A10")), []),
        (TWO, PlacementRule(clouds=("runpod",)), ["cloud lambda"]),
        (TWO, PlacementRule(gpus=("RTX4090",)), ["GPU A10"]),
        (TWO, PlacementRule(regions=("eu-*",)), ["any region"]),
        (TWO, PlacementRule(regions=("us-*",)), ["region EU-RO-1", "any region"]),
        (SLURM, PlacementRule(clouds=("slurm",), regions=("hall1",), gpus=("H100",)), []),
        (SLURM, PlacementRule(clouds=("aws",), gpus=("A100",)), ["cloud slurm", "GPU H100"]),
        (sky(), PlacementRule(clouds=("aws",)), ["any cloud"]),
        (
            eks(a={"gpu": "L4"}, b={"gpu": "H100-SXM"}),
            PlacementRule(clouds=("aws",), gpus=("L4",)),
            ["GPU H100-SXM"],
        ),
        (eks(), PlacementRule(clouds=("gcp",)), ["cloud aws"]),
        (
            made("gcp:container/cluster:Cluster", location="us-central1"),
            PlacementRule(regions=("eu*",)),
            ["us-central1"],
        ),
        (made("random:index:Id"), PlacementRule(clouds=("aws",), regions=("x",)), []),
    ],
)
def test_all_that_a_failover_may_end_with_is_looked_at(
    resource: Seen, limits: PlacementRule, words: list[str]
) -> None:
    found = [broken.what for broken in look([resource], limits, "none")]
    assert len(found) == len(words), found
    assert all(word in what for word, what in zip(words, found, strict=True))
