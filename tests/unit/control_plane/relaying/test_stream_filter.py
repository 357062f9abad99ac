import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.relaying.identity import Identity
from control_plane.gateway.relaying.lost import Lost
from control_plane.gateway.relaying.progress import Progress
from control_plane.gateway.relaying.stream_filter import LostAfter, StreamFilter
from control_plane.gateway.relaying.tally import NodeTally

BASE = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(
    text: str,
    *,
    compact: bool = True,
    usage: int | None = None,
    own: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    chunk = {**BASE, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **own}
    if usage is not None:
        chunk["usage"] = {"prompt_tokens": 3, "total_tokens": 3 + usage, "completion_tokens": usage}
    return b"data: " + json.dumps(chunk, separators=(",", ":") if compact else None).encode() + b"\n\n"


def made() -> tuple[StreamFilter, Progress, NodeTally]:
    progress, tally = Progress(), NodeTally()
    return StreamFilter(progress, Identity(), tally, several=False), progress, tally


TRICKY = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [',"usage":{', '"choices":[{', '"finish_reason":"stop"', "[DONE]", "}}\n\n", '{"error"', '"role":"']
    ),
)


@given(st.lists(TRICKY, min_size=1, max_size=8), st.booleans(), st.booleans(), st.booleans())
def test_texts_come_through_whatever_they_are(texts, compact, at_once, usage):
    filter_, progress, tally = made()
    given_events = [
        event(text, compact=compact, usage=number + 1 if usage else None) for number, text in enumerate(texts)
    ]
    out = filter_.take(b"".join(given_events)) if at_once else b"".join(map(filter_.take, given_events))
    got = [json.loads(blob[5:]) for blob in out.decode().split("\n\n")[:-1]]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in got] == texts
    assert all("usage" not in chunk for chunk in got)
    progress.fold()
    assert progress.text == "".join(texts)
    assert not filter_.finished
    assert not filter_.done
    said = tally.usage()
    assert (said.completion_tokens if said else None) == (len(texts) if usage else None)


def test_usage_with_details_or_not_at_the_end_is_taken_out():
    filter_, _, tally = made()
    details = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    for own in ({"usage": details}, {"usage": details, "prompt_token_ids": None}):
        out = json.loads(filter_.take(event("x", own=own))[5:])
        assert "usage" not in out
        said = tally.usage()
        assert said is not None
        assert (said.prompt_tokens, said.completion_tokens, said.cached) == (9, 2, 4)


def test_what_came_before_an_error_is_kept():
    filter_, _, _ = made()
    with pytest.raises(LostAfter) as lost:
        filter_.take(event("x") + b'data: {"error":{"message":"dead","code":500}}\n\n' + event("y"))
    assert lost.value.kept_back == event("x")


def test_an_error_that_is_the_clients_fault_is_passed_on():
    filter_, _, _ = made()
    refusal = b'data: {"error":{"message":"too long","code":400}}\n\n'
    filter_.take(refusal)
    assert filter_.refusal == refusal
    assert filter_.done


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html></html>\n\n",
        b"data: {\n\n",
        b"data: 7\n\n",
        b'data: {"choices":7}\n\n',
        b"\xff\xfe\n\n",
        b"data: \xff\n\n",
    ],
)
def test_garbage_is_a_loss(garbage):
    filter_, _, _ = made()
    with pytest.raises(Lost):
        filter_.take(garbage)


def test_comments_pass():
    filter_, progress, _ = made()
    assert filter_.take(b": ping\n\n") == b": ping\n\n"
    progress.fold()
    assert progress.text == ""
