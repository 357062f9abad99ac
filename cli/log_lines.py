"""Lines of a node's log, made fit for a terminal."""

from __future__ import annotations

import re
from typing import Any

from cli.errors import REFUSED, CliError
from cli.state import Node
from gpu_clouds.models import LogLine
from gpu_clouds.redaction import redact

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


def no_logs(node: Node, title: str) -> CliError:
    """What to say where a cloud shows no log."""
    return CliError(
        f"{title} shows no log of a node; log in and look: `gpuplane ssh {node.name} -- "
        "sudo tail -n 100 /var/log/cloud-init-output.log` for the startup script, `-- sudo docker logs NAME` "
        "for a container",
        REFUSED,
    )
