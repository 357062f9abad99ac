"""Lines of a node's log, made fit for a terminal."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import Any

from cli.errors import REFUSED, CliError
from cli.state import Node
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.models import LogLine
from gpu_clouds.redaction import redact

QUIET_S = 5.0
"""A log that says nothing for so long has told its past."""
_COLOUR = r"\x1b\[[0-9;]*m"
_CONTROL = re.compile(
    rf"(?P<colour>{_COLOUR})|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)


def as_text(line: LogLine) -> str:
    """A line for a person. Keys are removed, and what would do more to a terminal than colour text."""
    text = _CONTROL.sub(lambda found: found["colour"] or "", redact(line.text))
    head = " ".join(part for part in (line.at, line.source) if part)
    return f"{head} {text}" if head else text


def as_data(line: LogLine) -> dict[str, Any]:
    """A line as data; keys are removed here too."""
    return {"at": line.at, "source": line.source, "text": redact(line.text), "cursor": line.cursor}


def until_quiet(lines: Iterator[LogLine], quiet_s: float = QUIET_S) -> Iterator[LogLine]:
    """The lines of a stream that is followed, up to the first pause; no cloud says where its past ends.

    Args:
        lines: The stream.
        quiet_s: How long nothing may come, seconds.
    """
    queue: Queue[LogLine | GpuCloudError | None] = Queue()

    def read() -> None:
        try:
            for line in lines:
                queue.put(line)
        except GpuCloudError as error:
            queue.put(error)
        else:
            queue.put(None)

    # A daemon: it waits for a line that may never come, and nobody waits for it.
    threading.Thread(target=read, name="log", daemon=True).start()
    while True:
        try:
            item = queue.get(timeout=quiet_s)
        except Empty:
            return
        if item is None:
            return
        if isinstance(item, GpuCloudError):
            raise item
        yield item


def no_logs(node: Node, title: str) -> CliError:
    """What to say where a cloud shows no log."""
    return CliError(
        f"{title} shows no log of a node; log in and look: `gpuplane ssh {node.name} -- "
        "sudo tail -n 100 /var/log/cloud-init-output.log` for the startup script, `-- sudo docker logs NAME` "
        "for a container",
        REFUSED,
    )
