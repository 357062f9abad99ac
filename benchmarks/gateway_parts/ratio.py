"""The gateway's CPU time as a multiple of the bare proxy's, in short runs beside other work."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gateway_parts.lanes import Lane
from benchmarks.gateway_parts.measuring import load, median
from benchmarks.gateway_parts.workloads import Workload


def ratio(workload: Workload, gateway: Lane, bare: Lane, cores: set[int], rounds: int) -> float:
    """The median of the rounds' ratios. In each round both have the same load, one right after the other.

    CPU time is counted from the beginning of a round to that of the next, so that what the gateway does after
    its last answer (the ledger's rows go to the store each second) counts, too.

    Args:
        workload: The load; made short.
        gateway: The gateway.
        bare: The bare proxy.
        cores: The cores for the load generator.
        rounds: How many count; one more goes before, to warm up.

    Raises:
        AssertionError: An answer was wrong.
    """
    both = (gateway, bare)
    found: list[float] = []
    for turn in range(rounds + 1):
        before = [lane.process.cpu_s() for lane in both]
        ours, theirs = (_requests(lane, workload, cores) for lane in both)
        spent = [lane.process.cpu_s() - start for lane, start in zip(both, before, strict=True)]
        if turn:
            found.append(spent[0] / ours / (spent[1] / theirs))
    return median(found)


def best_ratio(
    workload: Workload, gateway: Lane, bare: Lane, cores: set[int], *, rounds: int, bound: float, tries: int
) -> tuple[float, Sequence[float]]:
    """The first ratio within the bound, or else the least of all tries, and all that were measured.

    A neighbour on the machine makes now one and now the other dearer, so a ratio over the bound is measured
    again before it is believed.

    Args:
        workload: The load; made short.
        gateway: The gateway.
        bare: The bare proxy.
        cores: The cores for the load generator.
        rounds: Of each try.
        bound: Most that it may be.
        tries: How often it is measured at most.
    """
    seen: list[float] = []
    while len(seen) < tries and (not seen or min(seen) > bound):
        seen.append(ratio(workload, gateway, bare, cores, rounds))
    return min(seen), seen


def _requests(lane: Lane, workload: Workload, cores: set[int]) -> int:
    found = load(lane, (*workload.flags, *workload.short), cores)
    assert not found["wrong"], f"{lane.name}: {workload.name}: {found['wrong']}"
    return int(found["requests"])
