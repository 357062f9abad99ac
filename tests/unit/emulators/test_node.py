from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.markov import built_in, tokenize
from tests.unit.emulators.driver import Driver, Reply

CHAT = {"messages": [{"role": "user", "content": "What is a node?"}], "temperature": 0, "max_tokens": 40}
KEY = "upstream"


@pytest.fixture
def node() -> Any:
    with Driver(ready_after_s=10) as driver:
        pod = driver.create(env={"VLLM_API_KEY": KEY, "MODEL": "org/model"})
        yield driver, f"/proxy/{pod['id']}-8000", pod["id"]


def chat(driver: Driver, base: str, **more: Any) -> Reply:
    return driver.call("POST", f"{base}/v1/chat/completions", {**CHAT, **more}, key=KEY)


def text_of(reply: Reply) -> str:
    return str(reply.json()["choices"][0]["message"]["content"])


def test_the_proxy_answers_as_the_pods_life_goes(node: Any) -> None:
    driver, base, pod = node
    assert driver.call("GET", f"{base}/health").status == 502
    driver.advance(11)
    assert driver.call("GET", f"{base}/health", key=None).status == 200
    assert driver.call("GET", f"/proxy/{pod}-9000/health").status == 404
    assert driver.call("GET", "/proxy/none-8000/health").status == 404
    driver.control("PATCH", f"runpod/pods/{pod}", {"unusable": True})
    assert driver.call("GET", f"{base}/health").status == 500
    driver.control("POST", f"runpod/pods/{pod}/crash", {})
    reply = driver.call("GET", f"{base}/health")
    assert (reply.status, reply.headers["content-type"]) == (502, "text/html; charset=UTF-8")
    driver.call("DELETE", f"/v2/pods/{pod}")
    assert driver.call("GET", f"{base}/health").status == 404


def test_the_model_wants_the_key_that_the_pod_was_given(node: Any) -> None:
    driver, base, _ = node
    driver.advance(11)
    assert driver.call("GET", f"{base}/v1/models", key=None).status == 401
    assert driver.call("GET", f"{base}/v1/models", key="other").status == 401
    assert driver.call("GET", f"{base}/v1/models", key=KEY).json()["data"][0]["id"] == "org/model"
    open_pod = driver.create()["id"]
    driver.advance(11)
    assert driver.call("GET", f"/proxy/{open_pod}-8000/v1/models", key=None).status == 200


def test_chat_is_the_same_for_the_same_request_and_counts_its_tokens(node: Any) -> None:
    driver, base, _ = node
    driver.advance(11)
    first, second = chat(driver, base), chat(driver, base)
    assert text_of(first) == text_of(second) != ""
    usage = first.json()["usage"]
    assert usage["completion_tokens"] == len(tokenize(text_of(first))) <= 40
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    seeds = {text_of(chat(driver, base, temperature=1, seed=seed)) for seed in range(6)}
    assert len(seeds) > 2
    assert text_of(chat(driver, base, temperature=1, seed=3)) == text_of(
        chat(driver, base, temperature=1, seed=3)
    )


def test_a_stream_gives_the_same_text_and_ends_with_usage_and_done(node: Any) -> None:
    driver, base, _ = node
    driver.advance(11)
    whole = chat(driver, base)
    events = chat(driver, base, stream=True, stream_options={"include_usage": True}).events()
    assert events[-1]["data"] == "[DONE]"
    chunks = [json.loads(event["data"]) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == text_of(whole)
    assert chunks[-2]["choices"][0]["finish_reason"] == whole.json()["choices"][0]["finish_reason"]
    assert chunks[-1]["usage"] == whole.json()["usage"]


@pytest.mark.parametrize("cut", [1, 7, 23])
def test_an_answer_cut_anywhere_is_continued_word_for_word(node: Any, cut: int) -> None:
    driver, base, _ = node
    driver.advance(11)
    whole = text_of(chat(driver, base, ignore_eos=True))
    tokens = tokenize(whole)
    begun = {"role": "assistant", "content": "".join(tokens[:cut])}
    rest = chat(
        driver,
        base,
        messages=[*CHAT["messages"], begun],  # type: ignore[misc]  # a list, as CHAT says above
        continue_final_message=True,
        add_generation_prompt=False,
        max_tokens=40 - cut,
        ignore_eos=True,
    )
    assert begun["content"] + text_of(rest) == whole


def test_stop_texts_end_the_answer_and_are_no_part_of_it(node: Any) -> None:
    driver, base, _ = node
    driver.advance(11)
    whole = text_of(chat(driver, base))
    stop = whole[20:26]
    for stream in (False, True):
        reply = chat(driver, base, stop=[stop], stream=stream)
        if stream:
            parts = [json.loads(e["data"])["choices"] for e in reply.events()[:-1]]
            text = "".join(part[0]["delta"].get("content", "") for part in parts)
        else:
            text = text_of(reply)
        assert text == whole[: whole.index(stop)]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"messages": []}, 400),
        ({"model": "other"}, 404),
        ({"continue_final_message": True}, 400),
        ({"continue_final_message": True, "add_generation_prompt": False}, 400),
        ({"max_tokens": 0}, 400),
        ({"n": 2}, 400),
        ({"stop": [1]}, 400),
    ],
)
def test_requests_that_make_no_sense_get_an_openai_style_error(
    node: Any, change: dict[str, Any], status: int
) -> None:
    driver, base, _ = node
    driver.advance(11)
    reply = chat(driver, base, **change)
    assert reply.status == status
    assert reply.json()["error"]["code"] == status


def test_plain_completions_work_too(node: Any) -> None:
    driver, base, _ = node
    driver.advance(11)
    body = {"prompt": "A node", "max_tokens": 5, "temperature": 0}
    reply = driver.call("POST", f"{base}/v1/completions", body, key=KEY).json()
    assert len(tokenize(reply["choices"][0]["text"])) == reply["usage"]["completion_tokens"] == 5


def test_a_node_that_dies_cuts_its_streams(node: Any) -> None:
    driver, base, pod = node
    driver.control("PATCH", "runpod/settings", {"tokens_per_s": 1, "exit_after_s": 8})
    driver.advance(11)
    body = {**CHAT, "stream": True}
    reply = driver.call("POST", f"{base}/v1/chat/completions", body, key=KEY, advance=1)
    assert reply.cut
    assert 0 < len(reply.events()) < 12
    assert driver.call("GET", f"/v2/pods/{pod}").json()["status"] == "EXITED"


@pytest.mark.parametrize(
    ("kind", "args", "status", "cut"),
    [
        ("node_error", {"status": 503}, 503, False),
        ("node_cut", {}, 0, True),
        ("node_cut", {"after_chunks": 3}, 200, True),
        ("node_hang", {}, 0, True),
        ("node_slow", {}, 200, False),
    ],
)
def test_faults_of_nodes(node: Any, kind: str, args: dict[str, Any], status: int, cut: bool) -> None:
    driver, base, _ = node
    driver.advance(11)
    driver.fault(kind, count=1, args=args)
    body = {**CHAT, "stream": True}
    reply = driver.call("POST", f"{base}/v1/chat/completions", body, key=KEY, advance=10)
    assert (reply.status, reply.cut) == (status, cut)
    assert chat(driver, base).status == 200


def test_traffic_to_nodes_is_no_call_to_the_cloud(node: Any) -> None:
    driver, base, _ = node
    driver.advance(11)
    chat(driver, base)
    driver.pods()
    counters = driver.control("GET", "counters")["clouds"]["runpod"]
    assert counters == {"reads": 1, "writes": 1, "node_requests": 1}


@given(st.text())
def test_tokens_joined_are_the_text_again(text: str) -> None:
    assert "".join(tokenize(text)) == text


@given(st.text(), st.integers(0, 2**31), st.floats(0, 2), st.integers(0, 60))
def test_the_next_word_depends_on_nothing_but_the_text_so_far(
    prompt: str, seed: int, temperature: float, cut: int
) -> None:
    def words(so_far: list[str], count: int) -> list[str]:
        tokens = built_in().generate(prompt, so_far, seed=seed, temperature=temperature, ignore_end=True)
        return [next(tokens) for _ in range(count)]

    whole = words([], 60)
    assert whole[:cut] + words(tokenize("".join(whole[:cut])), 60 - cut) == whole


def test_embeddings_are_equal_for_equal_texts(node: Any) -> None:
    driver, base, _ = node
    driver.advance(11)

    def embed(**body: Any) -> Reply:
        reply: Reply = driver.call("POST", f"{base}/v1/embeddings", {"model": "org/model", **body}, key=KEY)
        return reply

    found = embed(input=["a node", "a pod", "a node"]).json()
    one, other, again = (each["embedding"] for each in found["data"])
    assert one == again != other
    assert sum(part * part for part in one) == pytest.approx(1.0)
    assert found["usage"]["prompt_tokens"] == found["usage"]["total_tokens"] > 0
    packed = base64.b64decode(embed(input="a node", encoding_format="base64").json()["data"][0]["embedding"])
    assert struct.unpack(f"<{len(one)}f", packed) == pytest.approx(one)
    assert embed(input=[]).status == embed(input=7).status == embed(input="").status == 400
    assert embed(input="a", encoding_format="x").status == 400
    assert embed(input="a", model="other").status == 404
    assert driver.call("POST", f"{base}/v1/embeddings", {"input": "a"}, key=None).status == 401
    assert driver.call("GET", f"{base}/v1/embeddings", key=KEY).status == 405
