"""How long a fleet takes to come up: this project's provider host against the SDK's stock host.

`python -m benchmarks.fleet` brings up 64 nodes, whose boot takes 3 s, on the emulated RunPod without rate
limits, with the real engine and the real program: once as it is, once with the `plugins` section left out of
Pulumi.yaml, so that the SDK's own host runs. The last line is JSON. `--nodes 1000` measures a large fleet
instead: time, peak memory, size of the state, with checkpoints and without.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash import processes
from tests.crash.engine_stack import EngineStack, Running
from tests.crash.world import Emulator, slugs

BOOT_S = 3.0
COMPARED_NODES = 64
STOCK_LIMIT_S = 600.0
NO_CHECKPOINTS = {"PULUMI_EXPERIMENTAL": "1", "PULUMI_SKIP_CHECKPOINTS": "1"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One `up` and the `destroy` after it.

    Attributes:
        seconds: Of the up, from start to exit.
        destroy_seconds: Of the destroy.
        peak_bytes: Highest sum of resident memory of engine, language host and provider host, sampled.
        state_bytes: Size of the saved state after the up.
        calls: Calls of the up at the cloud, by operation.
    """

    seconds: float
    destroy_seconds: float
    peak_bytes: int
    state_bytes: int
    calls: Mapping[str, int]


class _Memory:
    """Samples the resident memory of a process and all below it, until stopped."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._stop = threading.Event()
        self.peak_bytes = 0
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(0.5):
            pids = [self._running.pid, *processes.descendants(self._running.pid)]
            self.peak_bytes = max(self.peak_bytes, sum(map(processes.resident_bytes, pids)))

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.peak_bytes


def config(nodes: int) -> dict[str, Any]:
    """The stack file: one cluster of equal nodes."""
    candidate = {"cloud": "runpod", "credentials": "account", "gpus": ["RTX4090"], "regions": ["EU-RO-1"]}
    return {
        "stackId": "fleet000",
        "credentials": {
            "account": {"cloud": "runpod", "endpoint": "emulator", "apiKeyEnv": "GPUPLANE_FLEET_KEY"}
        },
        "clusters": {
            "fleet": {
                "nodes": nodes,
                "candidates": [candidate],
                "image": "vllm/vllm-openai:v0.11.0",
                "ports": ["8000/http"],
                "readiness": {"kind": "http", "path": "/health"},
            }
        },
    }


def measure(
    emulator: Emulator,
    folder: Path,
    nodes: int,
    *,
    own_host: bool = True,
    extra: Mapping[str, str] | None = None,
) -> Measured:
    """One up and one destroy of `nodes` nodes.

    Raises:
        SystemExit: Either of them failed, or the cloud does not hold what it should.
    """
    key = emulator.next_account()
    environment = {"GPUPLANE_FLEET_KEY": key, **(extra or {})}
    stack = EngineStack(folder, config(nodes), emulator.folder, environment, own_host=own_host)
    stack.init()
    before = emulator.counts()
    start = time.monotonic()
    running = stack.start("up", "--yes", "--skip-preview", f"--parallel={max(nodes, 16)}")
    memory = _Memory(running)
    ended = running.wait(STOCK_LIMIT_S + nodes * 2)
    seconds = time.monotonic() - start
    peak = memory.stop()
    calls = {name: count - before.get(name, 0) for name, count in emulator.counts().items()}
    if ended.status or len(set(slugs(emulator.nodes(key)))) != nodes:
        raise SystemExit(
            f"up failed, or the cloud holds {len(emulator.nodes(key))} nodes:\n{ended.output[-4000:]}"
        )
    state_bytes = stack.state_path().stat().st_size
    start = time.monotonic()
    ended = stack.run(
        "destroy",
        "--yes",
        "--skip-preview",
        f"--parallel={max(nodes, 16)}",
        timeout_s=STOCK_LIMIT_S + nodes * 2,
    )
    destroy_seconds = time.monotonic() - start
    if ended.status or emulator.nodes(key):
        raise SystemExit(
            f"destroy failed, {len(emulator.nodes(key))} nodes are left:\n{ended.output[-4000:]}"
        )
    return Measured(seconds, destroy_seconds, peak, state_bytes, {k: v for k, v in calls.items() if v})


def show(title: str, measured: Measured) -> None:
    """One line for a person."""
    calls = ", ".join(f"{count} {name}" for name, count in sorted(measured.calls.items()))
    print(
        f"{title}: up {measured.seconds:.1f} s, destroy {measured.destroy_seconds:.1f} s, "
        f"peak {measured.peak_bytes / 2**20:.0f} MiB, state {measured.state_bytes / 2**10:.0f} KiB\n"
        f"  calls of the up: {calls}",
        flush=True,
    )


def compare(emulator: Emulator, folder: Path, nodes: int) -> dict[str, object]:
    """Our host against the stock host."""
    ours = measure(emulator, folder / "ours", nodes)
    show(f"{nodes} nodes, own host", ours)
    stock = measure(emulator, folder / "stock", nodes, own_host=False)
    show(f"{nodes} nodes, stock host", stock)
    return {
        "name": f"fleet{nodes}",
        "seconds": round(ours.seconds, 2),
        "stock_seconds": round(stock.seconds, 2),
        "ratio": round(stock.seconds / ours.seconds, 2),
    }


def scale(emulator: Emulator, folder: Path, nodes: int) -> dict[str, object]:
    """A large fleet with checkpoints and without."""
    saved = measure(emulator, folder / "checkpoints", nodes)
    show(f"{nodes} nodes, checkpoints", saved)
    skipped = measure(emulator, folder / "skipped", nodes, extra=NO_CHECKPOINTS)
    show(f"{nodes} nodes, no checkpoints", skipped)
    return {
        "name": f"fleet{nodes}",
        "seconds": round(saved.seconds, 2),
        "seconds_no_checkpoints": round(skipped.seconds, 2),
        "peak_mib": round(saved.peak_bytes / 2**20),
        "state_kib": round(saved.state_bytes / 2**10),
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=COMPARED_NODES)
    nodes = parser.parse_args(arguments).nodes
    with tempfile.TemporaryDirectory(prefix="gpuplane-fleet-") as name:
        folder = Path(name)
        emulator = Emulator(
            folder / "emulator", {"runpod": {"ready_after_s": BOOT_S, "rate_limit": "none"}}, time_scale=1
        )
        try:
            run = compare if nodes == COMPARED_NODES else scale
            print(json.dumps(run(emulator, folder, nodes)))
        finally:
            emulator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
