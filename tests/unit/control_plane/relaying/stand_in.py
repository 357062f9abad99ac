"""A vLLM server for tests: its tokens follow from the text so far, so any node can go on where one died."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

MODEL = "m"


def tokens_of(text: str) -> list[str]:
    """A text as tokens: every word is one, its blank before it included."""
    out: list[str] = []
    for word in text.split(" "):
        out.append(word if not out else " " + word)
    return [token for token in out if token]


def next_token(so_far: list[str]) -> str:
    """The token after these; depends on all of them. Quotes and newlines are among them, as in real texts."""
    state = 7
    for token in so_far:
        for character in token:
            state = (state * 31 + ord(character)) % 99991
    return f" t{state}" + ('"\n,"usage":{ü}' if state % 5 == 0 else "")


def answer_to(prompt: str, count: int) -> list[str]:
    """The tokens of a whole answer, without a break."""
    all_tokens = tokens_of(prompt)
    start = len(all_tokens)
    for _ in range(count):
        all_tokens.append(next_token(all_tokens))
    return all_tokens[start:]


@dataclass
class Script:
    """How a node misbehaves at one request; the default is that it does not."""

    die_after: int | None = None
    """Cut the connection after so many tokens."""
    half_event: bool = False
    """Send half of the next event before dying."""
    stall_after: int | None = None
    garbage_after: int | None = None
    error_after: int | None = None
    abort_after: int | None = None
    skip_done: bool = False
    """Die after the chunk with the finish reason."""
    status: int = 200
    raw: bytes | None = None
    """Written instead of an answer, head included."""
    usage: bool = True
    refuse: bool = False
    """Cut the connection without an answer."""
    pause_after: int | None = None
    """Wait for `StandIn.resume` after so many tokens."""
    reasoning: bool = False
    tool_call: bool = False


@dataclass
class StandIn:
    """One node on 127.0.0.1; an async context manager."""

    name: str
    key: str = ""
    scripts: list[Script] = field(default_factory=list)
    """For the requests to come, one each; then all is well."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    cut_by_client: asyncio.Event = field(default_factory=asyncio.Event)
    resume: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    answer_tokens: int = 12
    one_write: bool = False
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> StandIn:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in list(self.writers):
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name
        }
        self.heads.append(headers)
        path = head[0].split(" ")[1]
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            writer.write(_whole(401, {"error": "Unauthorized"}))
            return True
        if path == "/v1/models":
            writer.write(_whole(200, {"object": "list", "data": [{"id": MODEL}]}))
            return True
        asked = json.loads(body)
        self.requests.append(asked)
        script = self.scripts.pop(0) if self.scripts else Script()
        if script.refuse:
            return False
        if script.raw is not None:
            writer.write(script.raw)
            await writer.drain()
            return False
        if script.status != 200:
            writer.write(_whole(script.status, {"error": {"message": "no", "code": script.status}}))
            return True
        if path == "/v1/embeddings":
            self.prompt_tokens += 3
            writer.write(_whole(200, {"data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}))
            return True
        watch = asyncio.ensure_future(reader.read(1))
        try:
            return await self._generate(path, asked, script, writer, watch)
        finally:
            if watch.done() and not watch.result():
                self.cut_by_client.set()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _generate(
        self,
        path: str,
        asked: dict[str, Any],
        script: Script,
        writer: asyncio.StreamWriter,
        watch: asyncio.Future[Any],
    ) -> bool:
        chat = path == "/v1/chat/completions"
        prompt = _prompt(asked, chat)
        so_far = tokens_of(prompt)
        prompt_tokens = len(so_far)
        most = asked.get("max_completion_tokens") or asked.get("max_tokens") or (None if chat else 16)
        limit = self.answer_tokens if most is None else min(most, self.answer_tokens)
        # An answer ends where it would have ended in one piece: the model knows by the text.
        written = asked.get("continue_final_message", False)
        total = self.answer_tokens - _already(asked, chat, written)
        count = min(limit, total) if most is not None else total
        reason = "length" if most is not None and most <= total else "stop"
        new: list[str] = []

        def prefilled() -> None:
            # As in vLLM, a prompt counts when it has brought the first token.
            if not counted:
                counted.append(True)
                self.prompt_tokens += prompt_tokens

        counted: list[bool] = []

        def made() -> None:
            prefilled()
            new.append(next_token([*so_far, *new]))
            self.completion_tokens += 1

        def usage() -> dict[str, int]:
            return {
                "prompt_tokens": prompt_tokens,
                "total_tokens": prompt_tokens + len(new),
                "completion_tokens": len(new),
            }

        if not asked.get("stream"):
            if script.stall_after is not None:
                self.reached.set()
                await asyncio.wait([watch])
                raise ConnectionResetError
            for _ in range(count):
                made()
            text = "".join(new)
            choice = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            writer.write(
                _whole(200, {"id": self.name, "choices": [{"index": 0, **choice}], "usage": usage()})
            )
            return True
        options = asked.get("stream_options") or {}
        continuous = script.usage and options.get("continuous_usage_stats")
        base = {
            "id": f"id-{self.name}-{len(self.requests)}",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": 1000 + len(self.requests),
            "model": MODEL,
        }

        def event(delta: dict[str, Any] | None, text: str, finish: str | None) -> bytes:
            choice: dict[str, Any] = {"index": 0}
            choice |= {"delta": delta} if chat else {"text": text}
            choice |= {"logprobs": None, "finish_reason": finish}
            chunk: dict[str, Any] = {**base, "choices": [choice]}
            if continuous:
                chunk["usage"] = usage()
            return _event(chunk)

        async def write(data: bytes) -> None:
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            if not self.one_write:
                await writer.drain()
                await asyncio.sleep(0)
            if watch.done():
                raise ConnectionResetError

        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        if chat:
            prefilled()
            await write(event({"role": "assistant", "content": ""}, "", None))
        if script.reasoning:
            await write(event({"reasoning_content": "hm"}, "", None))
        if script.tool_call:
            await write(event({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, "", None))
        for number in range(count + 1):
            if script.pause_after == number:
                self.reached.set()
                waiting: asyncio.Future[Any] = asyncio.ensure_future(self.resume.wait())
                await asyncio.wait([waiting, watch], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if watch.done():
                    raise ConnectionResetError
            if script.die_after == number:
                if script.half_event and number < count:
                    made()
                    whole = event({"content": new[-1]}, new[-1], None)
                    await write(whole[: whole.index(b'"logprobs"')])
                writer.write(b"")
                await writer.drain()
                return False
            if script.stall_after == number:
                self.reached.set()
                await asyncio.wait([watch])
                raise ConnectionResetError
            if script.garbage_after == number:
                await write(b"<html>\x00\xff</html>\n\n")
                return False
            if script.error_after == number:
                await write(_event({"error": {"message": "EngineDeadError", "code": 500}}))
                await write(b"data: [DONE]\n\n")
                return False
            if script.abort_after == number:
                prefilled()
                await write(event({}, "", "abort"))
                return False
            if number < count:
                made()
                await write(event({"content": new[-1]}, new[-1], None))
        await write(event({}, "", reason))
        if script.skip_done:
            return False
        if script.usage and options.get("include_usage"):
            await write(_event({**base, "choices": [], "usage": usage()}))
        await write(b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def _prompt(asked: dict[str, Any], chat: bool) -> str:
    if not chat:
        prompt = asked["prompt"]
        return str(prompt[0] if isinstance(prompt, list) and isinstance(prompt[0], str) else prompt)
    texts = []
    for message in asked["messages"]:
        content = message["content"]
        texts.append(content if isinstance(content, str) else "".join(part["text"] for part in content))
    if asked.get("continue_final_message"):
        assert asked["add_generation_prompt"] is False
        assert asked["messages"][-1]["role"] == "assistant"
        return " ".join(texts[:-1]) + " |" + texts[-1]
    return " ".join(texts) + " |"


def _already(asked: dict[str, Any], chat: bool, continued: bool) -> int:
    """Tokens of the answer that stand in the request already."""
    if chat and not continued:
        return 0
    text = _prompt(asked, chat)
    return len([token for token in tokens_of(text.partition(" |")[2]) if token]) if " |" in text else 0


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def _whole(status: int, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return (
        b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(data))
        + data
    )
