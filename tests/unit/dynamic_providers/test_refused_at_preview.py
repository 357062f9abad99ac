"""What a preview refuses, on every cloud that there is: one readable line each, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dynamic_providers.clouds import Shared
from dynamic_providers.gpu_node import GpuNodeProvider
from gpu_clouds import catalog
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import AuthError, BillingError
from gpu_clouds.models import AccountStatus, Candidate, Offer
from gpu_clouds.registry import CLOUDS
from stack_config import CredentialSource, Settings
from tests.unit.dynamic_providers.conftest import node, told
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud, QuickClock

MOST = 8


class LimitedCloud(MemoryCloud):
    """No machine of it has more than eight GPUs."""

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        return [offer for offer in super().offers(candidates) if offer.candidate.gpu_count <= MOST]


def gpu_of(cloud: str) -> str:
    """A GPU of the cloud, one whose price is written down where the cloud has such prices."""
    sold = list(catalog.native_gpus(cloud))
    priced = (gpu for gpu in sold if catalog.list_price(Candidate(cloud, "", "", gpu)) is not None)
    return next(priced, sold[0])


def region_of(cloud: str) -> str:
    if cloud == "skypilot":
        return "slurm/hall1"  # its own words, which no table lists
    for group in ("us-east", "us-west", "eu-central", "eu-north", "asia-pacific"):
        if found := _places(cloud, group):
            return found[0]
    raise AssertionError(f"no region of {cloud}")


def _places(cloud: str, group: str) -> tuple[str, ...]:
    try:
        return catalog.resolve_region(cloud, group)
    except Exception:
        return ()


def unknown_region(cloud: str) -> str:
    return "slurm//hall1" if cloud == "skypilot" else f"{region_of(cloud)}9"


def missing_group(cloud: str) -> str:
    return next(g for g in ("middle-east", "ca", "eu-north", "us-central") if not _places(cloud, g))


def foreign_gpu(cloud: str) -> str:
    return next(gpu for gpu in catalog.gpu_names() if catalog.native_gpu(cloud, gpu) is None)


@dataclass(frozen=True)
class Refusal:
    name: str
    candidate: dict[str, Any]
    says: str
    inputs: dict[str, Any]
    status: AccountStatus = field(default_factory=AccountStatus)
    error: AuthError | BillingError | None = None
    place: str = "candidates[0]"


def refusals(cloud: str) -> list[Refusal]:
    title, gpu = CLOUDS[cloud].title, gpu_of(cloud)
    foreign = foreign_gpu(cloud)
    found = [
        Refusal("unknown GPU", {"gpu": f"{gpu[:-1]}_"}, f"is unknown; nearest: {gpu}", {}),
        Refusal(
            "GPU of others",
            {"gpu": foreign},
            f"{title} has no GPU {foreign}; it has",
            {},
        ),
        Refusal("region", {"region": unknown_region(cloud)}, f"is unknown on {cloud}; nearest: ", {}),
        Refusal("group", {"region": missing_group(cloud)}, f"{cloud} has nothing in ", {}),
        Refusal("count", {"gpuCount": 13}, "no machine with 13", {}),
        Refusal("reserved", {"capacity": "reserved"}, f"{title} rents no reserved nodes", {}),
        Refusal(
            "cap", {}, "above the cap of 0.01: raise the cap", {"maxHourlyUsd": 0.01}, place="maxHourlyUsd"
        ),
        Refusal(
            "key",
            {},
            f"credential set 'team-a' of {cloud} can't be used (auth): the key is refused",
            {},
            error=AuthError("the key is refused"),
            place="candidates",
        ),
        Refusal(
            "standing",
            {},
            f"credential set 'team-a' of {cloud} can't be used (billing): the account is locked",
            {},
            error=BillingError("the account is locked"),
            place="candidates",
        ),
        Refusal(
            "quota",
            {},
            "credential set 'team-a' has 5 of 5 allowed machines in use",
            {},
            AccountStatus(machine_limit=5, machines_in_use=5),
            place="candidates",
        ),
        Refusal(
            "balance",
            {},
            "credential set 'team-a' has a balance of -1.00 USD: add credit",
            {},
            AccountStatus(balance_usd=-1.0),
            place="candidates",
        ),
        Refusal(
            "little money",
            {},
            "credential set 'team-a' has 0.02 USD left, and an hour of",
            {},
            AccountStatus(balance_usd=0.02),
            place="candidates",
        ),
        Refusal(
            "spend limit",
            {},
            "credential set 'team-a' spends 79.99 of at most 80.00 USD/h",
            {},
            AccountStatus(spend_hourly_usd=79.99, spend_limit_hourly_usd=80.0),
            place="candidates",
        ),
    ]
    if not CLOUDS[cloud].capabilities.spot:
        found.append(Refusal("spot", {"capacity": "spot"}, f"{title} rents no spot nodes", {}))
    return found


def provider_for(*clouds: MemoryCloud) -> GpuNodeProvider:
    by_name = {cloud.credentials: cloud for cloud in clouds}

    def open_cloud(name: str, source: CredentialSource, clock: object) -> GpuCloud:
        return by_name[name]

    sources = {
        name: CredentialSource.model_validate({"cloud": cloud.name, "api_key": SecretStr(f"key-of-{name}")})
        for name, cloud in by_name.items()
    }
    made = GpuNodeProvider()
    made._shared = Shared(sources, Settings(), STACK, QuickClock(), open_cloud)
    return made


def account(cloud: str, name: str = "team-a") -> MemoryCloud:
    return LimitedCloud(name, cloud, CLOUDS[cloud].capabilities, prices={gpu_of(cloud): 2.0})


def asked(cloud: str, name: str = "team-a", **more: Any) -> dict[str, Any]:
    return {"cloud": cloud, "credentials": name, "gpu": gpu_of(cloud), "region": region_of(cloud), **more}


@pytest.mark.parametrize(
    ("cloud", "refusal"),
    [(cloud, refusal) for cloud in CLOUDS for refusal in refusals(cloud)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_refused(cloud: str, refusal: Refusal) -> None:
    memory = account(cloud)
    memory.status = refusal.status
    if refusal.error is not None:
        memory.errors["account"] = refusal.error
    inputs = node(candidates=[asked(cloud) | refusal.candidate], **refusal.inputs)
    ((place, text),) = told(provider_for(memory).check({}, inputs))
    assert place == refusal.place
    assert refusal.says in text and "\n" not in text and "Traceback" not in text
    assert set(memory.calls) <= {"account", "offers"}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_is_right_is_accepted(cloud: str) -> None:
    memory = account(cloud)
    memory.status = AccountStatus(100.0, 1.0, 80.0, 5, 4)
    assert provider_for(memory).check({}, node(candidates=[asked(cloud)])).failures == []
    assert provider_for(memory).check({}, node(candidates=[asked(cloud, region="")])).failures == []


def test_counts_of_the_table() -> None:
    for cloud in CLOUDS:
        for gpu in catalog.native_gpus(cloud):
            for count in catalog.gpu_counts(cloud, gpu):
                text = provider_for(account(cloud)).check(
                    {}, node(candidates=[asked(cloud, gpu=gpu, gpuCount=count)])
                )
                assert text.failures == [], (cloud, gpu, count)


def test_an_ambiguous_name_keeps_the_gpus_that_have_the_count() -> None:
    result = provider_for(account("lambda")).check(
        {}, node(candidates=[asked("lambda", gpu="H100", gpuCount=8)])
    )
    assert [each["gpu"] for each in result.inputs["candidates"]] == ["H100-SXM"]
    ((_, text),) = told(
        provider_for(account("lambda")).check({}, node(candidates=[asked("lambda", gpu="H100", gpuCount=3)]))
    )
    assert text == "Lambda has no machine with 3 H100-SXM or H100-PCIe; gpuCount can be 1, 2, 4, 8"


def test_one_word_of_a_cloud_for_several_gpus_is_one_candidate() -> None:
    result = provider_for(account("skypilot")).check({}, node(candidates=[asked("skypilot", gpu="H100")]))
    assert [each["gpu"] for each in result.inputs["candidates"]] == ["H100-SXM", "H100-NVL"]


def test_of_two_accounts_the_bad_one_names_itself() -> None:
    good, bad = account("runpod"), account("runpod", "team-b")
    bad.errors["account"] = AuthError("HTTP 401")
    inputs = node(candidates=[asked("runpod"), asked("runpod", "team-b")])
    ((_, text),) = told(provider_for(good, bad).check({}, inputs))
    assert text == "credential set 'team-b' of runpod can't be used (auth): HTTP 401"


READINESS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"kind": "command"}, {}, "readiness", "kind command needs a command"),
    ({"kind": "none", "command": "true"}, {}, "readiness", "kind command needs a command"),
    ({"gpu": True}, {}, "readiness", "RunPod lets nobody log in without port 22/tcp"),
    ({"gpu": True, "sshKey": "a", "sshKeyFile": "b"}, {}, "readiness", "sshKey or sshKeyFile, not both"),
    ({"kind": "http"}, {}, "readiness.port", "needs a port from 1 to 65535"),
    ({"kind": "command", "command": "x", "tries": -1}, {}, "readiness.tries", "greater than or equal to 0"),
]


@pytest.mark.parametrize(("readiness", "more", "place", "says"), READINESS)
def test_readiness(
    readiness: dict[str, Any],
    more: dict[str, Any],
    place: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dynamic_providers.node_check.ssh_program", lambda: "ssh")
    ((where, text),) = told(
        provider_for(account("runpod")).check(
            {}, node(candidates=[asked("runpod")], readiness=readiness, **more)
        )
    )
    assert where == place and says in text


def test_probes_that_log_in_are_accepted_where_they_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    asks = {"kind": "command", "command": "true", "gpu": True}
    runpod = node(candidates=[asked("runpod")], readiness=asks, ports=["22/tcp"])
    assert provider_for(account("runpod")).check({}, runpod).failures == []
    machine = node(candidates=[asked("lambda")], readiness=asks, ports=[])
    assert provider_for(account("lambda")).check({}, machine).failures == []
    monkeypatch.setenv("PATH", "/nowhere")
    ((place, text),) = told(provider_for(account("lambda")).check({}, machine))
    assert place == "readiness" and "this machine has no `ssh`" in text


def test_the_gpu_check_is_nvidias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynamic_providers.node_check.ssh_program", lambda: "ssh")
    cloud = replace(account("runpod"), prices={"MI300X": 2.0})
    inputs = node(candidates=[asked("runpod", gpu="MI300X")], readiness={"gpu": True}, ports=["22/tcp"])
    ((place, _),) = told(provider_for(cloud).check({}, inputs))
    assert place == "readiness.gpu"
