"""Which resource plugins the packages of a virtual environment need."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plugin:
    """A resource plugin as a package's `pulumi-plugin.json` names it."""

    name: str
    version: str
    server: str


def plugins(prefix: Path) -> Iterator[Plugin]:
    """Reads `pulumi-plugin.json` of every package that is installed in a virtual environment.

    Args:
        prefix: the environment's folder. A file that isn't readable as such is passed over.
    """
    for file in sorted(prefix.glob("lib/python3*/site-packages/*/pulumi-plugin.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("resource") and content.get("name"):
            version = str(content.get("version") or "")
            yield Plugin(
                str(content["name"]),
                f"v{version.removeprefix('v')}" if version else "",
                str(content.get("server") or ""),
            )
