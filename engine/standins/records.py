"""What the cache knows of official plugins: the downloaded ones, and the downloads that were refused."""

import json
import os
from pathlib import Path

#: A network that was closed may be open tomorrow: a refusal counts for this many seconds.
KEPT_SECONDS = 24 * 3600.0


def kept(root: Path, package: str, version: str) -> Path:
    """The home in the cache that holds the downloaded plugin, whether it is there or not."""
    return root / f"plugin-{package}-{version}"


def refusal(root: Path, package: str, version: str) -> tuple[str, float]:
    """Why the last download failed, and when (seconds since 1970); empty when none did."""
    try:
        document = json.loads(_file(root, package, version).read_text())
        return str(document["reason"]), float(document["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0.0


def refused_lately(root: Path, package: str, version: str, now: float) -> bool:
    """Whether a download failed less than a day before `now` (seconds since 1970)."""
    reason, at = refusal(root, package, version)
    return bool(reason) and 0 <= now - at < KEPT_SECONDS


def write(root: Path, package: str, version: str, reason: str, now: float) -> None:
    """Keeps a refusal; an empty reason forgets it."""
    file = _file(root, package, version)
    if not reason:
        file.unlink(missing_ok=True)
        return
    root.mkdir(parents=True, exist_ok=True)
    work = file.with_name(f"{file.name}.{os.getpid()}")
    work.write_text(json.dumps({"reason": reason, "at": now}))
    work.replace(file)


def _file(root: Path, package: str, version: str) -> Path:
    return root / f"plugin-{package}-{version}.refused.json"
