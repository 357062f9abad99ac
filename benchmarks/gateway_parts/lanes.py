"""What is measured: the gateway with everything on, the bare proxy, and on request other people's routers."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from benchmarks.gateway_parts.rivals import Rival
from tests.gateway.process import Process, free_port, until
from tests.gateway.world import MODEL, Gateway, Key, Node, write_seed

GATEWAY, BARE, DIRECT = "gateway", "bare", "direct"
_START_S = 120.0
#: Limits in all four layers that never refuse anything here.
_AMPLE = {"requestsPerMinute": 10**9, "tokensPerMinute": 10**12, "inFlight": 10**6, "budgetUsd": 10.0**9}


@dataclass(frozen=True, slots=True)
class Lane:
    """One way to the node, running.

    Attributes:
        name: Of the lane.
        url: Where it answers, without `/v1`.
        key: What clients send.
        process: Whose CPU time is counted.
        start_s: From the start of the process to its first answer, seconds.
        idle_mb: Memory before the first request, MB.
        slow: Whether its loads are to be smaller ones.
    """

    name: str
    url: str
    key: str
    process: Process
    start_s: float
    idle_mb: float
    slow: bool = False


@contextlib.contextmanager
def gateway(root: Path, node: Node, cores: set[int]) -> Iterator[Lane]:
    """The gateway: keys, limits in all layers, ledger in SQLite and metrics."""
    key = Key(limits=_AMPLE)
    seed = root / "seed.json"
    price = {"promptUsdPerMillion": 0.1, "completionUsdPerMillion": 0.2}
    more = {"limits": _AMPLE, "models": [{"name": MODEL, "limits": _AMPLE, **price}]}
    write_seed(seed, [key], [node], {"tenants": [{"name": key.tenant, "limits": _AMPLE}], **more})
    made = Gateway(root / GATEWAY, seed, cores=cores)
    begun = time.monotonic()
    try:
        made.start()
        assert made.process is not None
        yield _lane(GATEWAY, made.url, key.secret, made.process, begun)
    finally:
        made.stop()


@contextlib.contextmanager
def bare(root: Path, node: Node, cores: set[int]) -> Iterator[Lane]:
    """The bare proxy."""
    port = free_port()
    module = [sys.executable, "-m", "benchmarks.gateway_parts.bare"]
    command = [*module, "--node", node.url, "--key", node.key, "--port", str(port)]
    with _running(BARE, command, root, port, node.key, cores, {}) as lane:
        yield lane


@contextlib.contextmanager
def direct(node: Node) -> Iterator[Lane]:
    """No proxy at all, to see what one adds to the time of an answer."""
    assert node.process is not None
    yield Lane(DIRECT, node.url, node.key, node.process, 0.0, 0.0)


@contextlib.contextmanager
def rival(made: Rival, root: Path, node: Node, cores: set[int]) -> Iterator[Lane]:
    """Another router, from an environment of its own."""
    port = free_port()
    command, key, variables = made.command(root, node.url, node.key, port)
    with _running(made.name, command, root, port, key, cores, variables) as lane:
        yield replace(lane, slow=made.slow)


@contextlib.contextmanager
def _running(
    name: str,
    command: list[str],
    root: Path,
    port: int,
    key: str,
    cores: set[int],
    variables: dict[str, str],
) -> Iterator[Lane]:
    url = f"http://127.0.0.1:{port}"
    begun = time.monotonic()
    process = Process(command, root / f"{name}.log", env=variables or None, cores=cores)
    try:
        until(lambda: _answers(url, key, process), f"{name} answers", _START_S)
        yield _lane(name, url, key, process, begun)
    finally:
        process.stop()


def _answers(url: str, key: str, process: Process) -> bool:
    assert process.alive, process.output()[-2000:]
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    try:
        answer = httpx.post(
            f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=30.0
        )
    except httpx.TransportError:
        return False
    return answer.status_code == 200


def _lane(name: str, url: str, key: str, process: Process, begun: float) -> Lane:
    return Lane(name, url, key, process, time.monotonic() - begun, process.pss_mb())
