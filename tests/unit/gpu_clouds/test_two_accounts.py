"""Two credential sets of one cloud: nothing of one account slows down, breaks or answers for the other."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gpu_clouds.connection import Connection
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.errors import AuthError, CircuitOpenError, GpuCloudError
from gpu_clouds.models import Candidate
from gpu_clouds.runpod.cloud import RunPodCloud
from tests.unit.gpu_clouds.harness import FakeClock, Net, answer, connection, problem

KEYS = {"team-a": "rpa_" + "AaA" * 9, "team-b": "rpa_" + "BbB" * 9}


def cloud(name: str, net: Net, clock: FakeClock, folder: Path, key: str = "") -> RunPodCloud:
    base = connection(clock, state_dir=folder)
    made = Connection(
        CredentialSet(name, "runpod", key or KEYS[name]),
        base.endpoint,
        clock,
        base.cancel,
        base.may_send,
        folder,
    )
    return RunPodCloud(made, httpx.MockTransport(net))


def no_pods(request: httpx.Request) -> httpx.Response:
    return answer(200, [])


def test_each_call_carries_its_own_key(tmp_path: Path) -> None:
    clock = FakeClock()
    for name, key in KEYS.items():
        net = Net(then=no_pods)
        cloud(name, net, clock, tmp_path).list("gp-")
        assert {request.headers["authorization"] for request in net.requests} == {f"Bearer {key}"}


def test_one_breaker_opens_alone(tmp_path: Path) -> None:
    clock = FakeClock()
    broken = cloud("team-a", Net(then=lambda request: problem(503, "down")), clock, tmp_path)
    fine = cloud("team-b", Net(then=no_pods), clock, tmp_path)
    with pytest.raises(CircuitOpenError):
        for _ in range(20):
            try:
                broken.list("gp-")
            except CircuitOpenError:
                raise
            except GpuCloudError:
                continue
    assert fine.list("gp-") == []


def test_a_slowed_down_account_waits_alone(tmp_path: Path) -> None:
    clock = FakeClock()
    slow_net = Net(problem(429, "slow down", retry_after="50"), then=no_pods)
    slow, fine = (
        cloud("team-a", slow_net, clock, tmp_path),
        cloud("team-b", Net(then=no_pods), clock, tmp_path),
    )
    start = clock.time()
    slow.list("gp-")
    assert clock.time() - start >= 50
    start = clock.time()
    fine.list("gp-")
    assert clock.time() - start < 1
    # Each key has a file of its own, and no part of the key is in its name or text.
    files = sorted(tmp_path.rglob("runpod-*.json"))
    assert files
    assert not [f for f in files for key in KEYS.values() if key[4:12] in f.name + f.read_text()]


def test_two_names_for_one_key_share_its_pace(tmp_path: Path) -> None:
    clock = FakeClock()
    first = cloud("team-a", Net(problem(429, "slow down", retry_after="50"), then=no_pods), clock, tmp_path)
    waits: list[float] = []

    def meanwhile(seconds: float) -> None:
        if seconds >= 40 and not waits:
            waits.append(seconds)
            start = clock.now
            cloud("again", Net(then=no_pods), clock, tmp_path, KEYS["team-a"]).list("gp-")
            waits.append(clock.now - start)

    clock.on_sleep = meanwhile
    first.list("gp-")
    assert len(waits) == 2 and waits[1] >= 40


def test_a_catalogue_is_read_with_each_key(tmp_path: Path) -> None:
    clock = FakeClock()
    nets = {name: Net(then=lambda request: answer(200, {"gpus": []})) for name in KEYS}
    for name, net in nets.items():
        made = cloud(name, net, clock, tmp_path)
        made.offers([Candidate("runpod", name, "", "RTX4090")])
        made.offers([Candidate("runpod", name, "", "RTX4090")])
        assert len(net.requests) == 1


def test_a_bad_key_names_its_set(tmp_path: Path) -> None:
    bad = cloud("team-b", Net(then=lambda request: problem(401, "Unauthorized")), FakeClock(), tmp_path)
    with pytest.raises(AuthError, match="team-b") as caught:
        bad.account()
    assert KEYS["team-b"] not in caught.value.message
