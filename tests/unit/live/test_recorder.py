"""What the tests with real accounts write down: answers, and neither secrets nor other people's things."""

from __future__ import annotations

import json
from dataclasses import asdict

import httpx
import pytest

from gpu_clouds.redaction import MASK
from tests.live.findings import findings
from tests.live.recorder import Recorder

MINE = "gp-p-livetest-"
CANARY = "canary-77aa01"


def recorder(*answers: httpx.Response) -> tuple[Recorder, httpx.Client]:
    waiting = list(answers)
    times = iter(range(1000))
    made = Recorder(MINE, httpx.MockTransport(lambda _: waiting.pop(0)), lambda: float(next(times)))
    client = httpx.Client(base_url="https://cloud.example/v1", transport=made)
    client.headers["authorization"] = f"Bearer {CANARY}"
    return made, client


def test_no_secret_and_nobody_elses_name_is_written_down() -> None:
    machines = {
        "hasMore": False,
        "items": [
            {"id": "1", "name": f"{MINE}a-0-00000000", "publicIp": "203.0.113.7", "jupyter_token": CANARY},
            {"id": "2", "name": "payroll", "email": "someone@example.com"},
            {"id": "3", "name": "other"},
        ],
    }
    made, client = recorder(
        httpx.Response(200, json=machines, headers={"set-cookie": CANARY, "RateLimit": '"minute";r=3'}),
        httpx.Response(401, text=f"Bearer {CANARY} is unknown to 203.0.113.9, ask someone@example.com"),
    )
    with client:
        assert client.get("/machines").json() == machines
        client.post("/machines", json={"name": f"{MINE}a-0-00000000", "env": {"KEY": CANARY}, "diskSize": 50})
    listed, refused = made.calls
    assert listed.body["items"] == [
        {"id": "1", "name": f"{MINE}a-0-00000000", "publicIp": MASK, "jupyter_token": MASK},
        "2 of others",
    ]
    assert refused.sent == {"name": f"{MINE}a-0-00000000", "env": MASK, "diskSize": 50}
    assert refused.asked == "POST /v1/machines"
    written = json.dumps([asdict(call) for call in made.calls])
    for secret in (CANARY, "payroll", "someone@", "203.0.113"):
        assert secret not in written
    assert findings(made.calls, "")["rateLimitHeaders"] == {"ratelimit": '"minute";r=3'}


def test_what_has_no_answer_is_written_down_too() -> None:
    def cut(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut")

    made = Recorder(MINE, httpx.MockTransport(cut))
    with httpx.Client(transport=made) as client, pytest.raises(httpx.ReadError):
        client.get("https://cloud.example/v1/machines")
    assert (made.calls[0].status, made.calls[0].body) == (0, "ReadError")


def test_the_life_of_a_node_is_told_in_seconds_after_its_launch() -> None:
    node = {"id": "n1", "name": f"{MINE}a-0-00000000", "status": "booting", "region": {"name": "us-west-1"}}
    made, client = recorder(
        httpx.Response(200, json={"data": {"instance_ids": ["n1"]}}),
        httpx.Response(200, json={"data": []}),
        httpx.Response(404, json={"error": {"code": "global/object-does-not-exist"}}),
        httpx.Response(200, json={"data": [{**node, "name": ""}]}),
        httpx.Response(200, json={"data": [{**node, "status": "active"}]}),
        httpx.Response(429, json={"error": {}}, headers={"Retry-After": "7"}),
        httpx.Response(204),
    )
    with client:
        client.post("/instance-operations/launch", json={})
        client.get("/instances")
        client.get("/instances/n1")
        client.get("/search")
        client.get("/search")
        client.get("/search")
        client.delete("/instances/n1")
    found = findings(made.calls, "n1")
    assert found["states"] == [(3.0, "booting"), (4.0, "active")]
    assert found["listedAfterS"] == 3.0
    assert found["byIdAnswers"] == [(2.0, "404")]
    assert found["nameless"] == 1
    assert found["regions"] == ["us-west-1"]
    assert found["deleteAnswers"] == [(6.0, 204)]
    assert found["tooManyRequests"] == [
        {"body": {"error": {}}, "content-type": "application/json", "retry-after": "7"}
    ]
    assert [one["status"] for one in found["refusals"]] == [404, 429]
