"""A GpuNode whose candidates are of a SkyPilot server and of RunPod: what its preview says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from dynamic_providers.clouds import Shared
from dynamic_providers.gpu_node import GpuNodeProvider
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from stack_config import CredentialSource, Settings
from tests.unit.dynamic_providers.conftest import node, told
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud, QuickClock
from tests.unit.skypilot.cloud.sky import ENDPOINT, Sky

SOURCES = {
    "sky": CredentialSource(cloud="skypilot", endpoint=ENDPOINT),
    "main": CredentialSource(cloud="runpod", api_key=SecretStr("key")),
}
H100 = {"cloud": "skypilot", "credentials": "sky", "region": "slurm/fake", "gpu": "H100-SXM"}
RUNPOD = {"cloud": "runpod", "credentials": "main", "region": "EU-RO-1", "gpu": "H100-SXM"}


@pytest.fixture
def sky() -> Sky:
    return Sky(QuickClock())


@pytest.fixture
def provider(sky: Sky) -> GpuNodeProvider:
    clouds: dict[str, GpuCloud] = {"sky": SkyPilotCloud(sky.client(), "sky"), "main": MemoryCloud()}
    made = GpuNodeProvider()
    made._shared = Shared(SOURCES, Settings(), STACK, QuickClock(), lambda name, source, clock: clouds[name])
    return made


def preview(provider: GpuNodeProvider, **inputs: Any) -> dict[str, Any]:
    checked = provider.check({}, node(**inputs))
    assert checked.failures == []
    return provider.create_preview(checked.inputs)


@pytest.mark.parametrize(
    ("candidates", "more", "cloud", "usd", "source"),
    [
        ([H100, RUNPOD], {}, "skypilot", 2.5, "skypilot catalogue"),
        ([RUNPOD, H100], {}, "runpod", 4.0, "catalogue"),
        ([RUNPOD, H100], {"order": "price"}, "skypilot", 2.5, "skypilot catalogue"),
        ([H100 | {"gpuCount": 4}], {}, "skypilot", 10.0, "skypilot catalogue"),
    ],
)
def test_a_preview_shows_the_price(
    provider: GpuNodeProvider,
    sky: Sky,
    candidates: list[dict[str, Any]],
    more: dict[str, Any],
    cloud: str,
    usd: float,
    source: str,
) -> None:
    shown = preview(provider, candidates=candidates, **more)
    assert (shown["candidate"]["cloud"], shown["estimatedHourlyUsd"]) == (cloud, usd)
    assert shown["estimateSource"] == source
    assert set(sky.calls) <= {"/api/health", "/api/get", "/enabled_clouds", "/list_accelerators"}


def test_more_gpus_than_a_machine_has_are_refused_at_preview(provider: GpuNodeProvider) -> None:
    ((place, text),) = told(provider.check({}, node(candidates=[H100 | {"gpuCount": 16}])))
    assert place == "candidates[0]" and "no machine with 16" in text


def test_the_servers_price_counts_against_the_cap(provider: GpuNodeProvider) -> None:
    ((place, text),) = told(provider.check({}, node(candidates=[H100], maxHourlyUsd=2.0)))
    assert place == "maxHourlyUsd" and "2.50 USD/h" in text


def test_a_server_that_is_away_is_a_warning_at_preview(provider: GpuNodeProvider, sky: Sky) -> None:
    sky.away = True
    shown = preview(provider, candidates=[H100, RUNPOD])
    assert shown["candidate"]["cloud"] == "skypilot" and "estimatedHourlyUsd" not in shown


def test_a_refused_token_is_one_error_at_preview(provider: GpuNodeProvider, sky: Sky) -> None:
    sky.refused = 401
    ((place, text),) = told(provider.check({}, node(candidates=[H100])))
    assert place == "candidates" and "credential set 'sky' of skypilot can't be used (auth)" in text
    assert "\n" not in text
