"""One run of the load generator against one lane, with the lane's CPU time."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gateway_parts.build import standin
from benchmarks.gateway_parts.lanes import Lane
from benchmarks.gateway_parts.workloads import Workload
from tests.gateway.world import MODEL

_RUN_S = 600.0
#: How long what is done after the last answer (the ledger's rows go to the store) is still counted, seconds.
_SETTLE_S = 1.5


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        requests: Sent.
        chunks: Events that came.
        wrong: What was wrong with answers, and how often.
        cpu_s: CPU time of the lane, seconds.
        seconds: Length of the run.
        p50_ms: Median time of an answer, ms.
    """

    requests: int
    chunks: int
    wrong: Mapping[str, int]
    cpu_s: float
    seconds: float
    p50_ms: float

    def cpu_us(self, streamed: bool) -> float:
        """CPU time for each request, or for each chunk, µs."""
        return 1e6 * self.cpu_s / max(self.chunks if streamed else self.requests, 1)

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def core_share(self) -> float:
        """Share of one core that the lane took."""
        return self.cpu_s / self.seconds


def measure(lane: Lane, workload: Workload, cores: set[int], *, warm: bool) -> Measured:
    """Runs a workload against a lane.

    Args:
        lane: What is asked.
        workload: The load.
        cores: The cores for the load generator.
        warm: Whether to warm it up first.
    """
    slow = workload.slow if lane.slow else ()
    if warm:
        load(lane, (*workload.flags, *workload.warm_up, *slow), cores)
        time.sleep(_SETTLE_S)
    before = lane.process.cpu_s()
    found = load(lane, (*workload.flags, *slow), cores)
    time.sleep(_SETTLE_S)
    return Measured(
        requests=found["requests"],
        chunks=found["events"],
        wrong=found["wrong"],
        cpu_s=lane.process.cpu_s() - before,
        seconds=found["seconds"],
        p50_ms=found["latencyMs"]["p50"],
    )


def load(lane: Lane, flags: Sequence[str], cores: set[int]) -> dict[str, Any]:
    """Runs the load generator.

    Args:
        lane: What is asked.
        flags: Of `standin load`.
        cores: The cores that it may use.

    Returns:
        What it says of its run.
    """
    command = [str(standin()), "load", "-url", lane.url, "-key", lane.key, "-model", MODEL, *flags]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cores() -> tuple[set[int], set[int]]:
    """The core for the proxy, and those for everything else; the same where there is one only."""
    there = sorted(os.sched_getaffinity(0))
    return ({there[-1]}, set(there[:-1])) if len(there) > 1 else ({there[0]}, {there[0]})


def median(values: Sequence[float]) -> float:
    """Of at least one."""
    return statistics.median(values)
