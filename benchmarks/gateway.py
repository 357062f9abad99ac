"""CPU time of the gateway for each request and each streamed chunk, against a bare pass-through proxy.

`make bench-gateway` measures both in turns on the same core, with a stand-in of a vLLM node and a load
generator on another one, and prints a JSON line for each workload. Each answer is checked. CPU time is user
and system time of the proxy's processes: unlike requests per second it does not hang on what else this
machine does. `added_p50_ms` is the median time of an answer over that of the bare proxy in the same run; its
own and that without any proxy stand beside it.

`--check` makes the runs short, and the exit code 1 where a bound is broken; `--lanes vllm-router litellm`
adds other people's routers, which are installed first into environments of their own, or left out with a word
where they can't be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gateway_parts import lanes
from benchmarks.gateway_parts.measuring import Measured, cores, measure, median
from benchmarks.gateway_parts.rivals import RIVALS
from benchmarks.gateway_parts.workloads import Workload, workloads
from engine.errors import EngineError
from tests.gateway.world import Node

MOST_RATIO = 1.6
MOST_US_PER_CHUNK = 40.0
MOST_IDLE_MB = 120.0
MOST_START_S = 2.0
MOST_CORE_SHARE = 0.5
"""Of the open loop with 1,000 requests per second."""
MOST_ADDED_MS = 2.0
"""To the median time of an answer in an open loop, over the bare proxy's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 1: a bound is broken, where that was to be checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="short runs; exit code 1 where a bound is broken"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the open loop, seconds")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each workload; the median counts")
    parser.add_argument("--only", nargs="*", default=[], help="names of workloads; all by default")
    parser.add_argument("--lanes", nargs="*", default=[], choices=sorted(RIVALS), help="measured besides")
    given = parser.parse_args(arguments)
    seconds = min(given.seconds, 8.0) if given.check else given.seconds
    chosen = [each for each in workloads(seconds) if not given.only or each.name in given.only]
    proxy, others = cores()
    # What was started ends with it, also where it is asked to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with tempfile.TemporaryDirectory(prefix="gpuplane-bench-") as folder, contextlib.ExitStack() as stack:
            root = Path(folder)
            node = Node(root, "node", cores=others, counts_file=False).start()
            stack.callback(node.kill)
            running = [stack.enter_context(make(root, node, proxy)) for make in (lanes.bare, lanes.gateway)]
            running.append(stack.enter_context(lanes.direct(node)))
            for name in given.lanes:
                try:
                    running.append(stack.enter_context(lanes.rival(RIVALS[name], root, node, proxy)))
                except (EngineError, AssertionError) as error:
                    print(f"{name} is left out: {error}", file=sys.stderr)
            return report(running, chosen, given.rounds, others, check=given.check)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1


def report(
    running: Sequence[lanes.Lane], chosen: Sequence[Workload], rounds: int, others: set[int], *, check: bool
) -> int:
    """Measures each workload, prints its line, and at the end the summary."""
    broken: list[str] = []
    ratios: list[float] = []
    started = next(lane for lane in running if lane.name == lanes.GATEWAY)
    print(
        json.dumps({"name": "idle", "start_s": _3(started.start_s), "pss_mb": _3(started.idle_mb)}),
        flush=True,
    )
    if started.idle_mb > MOST_IDLE_MB:
        broken.append(f"idle memory {started.idle_mb:.0f} MB > {MOST_IDLE_MB:.0f}")
    if started.start_s > MOST_START_S:
        broken.append(f"start {started.start_s:.1f} s > {MOST_START_S:.0f}")
    for workload in chosen:
        found: dict[str, list[Measured]] = {lane.name: [] for lane in running}
        for turn in range(rounds if workload.repeated else 1):
            for lane in running:
                found[lane.name].append(measure(lane, workload, others, warm=turn == 0))
        line = summary(workload, found)
        print(json.dumps(line), flush=True)
        if line["errors"]:
            broken.append(f"{workload.name}: {line['errors']} errors: {line['wrong']}")
        if "ratio_to_bare_cpu" in line:
            ratios.append(line["ratio_to_bare_cpu"])
            if ratios[-1] > MOST_RATIO:
                broken.append(f"{workload.name}: {ratios[-1]} times the bare proxy's CPU > {MOST_RATIO}")
        elif workload.streamed and line["cpu_us_per_chunk"] > MOST_US_PER_CHUNK:
            broken.append(
                f"{workload.name}: {line['cpu_us_per_chunk']} us per chunk > {MOST_US_PER_CHUNK:.0f}"
            )
        if not workload.repeated:
            if line["core_share"] > MOST_CORE_SHARE:
                broken.append(f"{workload.name}: {line['core_share']} of a core > {MOST_CORE_SHARE}")
            if line["added_p50_ms"] > MOST_ADDED_MS:
                broken.append(f"{workload.name}: {line['added_p50_ms']} ms more than bare > {MOST_ADDED_MS}")
    print(json.dumps({"name": "gateway", "ratio": max(ratios, default=None), "broken": broken}))
    return 1 if check and broken else 0


def summary(workload: Workload, found: dict[str, list[Measured]]) -> dict[str, Any]:
    """The line of one workload: medians over its runs."""
    cpu = {name: median([each.cpu_us(workload.streamed) for each in runs]) for name, runs in found.items()}
    p50 = {name: median([each.p50_ms for each in runs]) for name, runs in found.items()}
    ours = found[lanes.GATEWAY]
    wrong: dict[str, int] = {}
    for each in ours:
        for words, count in each.wrong.items():
            wrong[words] = wrong.get(words, 0) + count
    unit = "chunk" if workload.streamed else "request"
    line: dict[str, Any] = {"name": workload.name, f"cpu_us_per_{unit}": _3(cpu[lanes.GATEWAY])}
    line[f"bare_cpu_us_per_{unit}"] = _3(cpu[lanes.BARE])
    if workload.compared and not workload.streamed:
        line["ratio_to_bare_cpu"] = _3(cpu[lanes.GATEWAY] / cpu[lanes.BARE])
    line |= {"errors": sum(wrong.values()), "wrong": wrong, "requests": sum(each.requests for each in ours)}
    line |= {"per_second": _3(median([each.per_second for each in ours]))}
    line |= {"core_share": _3(median([each.core_share for each in ours]))}
    line |= {"p50_ms": _3(p50[lanes.GATEWAY]), "bare_p50_ms": _3(p50[lanes.BARE])}
    line |= {"direct_p50_ms": _3(p50[lanes.DIRECT])}
    line |= {"added_p50_ms": _3(p50[lanes.GATEWAY] - p50[lanes.BARE])}
    for name in found.keys() - {lanes.GATEWAY, lanes.BARE, lanes.DIRECT}:
        line[name] = {
            f"cpu_us_per_{unit}": _3(cpu[name]),
            "times_ours": _3(cpu[name] / cpu[lanes.GATEWAY]),
            "errors": sum(sum(each.wrong.values()) for each in found[name]),
        }
    return line


def _3(value: float) -> float:
    return round(value, 3)


if __name__ == "__main__":
    raise SystemExit(main())
