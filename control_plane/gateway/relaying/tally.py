"""Tokens of one request over all the nodes that have answered it."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from control_plane.gateway.call import Usage
from control_plane.gateway.relaying.chunks import NodeUsage, decode_usage


class NodeTally:
    """What one node has counted, as far as it has said so.

    `raw` is what stood in the last event, unread: it is read when it is needed.
    """

    __slots__ = ("by_choice", "extra", "last", "raw", "texts")

    def __init__(self) -> None:
        self.raw = b""
        self.last: NodeUsage | None = None
        """The node's own sum, from the end of its answer."""
        self.by_choice: dict[int, NodeUsage] = {}
        """For several choices, each of which has its own count until the end."""
        self.texts = 0
        """Events with a choice: what is counted where the node says nothing."""
        self.extra = 0
        """Tokens that it must have counted, and that the client has not got: those of half an event."""

    def usage(self) -> NodeUsage | None:
        """What the node has said; None: nothing."""
        if self.last is not None:
            return self.last
        if self.by_choice:
            every = self.by_choice.values()
            return NodeUsage(
                max(each.prompt_tokens for each in every), sum(each.completion_tokens or 0 for each in every)
            )
        if not self.raw:
            return None
        try:
            return decode_usage(self.raw)
        except msgspec.MsgspecError:
            return None


class Tally:
    """All nodes of a request.

    Args:
        prompt_estimate: Tokens of the prompt as estimated, for nodes that say nothing.
    """

    __slots__ = ("_estimate", "_sum", "_unknown_prompts", "node")

    def __init__(self, prompt_estimate: int) -> None:
        self._estimate = prompt_estimate
        self._sum = Usage()
        self._unknown_prompts = 0
        """Nodes lost in their first event: they had the same prompt as the next one."""
        self.node = NodeTally()
        """The one that answers now."""

    def next_node(self, *, got_nothing: bool = False) -> None:
        """The one that has answered until now is lost.

        Args:
            got_nothing: Whether nothing of its text has reached the client, so that it is not billed.
        """
        self._sum = self._added(got_nothing=got_nothing)
        if self.node.texts or self.node.usage() is not None:
            self._unknown_prompts = 0
        elif self.node.extra:
            self._unknown_prompts += 1
        self.node = NodeTally()

    def total(self) -> Usage:
        """All of it."""
        return self._added()

    def left(self) -> Usage:
        """All of it, when the client goes while a node is being asked.

        The node may have read the prompt, and counted more than it had sent by then.
        """
        found = self._added()
        if self.node.usage() is None and not self.node.texts:
            found = replace(
                found,
                engine_prompt=found.engine_prompt + self._estimate,
                prompt=found.prompt or self._estimate,
            )
        return replace(found, estimated=True)

    def tokens(self) -> int:
        """Tokens that the client has got."""
        return self._added().completion

    def _added(self, *, got_nothing: bool = False) -> Usage:
        node, before = self.node, self._sum
        said = node.usage()
        if said is None and not node.texts:
            # It has not begun to answer, or was lost in its first event.
            return replace(before, engine_completion=before.engine_completion + node.extra)
        estimated = before.estimated or said is None
        prompt = said.prompt_tokens if said is not None else self._estimate
        completion = (said.completion_tokens or 0) if said is not None else node.texts
        first = not before.engine_prompt
        return Usage(
            engine_prompt=before.engine_prompt + prompt * (1 + self._unknown_prompts),
            engine_completion=before.engine_completion + completion + node.extra,
            prompt=prompt if first else before.prompt,
            completion=before.completion + (0 if got_nothing else completion),
            cached_prompt=(said.cached if said is not None else 0) if first else before.cached_prompt,
            estimated=estimated,
        )
