"""One node on each cloud that there is a key for: created, read, deleted, and looked for afterwards."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from gpu_clouds import catalog
from gpu_clouds.clock import SystemClock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.connection import Connection
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.ending import Ender, orphans
from gpu_clouds.intents import IntentLog
from gpu_clouds.lambda_cloud.cloud import LambdaCloud
from gpu_clouds.marker import DECLARED, stack_prefix
from gpu_clouds.models import Availability, Candidate, InstanceState, InstanceTemplate, Offer
from gpu_clouds.paperspace.cloud import PaperspaceCloud
from gpu_clouds.provisioning import NodeRequest, Provisioner
from gpu_clouds.registry import clock_from_environment, cloud_info, connect
from gpu_clouds.runpod.cloud import RunPodCloud
from tests.live.conftest import KEYS, Budget
from tests.live.findings import findings
from tests.live.recorder import Recorder, carrier

STACK_ID = "livetest"
"""Always the same, so that a run ends what a killed one has left. One run at a time for each account."""
PREFIX = stack_prefix(DECLARED, STACK_ID)
FOLDER = Path(os.environ.get("GPUPLANE_LIVE_DIR") or Path(__file__).parents[2] / ".gpuplane" / "live")
EMULATORS = os.environ.get("GPUPLANE_LIVE_EMULATORS", "")
"""An endpoints.json: emulators take the clouds' place, to try these tests themselves."""
TEMPLATE = InstanceTemplate(image="nginx:1.28-alpine", disk_gb=50, ports=("80/http",))
CHEAPEST = 3
FURTHER_READS = {"lambda": ("firewall-rules", "firewall-rulesets/global", "images")}
"""Besides what the client asks anyway: what only an account can answer."""
_NEW: dict[str, Callable[[Connection, httpx.BaseTransport], GpuCloud]] = {
    "runpod": RunPodCloud,
    "lambda": LambdaCloud,
    "paperspace": PaperspaceCloud,
}


class Account:
    """One real account whose every call is recorded."""

    def __init__(self, cloud: str) -> None:
        self.name = cloud
        clock = clock_from_environment()
        assert isinstance(clock, SystemClock)
        self.clock = clock
        addresses = json.loads(Path(EMULATORS).read_text())["clouds"][cloud] if EMULATORS else {}
        key = os.environ[KEYS[cloud]]
        credentials = CredentialSet(
            "live", cloud, key, addresses.get("api", ""), proxy_template=addresses.get("proxy", "")
        )
        connect(
            credentials, clock=clock, state_dir=FOLDER / "state"
        ).close()  # refuses what is not acceptable
        endpoint = credentials.endpoint or cloud_info(cloud).endpoint
        self.recorder = Recorder(PREFIX, carrier(endpoint), clock.monotonic)
        self._direct = httpx.Client(
            base_url=endpoint, headers={"Authorization": f"Bearer {key}"}, transport=self.recorder
        )
        self.cloud = _NEW[cloud](
            Connection(credentials, endpoint, clock, threading.Event(), _nothing, FOLDER / "state"),
            self.recorder,
        )
        self.intents = IntentLog(STACK_ID, FOLDER / "state", clock)

    def cheapest(self, most_usd: float) -> list[tuple[Candidate, float]]:
        """Single GPUs that may be free and cost no more than this, cheapest first."""
        wanted = [Candidate(self.name, "live", "", gpu) for gpu in catalog.native_gpus(self.name)]
        priced = [
            (offer.candidate, _price(offer))
            for offer in self.cloud.offers(wanted)
            if offer.availability is not Availability.NONE
        ]
        fitting = [(candidate, usd) for candidate, usd in priced if usd is not None and usd <= most_usd]
        return sorted(fitting, key=lambda one: one[1])[:CHEAPEST]

    def end_all(self) -> None:
        """Ends whatever carries this suite's marker, and what was made for it."""
        Ender(self.clock, None, print, _nothing).end_all(
            {"live": self.cloud}, DECLARED, STACK_ID, self.intents, settle_s=60
        )

    def left(self) -> list[str]:
        """Nodes that should not be there."""
        return [one.instance.id for one in orphans({"live": self.cloud}, DECLARED, STACK_ID, ())]

    def ask_further(self) -> None:
        """Reads what only an account can answer."""
        for path in FURTHER_READS.get(self.name, ()):
            self.clock.sleep(2)
            self._direct.get(path)

    def close(self) -> None:
        """Gives connections back."""
        self.cloud.close()
        self._direct.close()
        self.recorder.inner.close()

    def write(self, node_id: str, told: dict[str, Any]) -> Path:
        """Writes the recording."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        at = datetime.now(UTC)
        path = FOLDER / f"{self.name}-{at:%Y%m%dT%H%M%SZ}.json"
        content = {
            "cloud": self.name,
            "at": at.isoformat(timespec="seconds"),
            "emulated": bool(EMULATORS),
            **told,
            "findings": findings(self.recorder.calls, node_id),
            "calls": [asdict(call) for call in self.recorder.calls],
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path


@pytest.mark.parametrize("cloud", list(KEYS))
def test_a_node_is_created_read_and_deleted(cloud: str, budget: Budget) -> None:
    if not os.environ.get(KEYS[cloud]):
        pytest.skip(f"{KEYS[cloud]} is not set")
    account = Account(cloud)
    told: dict[str, Any] = {}
    node_id = ""
    try:
        account.cloud.account()
        account.end_all()
        choice = account.cheapest(budget.left)
        assert choice, f"{cloud} has nothing free for {budget.left:.2f} USD/h: give more with --max-usd"
        most = max(usd for _, usd in choice)
        budget.take(most)
        done = Provisioner(
            {"live": account.cloud}, account.intents, account.clock, threading.Event(), print, _nothing
        ).find_or_launch(
            NodeRequest(
                DECLARED,
                STACK_ID,
                cloud,
                tuple(candidate for candidate, _ in choice),
                TEMPLATE,
                max_hourly_usd=most,
                provision_deadline_s=1200,
            )
        )
        node_id = done.instance.id
        budget.give_back(most - (most if done.hourly_usd is None else done.hourly_usd))
        told = {"candidate": str(done.candidate), "hourlyUsd": done.hourly_usd, "refused": list(done.notes)}
        seen = account.cloud.get(node_id)
        assert (seen.name, seen.state, seen.gpu_count) == (done.marker, InstanceState.READY, 1)
        assert seen.gpu == done.candidate.gpu
        assert [one.id for one in account.cloud.list(PREFIX)] == [node_id]
        account.ask_further()
    finally:
        try:
            account.end_all()
            assert account.left() == []
            if node_id:
                account.cloud.delete(node_id)  # absent is success
                assert account.cloud.get(node_id).state is InstanceState.GONE
        finally:
            print(f"{cloud}: recorded in {account.write(node_id, told)}")
            account.close()


def _price(offer: Offer) -> float | None:
    if offer.hourly_usd is not None:
        return offer.hourly_usd
    listed = catalog.list_price(offer.candidate)
    return None if listed is None else listed.hourly_usd


def _nothing() -> None:
    """The engine is taken for alive."""
