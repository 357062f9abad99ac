"""Whether a node can answer: a real token, not only a process that lives."""

from __future__ import annotations

import asyncio

import msgspec

from control_plane.gateway.call import Endpoint
from control_plane.gateway.declared import Node
from control_plane.gateway.relaying.chunks import NodeUsage, usage_of_answer
from control_plane.gateway.relaying.lost import Lost
from control_plane.gateway.relaying.upstream import Upstream, read_all
from control_plane.gateway.routing.probes import Probed

PROBE = "gateway-probe"
"""The `user` of a probe, and its request id: by it a node's own log tells probes from requests."""
_MOST_BYTES = 4 * 1024 * 1024


class _Model(msgspec.Struct):
    id: str = ""


class _Models(msgspec.Struct):
    data: list[_Model] = msgspec.field(default_factory=list)


_models = msgspec.json.Decoder(_Models).decode


class NodeProbe:
    """Asks a node for its models and for one token.

    Args:
        upstream: Connections.
        limit_s: How long all of it may take, seconds.
    """

    def __init__(self, upstream: Upstream, limit_s: float) -> None:
        self._upstream = upstream
        self._limit_s = limit_s

    async def __call__(self, node: Node) -> Probed:
        """What it finds; a failure is never raised."""
        try:
            async with asyncio.timeout(self._limit_s):
                model = await self._find_model(node)
                return await self._one_token(node, model)
        except Lost as lost:
            return Probed(lost.why)
        except TimeoutError:
            return Probed("no answer to a probe in time")

    async def _find_model(self, node: Node) -> str:
        status, body = await self._asked(node)
        if status != 200:
            raise Lost(f"/v1/models answers {status}")
        try:
            served = {model.id for model in _models(body).data}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Lost("/v1/models answers something else than models") from None
        for model in node.models:
            if model in served:
                return model
        raise Lost("it serves none of its declared models")

    async def _asked(self, node: Node) -> tuple[int, bytes]:
        response = await self._upstream.get(node, "/v1/models")
        try:
            return response.status, await read_all(response, _MOST_BYTES)
        finally:
            response.close()

    async def _one_token(self, node: Node, model: str) -> Probed:
        body = msgspec.json.encode({"model": model, "prompt": "Hi", "max_tokens": 1, "user": PROBE})
        response = await self._upstream.post(node, Endpoint.COMPLETIONS, body, PROBE)
        try:
            answer = await read_all(response, _MOST_BYTES)
        finally:
            response.close()
        if response.status in (401, 403) or response.status >= 500 or 300 <= response.status < 400:
            raise Lost(f"a probe is answered {response.status}")
        if response.status != 200:
            # A model for embeddings has no completions; its server lives, which is all that can be said.
            return Probed()
        usage = usage_of_answer(answer) or NodeUsage()
        return Probed("", usage.prompt_tokens, usage.completion_tokens or 0)
