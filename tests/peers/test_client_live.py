"""The typed client against the real server. What needs a cluster is in `tests.peers.cluster_calls`."""

from __future__ import annotations

import time

import pytest

from gpu_clouds.skypilot.errors import ApiError, RequestFailedError
from tests.peers.skypilot_server import INFRA, PRICES

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Longer than any of it on a machine that has much else to do.
PATIENCE_S = 900.0


def test_the_server_is_the_one_that_the_client_is_for(client):
    health = client.health()
    assert (health.status, health.version) == ("healthy", "0.14.1")


def test_a_gpu_that_there_is_not_is_refused_at_once(client):
    begin = time.monotonic()
    task = f"resources: {{infra: {INFRA}, accelerators: 'H100:16'}}\n"
    with pytest.raises(RequestFailedError) as refused:
        client.launch(task, "live-refused").result(PATIENCE_S)
    assert refused.value.error_code == "ResourcesUnavailableError"
    assert "\x1b" not in refused.value.message
    assert time.monotonic() - begin < 60.0
    assert client.cluster("live-refused") is None
    with pytest.raises(ApiError) as bad:
        client.validate("resources: {acceleratorz: 'H100:1'}")
    assert bad.value.status_code == 400
    assert "acceleratorz" in bad.value.message


def test_all_prices_are_known_before_anything_is_made(client):
    offers = client.list_accelerators(clouds=["slurm"])
    seen = {(offer.accelerator_name, offer.accelerator_count): offer.price for offer in offers}
    for gpu, usd in PRICES.items():
        assert seen[gpu, 1] == usd
        assert seen[gpu, 8] == 8 * usd
