"""The certificate that a server on a node would find: its options, and the file that a script writes for it.

Nothing is run: a line like `printf %s "$NAME" | base64 -d > /path` is read as what it does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

NO_SERVER = "none"
"""The server is told of a file that is not there: it does not start."""
_WRITES = re.compile(r"""printf %s "\$(?P<name>\w+)" \| base64 -d > (?P<path>/[\w./-]+)""")
_OPTIONS = ("--ssl-keyfile", "--ssl-certfile")


def served_certificate(
    script: str, env: Mapping[str, str], words: Sequence[str], mounts: Mapping[str, str] | None = None
) -> str:
    """Key and certificate (PEM) that the server uses; empty: it speaks plain http; or `NO_SERVER`.

    Args:
        script: What runs before it.
        env: Variables of the script.
        words: Arguments of the server.
        mounts: Path inside the server's container -> path where the script writes; None: there is no other.
    """
    named = [_value(words, option) for option in _OPTIONS]
    if not any(named):
        return ""
    written = {found["path"]: env.get(found["name"], "") for found in _WRITES.finditer(script)}
    texts = []
    for path in named:
        place = path if mounts is None else mounts.get(path, "")
        try:
            texts.append(base64.b64decode(written.get(place, ""), validate=True).decode())
        except (binascii.Error, ValueError):
            return NO_SERVER
    key, certificate = texts
    good = "PRIVATE KEY" in key and "BEGIN CERTIFICATE" in certificate
    return (key if key == certificate else key + certificate) if good else NO_SERVER


def _value(words: Sequence[str], option: str) -> str:
    for index, word in enumerate(words):
        if word == option and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""
