"""What can happen to a try at a node."""

from __future__ import annotations


class Lost(Exception):
    """A node that did not answer as it should.

    Attributes:
        why: What happened, without content and without secrets.
        blamed: Whether the node's breaker counts it.
    """

    def __init__(self, why: str, *, blamed: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.blamed = blamed


class ClientGone(Exception):
    """The client has closed its connection."""


class Stopped(Exception):
    """The gateway is being stopped and the request's time is up."""


class Answered4xx(Exception):
    """A node refused the request as such; the client gets that.

    Attributes:
        status: HTTP status.
        content_type: Of the body.
        body: The node's.
    """

    def __init__(self, status: int, content_type: bytes, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.content_type = content_type
        self.body = body


class NotFaithful(Exception):
    """A stream that could not be continued without the client getting something else than it asked for."""
