"""RunPod's billing by its OpenAPI document, both ways: what is asked of it, and what its own examples say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds.runpod.cloud import RunPodCloud
from tests.contract_client.test_runpod_requests import DOCUMENT, Checked, resolved
from tests.unit.gpu_clouds.harness import Net, answer, connection, runpod

hours = st.integers(0, 1000).map(lambda count: datetime(2026, 9, 1, tzinfo=UTC) + timedelta(hours=count))


@given(hours, st.none() | hours, hours)
def test_every_period_is_asked_for_as_the_document_says(
    begin: datetime, end: datetime | None, now: datetime
) -> None:
    net = Checked()
    RunPodCloud(connection(), httpx.MockTransport(net)).charges(begin, end, now, [])
    assert net.operations == ["listPodBilling"]


def test_the_documents_own_example_is_read() -> None:
    operation = DOCUMENT["paths"]["/v2/billing/pods"]["get"]
    content = resolved(operation["responses"]["200"])["content"]["application/json"]
    (example,) = content["examples"].values()
    body: dict[str, Any] = example["value"]
    first = datetime.fromisoformat(body["records"][0]["startTime"])
    found = runpod(Net(answer(200, body))).charges(first, None, first + timedelta(days=20), [])
    assert [charge.node for charge in found] == [record["podId"] for record in body["records"]]
    for name, amounts in (
        ("totalAmount", [charge.total_usd for charge in found]),
        ("diskAmount", [charge.storage_usd for charge in found]),
    ):
        assert [float(amount or 0) for amount in amounts] == [record[name] for record in body["records"]]
    assert [charge.end for charge in found] == [
        datetime.fromisoformat(record["endTime"]) for record in body["records"]
    ]


def test_the_buckets_that_are_asked_for_are_those_of_the_document() -> None:
    assert {"hour", "day"} <= set(resolved(DOCUMENT["components"]["schemas"]["BillingBucketSize"])["enum"])
