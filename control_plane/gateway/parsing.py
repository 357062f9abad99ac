"""From a request's body to a `Call`, and from a `Call` to the body that a node gets.

Only the few fields that the gateway needs are decoded; the client's bytes stay as they are, and where
something has to be put in, it is spliced in. Whatever makes no sense to the gateway is a 400 that names the
field; what only a node can judge is left to it.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Raw

from control_plane.gateway.call import Call, Endpoint
from control_plane.gateway.errors import invalid
from control_plane.gateway.parts import Refused
from control_plane.gateway.prompts import estimate, prefix

_USAGE = b',"stream_options":{"include_usage":true,"continuous_usage_stats":true}}'
_ABSENT = Raw(b"")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `([^`]*)`")

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Generation(msgspec.Struct, gc=False, kw_only=True):
    """What chat and completions have in common."""

    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    n: _Count | None = None
    response_format: Raw = _ABSENT
    structured_outputs: Raw = _ABSENT
    guided_json: Raw = _ABSENT
    guided_regex: Raw = _ABSENT
    guided_choice: Raw = _ABSENT
    guided_grammar: Raw = _ABSENT
    structural_tag: Raw = _ABSENT
    prompt_logprobs: Raw = _ABSENT
    use_beam_search: bool | None = None


class _Chat(_Generation, gc=False, kw_only=True):
    messages: Raw = _ABSENT
    max_completion_tokens: _Tokens | None = None
    logprobs: bool | None = None
    tool_choice: Raw = _ABSENT


class _Completion(_Generation, gc=False, kw_only=True):
    prompt: Raw = _ABSENT
    prompt_embeds: Raw = _ABSENT
    logprobs: _Tokens | None = None
    echo: bool | None = None
    best_of: _Count | None = None


class _Embedding(msgspec.Struct, gc=False, kw_only=True):
    model: str
    input: Raw = _ABSENT
    messages: Raw = _ABSENT


class _Kind(msgspec.Struct, gc=False):
    type: str = ""


_chat = msgspec.json.Decoder(_Chat).decode
_completion = msgspec.json.Decoder(_Completion).decode
_embedding = msgspec.json.Decoder(_Embedding).decode
_kind = msgspec.json.Decoder(_Kind).decode
_items = msgspec.json.Decoder(list[Raw]).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


class Parser:
    """Makes calls of bodies.

    Args:
        max_choices: Largest `n`.
    """

    def __init__(self, max_choices: int) -> None:
        self._max_choices = max_choices

    def parse(
        self,
        endpoint: Endpoint,
        body: bytes,
        *,
        request_id: str,
        tenant: str,
        key_id: str,
        received: float,
        deadline: float,
    ) -> Call:
        """The call that a body asks for; its `model` is still the one that was asked for.

        Args:
            endpoint: Where it came in.
            body: The client's bytes.
            request_id: The request's own id.
            tenant: Whose it is.
            key_id: Through which key.
            received: When it came, monotonic seconds.
            deadline: Until when it may wait for a node, monotonic seconds.

        Raises:
            Refused: 400: it makes no sense.
        """
        call = Call(
            request_id,
            endpoint,
            body,
            "",
            "",
            False,
            False,
            None,
            1,
            0,
            "",
            0,
            tenant,
            key_id,
            received,
            deadline,
        )
        try:
            if not body.isascii():
                body.decode()
            if endpoint is Endpoint.CHAT:
                self._chat(call, _chat(body))
            elif endpoint is Endpoint.COMPLETIONS:
                self._completion(call, _completion(body))
            else:
                _embed(call, _embedding(body))
        except msgspec.ValidationError as error:
            raise _wrong_field(str(error)) from None
        except msgspec.DecodeError as error:
            reason = "it is empty" if not body.strip() else str(error)
            raise invalid(f"The body is no valid JSON: {reason}.", code="invalid_json") from None
        except UnicodeDecodeError:
            raise invalid("The body is no valid UTF-8.", code="invalid_json") from None
        except RecursionError:
            raise invalid("The body is nested too deeply.", code="invalid_json") from None
        if not call.asked_model:
            raise invalid("'model' must name a model.", "model", code="missing_required_parameter")
        return call

    def _chat(self, call: Call, asked: _Chat) -> None:
        prompt = asked.messages
        if bytes(memoryview(prompt)[:1]) != b"[":
            raise _wanted("messages", "an array of messages", prompt)
        call.max_tokens = (
            asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens
        )
        call.not_continuable = _why_not(asked)
        if asked.logprobs:
            call.not_continuable = "logprobs"
        elif asked.tool_choice is not _ABSENT and _forces_tool(asked.tool_choice):
            call.not_continuable = "a forced tool call"
        self._generation(call, asked, prompt, 1)

    def _completion(self, call: Call, asked: _Completion) -> None:
        prompt = asked.prompt
        prompts = 1
        if _given(asked.prompt_embeds):
            call.not_continuable = "prompt_embeds"
        elif not _given(prompt):
            raise _wanted("prompt", "a string or an array", prompt)
        else:
            prompts = _prompts(prompt)
            call.not_continuable = _why_not(asked)
        call.max_tokens = asked.max_tokens
        if asked.logprobs is not None:
            call.not_continuable = "logprobs"
        elif asked.echo:
            call.not_continuable = "echo"
        elif asked.best_of is not None and asked.best_of > 1:
            call.not_continuable = "best_of above 1"
        self._generation(call, asked, prompt, prompts)
        if asked.best_of is not None:
            if asked.best_of > self._max_choices:
                raise invalid(f"'best_of' must be at most {self._max_choices}.", "best_of")
            call.choices = max(call.choices, asked.best_of * prompts)

    def _generation(self, call: Call, asked: _Generation, prompt: Raw, prompts: int) -> None:
        n = asked.n or 1
        if n > self._max_choices:
            raise invalid(f"'n' must be at most {self._max_choices}.", "n")
        call.choices = n * prompts
        if call.choices > 1:
            call.not_continuable = "several choices"
        call.asked_model = call.model = asked.model
        call.stream = bool(asked.stream)
        if asked.stream_options is not None:
            if not call.stream and asked.stream_options.include_usage:
                raise invalid("'stream_options' is only allowed with 'stream'.", "stream_options")
            call.wants_usage = bool(asked.stream_options.include_usage)
        call.prompt_tokens_estimate = estimate(prompt, call.body)
        call.prefix = prefix(asked.model, prompt)


def _embed(call: Call, asked: _Embedding) -> None:
    given = asked.input if _given(asked.input) else asked.messages
    if not _given(given):
        raise _wanted("input", "a string or an array", asked.input)
    call.asked_model = call.model = asked.model
    call.max_tokens = 0
    call.not_continuable = "no stream"
    call.prompt_tokens_estimate = estimate(given, call.body)
    call.prefix = prefix(asked.model, given)


def forwarded_body(call: Call) -> bytes:
    """What a node gets: the client's bytes, with the alias resolved and usage asked for.

    Every stream has `stream_options.include_usage`, for the ledger, and `continuous_usage_stats` (vLLM), so
    that it is known what a node has counted that is lost in the middle. Where both can be spliced in without
    doubt, the rest stays as it is to the byte; else the outermost object is written anew from its members'
    own bytes.

    Args:
        call: The request.
    """
    body = call.body
    add_usage = call.stream
    rename = call.model != call.asked_model
    if not add_usage and not rename:
        return body
    # Without such an escape, a name can be spelled in one way only.
    if b"\\u00" not in body and not (add_usage and b'"stream_options"' in body):
        spliced = _renamed(body, call.asked_model, call.model) if rename else body
        if spliced is not None:
            return spliced.rstrip()[:-1] + _USAGE if add_usage else spliced
    fields = _fields(body)
    if rename:
        fields["model"] = Raw(_encode(call.model))
    if add_usage:
        given = fields.get("stream_options")
        options = _fields(given) if given is not None and _given(given) else {}
        fields["stream_options"] = Raw(
            _encode({**options, "include_usage": True, "continuous_usage_stats": True})
        )
    return _encode(fields)


def _renamed(body: bytes, old: str, new: str) -> bytes | None:
    """The body with the model's name replaced in its place; None where that place is in doubt."""
    at = body.find(b'"model"')
    if at < 0 or body.find(b'"model"', at + 7) >= 0:
        return None
    head = body[:at]
    rest = body[at + 7 :].lstrip()
    value = rest[1:].lstrip()
    written = b'"' + old.encode() + b'"'
    if rest[:1] != b":" or not value.startswith(written):
        return None
    return head + b'"model":' + _encode(new) + value[len(written) :]


def _why_not(asked: _Generation) -> str:
    """Why a stream of this could not go on on another node; empty if nothing speaks against it."""
    if asked.use_beam_search:
        return "beam search"
    if _given(asked.prompt_logprobs):
        return "logprobs"
    if asked.response_format is not _ABSENT and _is_structured(asked.response_format):
        return "structured output"
    for each in (
        asked.structured_outputs,
        asked.guided_json,
        asked.guided_regex,
        asked.guided_choice,
        asked.guided_grammar,
        asked.structural_tag,
    ):
        if each is not _ABSENT and _given(each):
            return "structured output"
    return ""


def _is_structured(response_format: Raw) -> bool:
    if not _given(response_format):
        return False
    try:
        return _kind(response_format).type != "text"
    except msgspec.ValidationError:
        raise invalid("'response_format' must be an object with a 'type'.", "response_format") from None


def _forces_tool(tool_choice: Raw) -> bool:
    return bytes(memoryview(tool_choice)[:12]) not in (b'"auto"', b'"none"', b"null")


def _given(value: Raw) -> bool:
    return value is not _ABSENT and bytes(memoryview(value)[:5]) != b"null"


def _prompts(prompt: Raw) -> int:
    """How many prompts a completion has: a string is one, an array of tokens too."""
    first = bytes(memoryview(prompt)[:1])
    if first == b'"':
        return 1
    if first != b"[":
        raise _wanted("prompt", "a string or an array", prompt)
    second = bytes(memoryview(prompt)[1:64]).lstrip()[:1]
    if second in (b'"', b"["):
        return max(1, len(_items(prompt)))
    return 1


def _wanted(name: str, what: str, given: Raw) -> Refused:
    if not _given(given):
        return invalid(f"'{name}' is missing; it must be {what}.", name, code="missing_required_parameter")
    return invalid(f"'{name}' must be {what}.", name, code="invalid_type")


def _wrong_field(text: str) -> Refused:
    """In OpenAI's form, from the decoder's own words, which hold nothing of the content."""
    missing = _MISSING.match(text)
    if missing:
        name = missing.group(1)
        return invalid(f"'{name}' is missing.", name, code="missing_required_parameter")
    path = _PATH.search(text)
    reason = _PATH.sub("", text)
    reason = reason[:1].lower() + reason[1:]
    if path is None:
        return invalid(f"The body must be a JSON object: {reason}.", code="invalid_type")
    name = path.group(1)
    code = "invalid_type" if ", got " in reason else "invalid_value"
    return invalid(f"'{name}': {reason}.", name, code=code)
