"""Bodies become calls; what a node gets means the same JSON as the client's, plus what is put in."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from control_plane.gateway.call import Call, Endpoint
from control_plane.gateway.parsing import Parser, forwarded_body
from control_plane.gateway.parts import Refused
from control_plane.gateway.prompts import TOKENS_PER_IMAGE

PARSER = Parser(max_choices=128)
HI = [{"role": "user", "content": "hi"}]


def parse(body: bytes | dict[str, Any], endpoint: Endpoint = Endpoint.CHAT) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PARSER.parse(endpoint, raw, request_id="r", tenant="t", key_id="k", received=1.0, deadline=2.0)


def chat(**more: Any) -> Call:
    return parse({"model": "m", "messages": HI, **more})


def completion(**more: Any) -> Call:
    return parse({"model": "m", "prompt": "once", **more}, Endpoint.COMPLETIONS)


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("body", "param", "part"),
    [
        (b"", "", "it is empty"),
        (b"  ", "", "it is empty"),
        (b"{", "", "no valid JSON"),
        (b'{"model":"m","messages":[{]}', "", "no valid JSON"),
        (b'{"model":"m","messages":[]} x', "", "no valid JSON"),
        (b'{"model":"m","messages":[NaN]}', "", "no valid JSON"),
        (b'\xef\xbb\xbf{"model":"m"}', "", "no valid JSON"),
        ('{"model":"m","messages":[]}'.encode("utf-16"), "", "UTF-8"),
        (b'{"model":"m","messages":["\xff"]}', "", "UTF-8"),
        (b'{"model":"\xff","messages":[]}', "", "UTF-8"),
        (b'{"model":"m","messages":["\xed\xa0\x80"]}', "", "UTF-8"),
        (b'{"model":"\\ud800","messages":[]}', "", "no valid JSON"),
        (b'{"model":"m","messages":' + DEEP + b"}", "", "nested too deeply"),
        (b'{"model":"m","messages":[],"x":' + DEEP + b"}", "", "nested too deeply"),
        (b"[]", "", "JSON object"),
        (b"null", "", "JSON object"),
        (b'"model"', "", "JSON object"),
        (b"{}", "model", "missing"),
        (b'{"messages":[]}', "model", "missing"),
        (b'{"model":"","messages":[]}', "model", "must name a model"),
        (b'{"model":null,"messages":[]}', "model", "expected `str`"),
        (b'{"model":7,"messages":[]}', "model", "expected `str`"),
        (b'{"model":["m"],"messages":[]}', "model", "expected `str`"),
        (b'{"model":"m"}', "messages", "missing"),
        (b'{"model":"m","messages":null}', "messages", "missing"),
        (b'{"model":"m","messages":"hi"}', "messages", "array"),
        (b'{"model":"m","messages":{}}', "messages", "array"),
        (b'{"model":"m","messages":[],"stream":"yes"}', "stream", "expected `bool"),
        (b'{"model":"m","messages":[],"stream":1}', "stream", "expected `bool"),
        (b'{"model":"m","messages":[],"n":0}', "n", ">= 1"),
        (b'{"model":"m","messages":[],"n":-1}', "n", ">= 1"),
        (b'{"model":"m","messages":[],"n":129}', "n", "at most 128"),
        (b'{"model":"m","messages":[],"n":99999999999}', "n", "<= "),
        (b'{"model":"m","messages":[],"n":1.5}', "n", "expected `int"),
        (b'{"model":"m","messages":[],"max_tokens":-1}', "max_tokens", ">= 0"),
        (b'{"model":"m","messages":[],"max_tokens":"9"}', "max_tokens", "expected `int"),
        (b'{"model":"m","messages":[],"max_tokens":1e400}', "max_tokens", "out of range"),
        (b'{"model":"m","messages":[],"max_tokens":' + b"9" * 4000 + b"}", "max_tokens", ""),
        (b'{"model":"m","messages":[],"max_tokens":' + b"9" * 50_000 + b"}", "max_tokens", ""),
        (b'{"model":"m","messages":[],"max_completion_tokens":-1}', "max_completion_tokens", ">= 0"),
        (b'{"model":"m","messages":[],"stream_options":7}', "stream_options", "expected `object"),
        (
            b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":7}}',
            "stream_options.include_usage",
            "expected `bool",
        ),
        (
            b'{"model":"m","messages":[],"stream_options":{"include_usage":true}}',
            "stream_options",
            "only allowed with 'stream'",
        ),
        (b'{"model":"m","messages":[],"response_format":7}', "response_format", "object"),
        (b'{"model":"m","messages":[],"logprobs":3}', "logprobs", "expected `bool"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_makes_no_sense_is_a_400_that_names_the_field(body, param, part):
    with pytest.raises(Refused) as caught:
        parse(body)
    refused = caught.value
    assert refused.status == 400
    assert refused.kind == "invalid_request_error"
    assert refused.param == param
    assert part in refused.message
    assert len(refused.message) < 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":"m"}', "prompt"),
        (b'{"model":"m","prompt":null}', "prompt"),
        (b'{"model":"m","prompt":7}', "prompt"),
        (b'{"model":"m","prompt":{}}', "prompt"),
        (b'{"model":"m","prompt":"x","best_of":500}', "best_of"),
        (b'{"model":"m","prompt":"x","logprobs":true}', "logprobs"),
        (b'{"model":"m","prompt":"x","echo":"yes"}', "echo"),
    ],
)
def test_completions_have_rules_of_their_own(body, param):
    with pytest.raises(Refused) as caught:
        parse(body, Endpoint.COMPLETIONS)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_embeddings_need_an_input():
    with pytest.raises(Refused) as caught:
        parse(b'{"model":"m"}', Endpoint.EMBEDDINGS)
    assert (caught.value.status, caught.value.param) == (400, "input")
    call = parse(b'{"model":"m","input":["a","b"]}', Endpoint.EMBEDDINGS)
    assert (call.max_tokens, call.stream, call.choices) == (0, False, 1)
    assert forwarded_body(call) is call.body


def test_a_message_holds_nothing_of_the_content():
    with pytest.raises(Refused) as caught:
        parse(b'{"model":"m","messages":[{"content":"canary"}],"n":"canary"}')
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"n": 1, "logprobs": False, "response_format": {"type": "text"}}, ""),
        ({"response_format": None, "guided_json": None, "tool_choice": "auto", "tools": [{}]}, ""),
        ({"tool_choice": "none"}, ""),
        ({"n": 2}, "several choices"),
        ({"logprobs": True}, "logprobs"),
        ({"prompt_logprobs": 1}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "structured output"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "structured output"),
        ({"guided_json": {}}, "structured output"),
        ({"guided_choice": ["a"]}, "structured output"),
        ({"structured_outputs": {"regex": "a"}}, "structured output"),
        ({"tool_choice": "required"}, "a forced tool call"),
        ({"tool_choice": {"type": "function"}}, "a forced tool call"),
        ({"use_beam_search": True}, "beam search"),
    ],
)
def test_why_a_chat_could_not_go_on_elsewhere(more, why):
    assert chat(**more, stream=True).not_continuable == why


@pytest.mark.parametrize(
    ("more", "why", "choices"),
    [
        ({}, "", 1),
        ({"prompt": ["a"]}, "", 1),
        ({"prompt": [1, 2, 3]}, "", 1),
        ({"prompt": [[1, 2, 3]]}, "", 1),
        ({"prompt": ["a", "b"]}, "several choices", 2),
        ({"prompt": [[1], [2], [3]], "n": 2}, "several choices", 6),
        ({"logprobs": 0}, "logprobs", 1),
        ({"echo": True}, "echo", 1),
        ({"best_of": 1}, "", 1),
        ({"best_of": 3}, "best_of above 1", 3),
        ({"prompt": None, "prompt_embeds": "AAAA"}, "prompt_embeds", 1),
    ],
)
def test_why_a_completion_could_not_go_on_elsewhere(more, why, choices):
    call = completion(**more, stream=True)
    assert (call.not_continuable, call.choices) == (why, choices)


def test_the_newer_name_of_the_maximum_wins():
    assert chat(max_tokens=5).max_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=7).max_tokens == 7
    assert chat().max_tokens is None


def test_prompt_tokens_are_estimated_from_bytes_tokens_counted_and_images_flat():
    assert 100 <= chat(messages=[{"role": "user", "content": "word" * 100}]).prompt_tokens_estimate <= 120
    assert completion(prompt=list(range(1000))).prompt_tokens_estimate == 1000
    url = "data:image/png;base64," + "A" * 400_000
    image = {"type": "image_url", "image_url": {"url": url}}
    call = chat(messages=[{"role": "user", "content": [image, image]}])
    assert 2 * TOKENS_PER_IMAGE <= call.prompt_tokens_estimate <= 2 * TOKENS_PER_IMAGE + 100


def test_turns_of_a_conversation_have_the_same_prefix_and_other_conversations_another():
    system = {"role": "system", "content": "be kind"}
    first = [system, {"role": "user", "content": "hello"}]
    later = [*first, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "bye"}]
    other = [system, {"role": "user", "content": "good day"}]
    assert chat(messages=first).prefix == chat(messages=later).prefix
    assert chat(messages=first).prefix != chat(messages=other).prefix
    assert 0 <= chat(messages=first).prefix < 2**64


def test_without_edits_the_bytes_stay_as_they_are():
    call = parse(b' { "messages" : [] , "model" : "m" }\n')
    assert forwarded_body(call) is call.body


def test_an_edit_leaves_all_other_bytes_as_they_are():
    call = parse(b'{"messages": [ {"a":1.50} ],  "model" : "alias", "stream":true, "seed": 1e2 }\n')
    call.model = "real/one"
    assert forwarded_body(call) == (
        b'{"messages": [ {"a":1.50} ],  "model":"real/one", "stream":true, "seed": 1e2 '
        b',"stream_options":{"include_usage":true,"continuous_usage_stats":true}}'
    )


NAMES = st.sampled_from(["model", "stream", "stream_options", "a", 'mo"del', "mödel", "", "x\\"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(['"model"', '{"model":"m"}', "model", "alias", "stream_options"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
OPTIONS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "include_usage": st.none() | st.booleans(),
        "continuous_usage_stats": st.booleans(),
        "x": VALUES,
    },
)


@given(
    extra=st.dictionaries(st.sampled_from(["seed", "user", "tools", "metadata", "stop"]), VALUES, max_size=3),
    messages=st.lists(VALUES, max_size=3),
    alias=st.sampled_from(["alias", "a/b", 'q"uote', "ümlaut", "m"]),
    target=st.sampled_from(["m", "org/model", 'q"uote', "ß"]),
    stream=st.booleans(),
    options=OPTIONS,
    has_options=st.booleans(),
    ascii_only=st.booleans(),
    spaced=st.booleans(),
    order=st.randoms(use_true_random=False),
)
@example({"metadata": {"model": "alias"}}, [], "alias", "m", True, None, False, True, True, None)
def test_what_a_node_gets_means_the_clients_json_plus_the_edits(
    extra, messages, alias, target, stream, options, has_options, ascii_only, spaced, order
):
    asked: dict[str, Any] = {"model": alias, "messages": messages, "stream": stream, **extra}
    if has_options and stream:
        asked["stream_options"] = options
    items = list(asked.items())
    if order is not None:
        order.shuffle(items)
    body = json.dumps(
        dict(items),
        ensure_ascii=ascii_only,
        indent=2 if spaced else None,
        separators=None if spaced else (",", ":"),
    )
    try:
        raw = body.encode()
    except UnicodeEncodeError:
        raw = json.dumps(dict(items)).encode()
    call = parse(raw)
    call.model = target
    expected = {**asked, "model": target}
    if stream:
        given_options = asked.get("stream_options") or {}
        expected["stream_options"] = {**given_options, "include_usage": True, "continuous_usage_stats": True}
    assert json.loads(forwarded_body(call)) == expected
    assert call.wants_usage == bool(stream and (asked.get("stream_options") or {}).get("include_usage"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"mod\\u0065l":"alias","metadata":{"model":"alias"},"messages":[],"stream":true}',
        b'{"model":"first","model":"alias","messages":[],"stream":true}',
        b'{"model":"alias","messages":[],"stream":true,"stream_option\\u0073":{"x":1}}',
        b'{"model":"al\\u0069as","messages":[]}',
        b'{"model":"alias","messages":[],"tools":[{"properties":{"model":{"type":"string"}}}]}',
    ],
)
def test_a_name_spelled_twice_or_oddly_is_edited_where_it_counts(body):
    call = parse(body)
    assert call.asked_model == "alias"
    call.model = "real"
    sent = json.loads(forwarded_body(call))
    expected = {**json.loads(body), "model": "real"}
    if call.stream:
        expected["stream_options"] = {
            **expected.get("stream_options", {}),
            "include_usage": True,
            "continuous_usage_stats": True,
        }
    assert sent == expected


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_call_or_a_400(body):
    for endpoint in Endpoint:
        try:
            forwarded_body(parse(body, endpoint))
        except Refused as refused:
            assert refused.status == 400


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "model",
                "stream",
                "stream_options",
                "max_tokens",
                "n",
                "messages",
                "prompt",
                "input",
                "logprobs",
                "best_of",
                "echo",
                "response_format",
                "guided_json",
                "tool_choice",
                "prompt_embeds",
            ]
        ),
        VALUES,
    )
)
def test_any_types_are_a_call_or_a_400(fields):
    try:
        body = json.dumps({"model": "m", **fields}).encode()
    except UnicodeEncodeError:
        return
    for endpoint in Endpoint:
        try:
            call = parse(body, endpoint)
        except Refused as refused:
            assert refused.status == 400
        else:
            json.loads(forwarded_body(call))
