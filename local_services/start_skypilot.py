"""Becomes a SkyPilot API server, after a word with its home. Run by the server's own Python, never imported.

    python start_skypilot.py --host 127.0.0.1 --port 46580

What is declared for ~/.sky/config.yaml lies in ~/.sky/gpuplane.json and is merged into it: the server keeps
workspaces there, which must outlive a restart. A password in GPUPLANE_BASIC_PASSWORD becomes the one of the
server's first user, also where that exists already: the server itself reads it at its very first start alone.

Facts about the server: sky/server/server.py, sky/users/permission.py, sky/global_user_state.py of 0.14.1.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

KEPT = "workspaces"
"""The part of its configuration that the server writes itself."""
ROUNDS = 20_000
"""Of the password's hash. The server computes it for every request and answers 503 when that takes too long;
with the library's usual 656,000 rounds it did, on a busy machine."""


def main() -> None:
    """Prepares the home, then becomes the server: same process, same pid."""
    sky = Path.home() / ".sky"
    sky.mkdir(mode=0o700, exist_ok=True)
    write_config(sky)
    variables = dict(os.environ)
    password = variables.pop("GPUPLANE_BASIC_PASSWORD", "")
    user = variables.pop("GPUPLANE_BASIC_USER", "")
    if password:
        hashed = importlib.import_module("passlib.hash").sha512_crypt.using(rounds=ROUNDS).hash(password)
        set_password(sky / "state.db", user, hashed)
        variables["SKYPILOT_INITIAL_BASIC_AUTH"] = f"{user}:{hashed}"
    # The server runs programs of its own environment, and ssh, by their names alone.
    own = str(Path(sys.executable).parent)
    variables["PATH"] = os.pathsep.join([own, variables.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    os.execve(sys.executable, [sys.executable, "-m", "sky.server.server", *sys.argv[1:]], variables)


def write_config(sky: Path) -> None:
    """Merges what is declared into the configuration.

    Args:
        sky: The folder `.sky`.
    """
    yaml: Any = importlib.import_module("yaml")
    place, declared_place, applied_place = (
        sky / name for name in ("config.yaml", "gpuplane.json", ".gpuplane-applied.json")
    )
    declared = _json(declared_place)
    found: dict[str, Any] = {}
    if place.exists():
        try:
            found = yaml.safe_load(place.read_text()) or {}
        except yaml.YAMLError:  # the server was killed while it wrote it, which it does in place
            place.replace(place.with_name("config.yaml.broken"))
    merged = merge(found, _json(applied_place), declared)
    if merged != found:
        new = place.with_name(".config.yaml.new")
        new.touch(mode=0o600)
        new.write_text(yaml.safe_dump(merged, sort_keys=False))
        new.replace(place)
    applied_place.write_text(json.dumps(sorted(declared)))


def merge(found: dict[str, Any], applied: Any, declared: dict[str, Any]) -> dict[str, Any]:
    """What is there, without what was declared before, with what is declared now.

    Args:
        found: The present configuration.
        applied: Names of the keys that were declared the last time.
        declared: What is declared; workspaces are joined with those that are there, everything else is set.
    """
    gone = {key for key in applied if key != KEPT}
    merged = {**{key: value for key, value in found.items() if key not in gone}, **declared}
    if KEPT in declared:
        merged[KEPT] = {**(found.get(KEPT) or {}), **declared[KEPT]}
    return merged


def set_password(database: Path, user: str, hashed: str) -> None:
    """Gives a user that exists another password; does nothing where there is none yet.

    Args:
        database: The server's own.
        user: Its name.
        hashed: The password's hash.
    """
    if not database.exists():
        return
    # The server derives its id from the name in this way; it is no secret.
    user_id = hashlib.md5(user.encode(), usedforsecurity=False).hexdigest()[:8]
    with contextlib.closing(sqlite3.connect(database)) as connection:
        with contextlib.suppress(sqlite3.OperationalError):  # no such table yet
            connection.execute("UPDATE users SET password = ? WHERE id = ?", (hashed, user_id))
        connection.commit()


def _json(place: Path) -> Any:
    try:
        return json.loads(place.read_text())
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    main()
