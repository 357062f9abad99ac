"""What the SkyPilot client's calls take against the real API server on this machine.

`make bench-skypilot` starts the peers (docs/peers.md) unless they run, and makes each call several times.
Nothing is launched: the task asks for GPUs that the cluster doesn't have, and the server takes it before it
finds out.
The last line is JSON: medians in milliseconds, and the client's own CPU for each call.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import SkyPilotConnection
from gpu_clouds.skypilot.errors import ApiError
from gpu_clouds.skypilot.models import LaunchResult, Refresh
from gpu_clouds.skypilot.waiting import Pending
from tests.peers import together
from tests.peers.processes import PeerError, let_go
from tests.peers.skypilot_server import INFRA

NAME = "bench-client"
TASK = f"resources: {{infra: {INFRA}, accelerators: 'H100:16'}}\nrun: echo never\n"

#: What each call should take at most, milliseconds.
TARGETS_MS = {"health": 100, "status": 200, "list": 500, "launch": 200, "terminate": 100}


@dataclass(frozen=True, slots=True)
class Measured:
    """Repeated calls.

    Attributes:
        median_ms: Real time of one call.
        worst_ms: Of the slowest one.
        cpu_ms: The client's own CPU time for one call, all threads.
    """

    median_ms: float
    worst_ms: float
    cpu_ms: float


def measure(call: Callable[[], object], times: int) -> Measured:
    """Makes a call several times, after one that isn't counted: it connects.

    Args:
        call: the call.
        times: how often.
    """
    call()
    taken = []
    cpu = time.process_time()
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begin) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / times
    return Measured(statistics.median(taken), max(taken), cpu_ms)


def run(client: SkyPilotClient, times: int) -> dict[str, Measured]:
    """Measures every call of `TARGETS_MS`."""
    accepted: list[Pending[None] | Pending[LaunchResult]] = []

    def terminate() -> None:
        accepted.append(client.down(NAME))

    def launch() -> None:
        accepted.append(client.launch(TASK, NAME))

    calls: dict[str, tuple[Callable[[], object], int]] = {
        "health": (client.health, times),
        "status": (lambda: client.status([NAME], refresh=Refresh.NONE), times),
        "list": (lambda: client.status(refresh=Refresh.NONE), times),
        "launch": (launch, max(3, times // 4)),
        "terminate": (terminate, max(3, times // 4)),
    }
    measured = {}
    for operation, (call, count) in calls.items():
        measured[operation] = measure(call, count)
        for pending in accepted:
            _refused(pending)
        accepted.clear()
    return measured


def _refused(pending: Pending[None] | Pending[LaunchResult]) -> None:
    """Waits until the server has refused what it accepted."""
    try:
        pending.result()
    except ApiError:
        return
    raise PeerError(f"the server did {pending.operation}, which it should have refused")


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20, help="how often each call is made (default: 20)")
    parser.add_argument("--yes", action="store_true", help="allow the peers' changes to this machine")
    options = parser.parse_args(arguments)
    ran = together.running()
    try:
        peers = together.up(yes=options.yes)
        with SkyPilotClient(SkyPilotConnection(peers.server.url)) as client:
            measured = run(client, options.times)
    except PeerError as error:
        print(f"bench-skypilot: {error}", file=sys.stderr)
        return 1
    finally:
        if not ran:
            together.down()
        let_go()
    for operation, each in measured.items():
        target = TARGETS_MS[operation]
        verdict = "within" if each.median_ms <= target else "OVER"
        print(
            f"{operation:10} median {each.median_ms:6.1f} ms, worst {each.worst_ms:6.1f} ms, "
            f"client CPU {each.cpu_ms:5.1f} ms; {verdict} the target of {target} ms"
        )
    result: dict[str, object] = {"name": "skypilot_client"}
    for operation, each in measured.items():
        result[f"{operation}_ms"] = round(each.median_ms, 1)
        result[f"{operation}_cpu_ms"] = round(each.cpu_ms, 1)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
