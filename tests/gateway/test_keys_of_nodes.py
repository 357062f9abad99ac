"""The way to a node is closed to others, and no client's key goes there."""

from __future__ import annotations

import json

import httpx

from tests.gateway.world import MODEL, Key

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}


def test_a_node_does_not_answer_without_its_key(shared):
    for headers in ({}, Key().headers, {"authorization": "Bearer x"}):
        for node in shared.nodes:
            answer = httpx.post(f"{node.url}/v1/chat/completions", json=BODY, headers=headers)
            assert answer.status_code == 401


def test_the_clients_key_and_cookies_stay_with_the_gateway(shared):
    headers = {"cookie": "session=cookie-of-mine", "x-api-key": shared.key.secret, "forwarded": "for=1.2.3.4"}
    for _ in range(8):
        answer = httpx.post(
            f"{shared.gateway.url}/v1/chat/completions", json=BODY, headers={**headers, **shared.headers}
        )
        assert answer.status_code == 200
        assert shared.key.secret not in answer.text
    seen = json.dumps([node.report()["seen"] for node in shared.nodes])
    assert "Bearer node-" in seen
    assert shared.key.secret not in seen
    assert "cookie-of-mine" not in seen


def test_no_secret_in_the_log(shared):
    httpx.post(f"{shared.gateway.url}/v1/chat/completions", json=BODY, headers=shared.headers)
    output = shared.gateway.output()
    assert shared.key.secret not in output
    assert not [node.name for node in shared.nodes if node.key in output]
