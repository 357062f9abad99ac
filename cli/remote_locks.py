"""Locks of a stack in a backend that is no folder: S3, Google Cloud Storage, Azure Blob, PostgreSQL.

No command of the engine lists them, but each that takes a lock says whose is in its way.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from cli.errors import CliError
from cli.locks import Lock
from cli.pulumi_cli import Pulumi, error_line

_LOCKED = "the stack is currently locked by"
_FREE = "already exists"
_UNKNOWN = "no stack named"
_LOCK = re.compile(
    r"^\s*(?P<where>\S+): created by (?P<user>.*)@(?P<host>[^@\s]+)"
    r" \(pid (?P<pid>\d+)\) at (?P<since>\S+)\s*$"
)
_CAUSE = re.compile(r".*(?:failed to ping PostgreSQL|failed to connect to PostgreSQL|\(code=\w+\)): ")


class Unanswered(CliError):
    """The backend can't be asked.

    Args:
        url: Where it is, without a password.
        reason: What the engine says about it.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the backend {url} does not answer: {reason}")
        self.reason = reason


def ask_locks(pulumi: Pulumi, url: str) -> list[Lock]:
    """All locks of a stack, oldest first.

    Asks for the stack to be renamed to the name that it has. The engine takes the lock for that, or says who
    has it, and then always refuses, because a stack of that name exists.

    Args:
        pulumi: The stack.
        url: Of the backend, without a password; for messages.

    Raises:
        Unanswered: The backend does not answer.
        CliError: There is no such stack in it.
    """
    code, text = pulumi.attempt("stack", "rename", pulumi.stack.rsplit("/", 1)[-1])
    if _LOCKED in text:
        found = [lock for line in text.splitlines() if (lock := _parsed(line)) is not None]
        # A lock that can't be read is somebody's.
        return sorted(found, key=lambda lock: lock.since) or [Lock(file=Path(), pid=0, host="")]
    if code == 0 or _FREE in text:
        return []
    if _UNKNOWN in text:
        raise CliError(error_line(text))
    raise Unanswered(url, _CAUSE.sub("", error_line(text)))


def _parsed(line: str) -> Lock | None:
    found = _LOCK.match(line)
    if found is None:
        return None
    return Lock(
        file=Path(urlsplit(found["where"]).path),
        pid=int(found["pid"]),
        host=found["host"],
        user=found["user"],
        since=found["since"],
    )
