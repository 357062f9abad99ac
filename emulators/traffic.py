"""Traffic to a node that serves the model: its faults, its speed, and its end in the middle of an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request, Stream, html_response
from emulators.openai_api import ModelServer


def error_page(status: int) -> Answer:
    """A web page that says no more than its status."""
    return html_response(status, str(status), "emulated node")


@dataclass(frozen=True, slots=True)
class ServingNode:
    """What a request to a node needs to know of it.

    Attributes:
        cloud: Name of its cloud.
        name: Its name, which faults may be for.
        account: Whose it is.
        model: Name of the model that it says it serves.
        api_key: The key that it wants; empty: none.
        alive: Whether it still serves, asked before each piece of a stream.
        tokens_per_s: Speed of its streams; 0: as fast as it can.
        served: Called when the model gets the request, past all faults.
        page: The page of its cloud for a status.
    """

    cloud: str
    name: str
    account: str
    model: str
    api_key: str
    alive: Callable[[], bool]
    tokens_per_s: Callable[[], float]
    served: Callable[[], None] = lambda: None
    page: Callable[[int], Answer] = error_page


async def serve(frame: Frame, request: Request, path: str, node: ServingNode) -> Answer:
    """Answers a request to a node, as far as faults let it.

    Args:
        frame: Clock and faults.
        request: The request; its account is set here.
        path: The path on the node.
        node: The node.

    Raises:
        CutConnection: The client gets no (further) answer.
    """
    request.account = node.account

    def fault(kind: str) -> Fault | None:
        return frame.faults.take(
            kind,
            cloud=node.cloud,
            method=request.method,
            path=request.path,
            name=node.name,
            account=node.account,
        )

    if hit := fault("node_slow"):
        await frame.clock.sleep(hit.number("seconds", 5))
    if hit := fault("node_hang"):
        await frame.clock.sleep(hit.number("seconds", 600))
        raise CutConnection
    if hit := fault("node_error"):
        return node.page(int(hit.number("status", 500)))
    cut_after: int | None = None
    if hit := fault("node_cut"):
        cut_after = int(hit.number("after_chunks", 0))
        if not cut_after:
            raise CutConnection
    node.served()
    answer = ModelServer(node.model, node.api_key, frame.clock.now()).answer(request, path)
    if isinstance(answer, Stream):
        answer.chunks = _paced(frame, answer.chunks, node, cut_after)
    return answer


async def _paced(
    frame: Frame, chunks: AsyncIterator[bytes], node: ServingNode, cut_after: int | None
) -> AsyncIterator[bytes]:
    """Passes pieces on at the set speed; cuts the connection where the node has ended meanwhile."""
    sent = 0
    async for chunk in chunks:
        if cut_after is not None and sent >= cut_after:
            raise CutConnection
        if speed := node.tokens_per_s():
            await frame.clock.sleep(1 / speed)
        if not node.alive():
            raise CutConnection
        yield chunk
        sent += 1
