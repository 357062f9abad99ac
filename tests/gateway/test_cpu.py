"""The gateway's CPU time for each request, with everything on, against a proxy that only passes bytes on.

CPU time of the two processes on the same core and in turns: what else the machine does hardly matters, and
how fast it is does not. `make bench-gateway` measures the same at length.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.gateway import MOST_RATIO
from benchmarks.gateway_parts import lanes
from benchmarks.gateway_parts.measuring import cores
from benchmarks.gateway_parts.ratio import best_ratio
from benchmarks.gateway_parts.workloads import workloads
from tests.gateway.world import Node

ROUNDS = 3
TRIES = 3
COMPARED = [each for each in workloads(1.0) if each.compared and not each.streamed]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[lanes.Lane, lanes.Lane]]:
    root = tmp_path_factory.mktemp("cpu")
    proxy, others = cores()
    node = Node(root, "node", cores=others, counts_file=False).start()
    try:
        with lanes.gateway(root, node, proxy) as gateway, lanes.bare(root, node, proxy) as bare:
            yield gateway, bare
    finally:
        node.kill()


@pytest.mark.parametrize("workload", COMPARED, ids=[each.name for each in COMPARED])
def test_a_request_takes_little_more_than_a_bare_proxys(workload, running):
    gateway, bare = running
    _, others = cores()
    best, seen = best_ratio(workload, gateway, bare, others, rounds=ROUNDS, bound=MOST_RATIO, tries=TRIES)
    print(f"{workload.name}: {', '.join(f'{each:.2f}' for each in seen)} times the bare proxy's CPU time")
    assert best <= MOST_RATIO, f"{workload.name}: {seen} times the bare proxy's CPU time, {TRIES} times"
