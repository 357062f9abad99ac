"""The backends that keep a stack's state: their URLs, and the passwords that may be in these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import yaml

POSTGRES = "postgres"
DIY = frozenset({"file", "s3", "gs", "azblob", POSTGRES})
"""Schemes of backends that are plain storage, in which the engine itself keeps locks.

Source: `BucketSchemes()` of `pkg/v3/backend/diy`, as `pulumi login nothing://` of 3.250 lists them.
"""

_MASK = "****"
_IN_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s]*@")
_IN_QUERY = re.compile(r"(?i)([?&](?:ssl)?password=)[^&\s\"']+")


def is_diy(url: str) -> bool:
    """Whether a backend is plain storage, so that locks of engines are objects in it."""
    return urlsplit(url).scheme in DIY


def hide_passwords(text: str) -> str:
    """A text without the passwords of the URLs in it; the rest of each URL stays.

    The engine itself prints a backend's whole URL where it can't open it.
    """
    return _IN_QUERY.sub(rf"\1{_MASK}", _IN_URL.sub(rf"\1:{_MASK}@", text))


def without_password(root: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the password of a PostgreSQL backend where the engine never prints it.

    The engine reads `PGPASSWORD`, as libpq does; it then does not know the password as part of a URL.

    Args:
        root: The project's folder.
        environment: In which `pulumi` is to run.

    Returns:
        The same environment, but for `PULUMI_BACKEND_URL` and `PGPASSWORD` where the URL has a password.
    """
    url = environment.get("PULUMI_BACKEND_URL") or _logged_in(root, environment)
    bare, password = split_password(url)
    if not password:
        return dict(environment)
    return {**environment, "PULUMI_BACKEND_URL": bare, "PGPASSWORD": password}


def split_password(url: str) -> tuple[str, str]:
    """A PostgreSQL URL without its password, and the password; any other URL as it is."""
    if not url.startswith(f"{POSTGRES}://"):
        return url, ""
    parts = urlsplit(url)
    user, found, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    # As the driver does: what the query says comes later, and so holds.
    for _key, value in (pair for pair in query if pair[0] == "password"):
        password = value
    if not password:
        return url, ""
    kept = urlencode([pair for pair in query if pair[0] != "password"])
    bare = urlunsplit((parts.scheme, f"{name}{found}{host}", parts.path, kept, parts.fragment))
    return bare, unquote(password)


def _logged_in(root: Path, environment: Mapping[str, str]) -> str:
    """The backend of the project, else the one of `pulumi login`; empty where neither says one."""
    try:
        project = yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8")) or {}
        if url := (project.get("backend") or {}).get("url"):
            return str(url)
        home = environment.get("PULUMI_HOME") or Path(environment.get("HOME", "")) / ".pulumi"
        folder = Path(environment.get("PULUMI_CREDENTIALS_PATH") or home)
        logins = json.loads((folder / "credentials.json").read_text(encoding="utf-8"))
        return str(logins.get("current") or "")
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return ""
