"""Whether the head of a node's answer is one that can be passed on."""

from __future__ import annotations

from control_plane.gateway.relaying.connection import Answer
from control_plane.gateway.relaying.lost import Answered4xx, Lost
from control_plane.gateway.relaying.upstream import read_all

_MOST_ERROR_BYTES = 1024 * 1024
_OF_THE_NODE = (401, 403, 408, 421, 429)
"""Not about the client's request but about the gateway's, or the node's load: another node may do."""


async def check(response: Answer, *, stream: bool) -> None:
    """Looks at status, type and encoding.

    Args:
        response: The answer, whose body was not read yet.
        stream: Whether it is to be a stream.

    Raises:
        Answered4xx: The node refuses the request; the client gets its words.
        Lost: The node has failed.
    """
    status = response.status
    if status in _OF_THE_NODE:
        raise Lost(f"it answered {status}", blamed=status in (401, 403))
    if 400 <= status < 500:
        body = await read_all(response, _MOST_ERROR_BYTES)
        kind = response.headers.get("content-type", "")
        if not kind.startswith("application/json") or response.headers.get("content-encoding"):
            raise Lost(f"it answered {status} with something else than JSON")
        raise Answered4xx(status, b"application/json", body)
    if status != 200:
        raise Lost(f"it answered {status}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Lost("an answer in an encoding that was not asked for")
    wanted = "text/event-stream" if stream else "application/json"
    if not response.headers.get("content-type", "").startswith(wanted):
        raise Lost(f"an answer that is no {wanted}")
