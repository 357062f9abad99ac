"""Takes secrets out of text before anybody reads it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping

MASK = "[removed]"
_SHORTEST = 6
"""Known values below this length are not searched for: they would hit ordinary words."""

_WORD = (
    r"(?:api[-_]?key|apikey|access[-_]?token|refresh[-_]?token|auth[-_]?token|token|secret|client[-_]?secret|"
    r"password|passwd|passphrase|private[-_]?key|credential|signature|x-amz-signature|[a-z0-9_]*_(?:key|token|secret|password))"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        MASK,
    ),
    (
        re.compile(r"(?i)\b(bearer|basic)(\s+|%20)(?!(?:token|auth\w*|key|scheme)s?\b)[^\s\"',;]+"),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?!bearer|basic)[^\s\"',;]+"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)(://)[^/\s:@\"']+:[^/\s@\"']+@"), rf"\1{MASK}@"),
    (re.compile(rf"(?i)(\b{_WORD}\b\\?[\"']?\s*[:=]\s*\\?[\"'])(?:[^\"'\\]|\\(?![\"']).)+"), rf"\1{MASK}"),
    (re.compile(rf"(?i)(\b{_WORD}\b\s*(?:=|:\s)\s*)[^\s\"'&,;\[\]]+"), rf"\1{MASK}"),
    # Keys whose shape gives them away, wherever they stand.
    (re.compile(r"\b(?:rpa|hf|sk|pk|ghp|gho|glpat|xox[abp]|dckr_pat)[-_][A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(r"\bAKIA[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
)
_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-auth-token"}
)

_lock = threading.Lock()
_known: frozenset[str] = frozenset()
_known_pattern: re.Pattern[str] | None = None


def remember(secret: str) -> None:
    """Removes this value from everything that `redact` sees from now on, in this process."""
    global _known, _known_pattern
    secret = secret.strip()
    if len(secret) < _SHORTEST or secret in _known:
        return
    with _lock:
        _known |= {secret}
        _known_pattern = _any_of(_known)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without keys, tokens, passwords and known secret values.

    Args:
        text: Anything that will be logged or raised.
        secrets: Further values to remove this once, such as a node's environment.
    """
    here = _any_of({value for value in secrets if len(value) >= _SHORTEST})
    if here is not None:
        text = here.sub(MASK, text)
    if _known_pattern is not None:
        text = _known_pattern.sub(MASK, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with those that carry credentials masked, and the rest redacted."""
    return {
        name: MASK if name.lower() in _SECRET_HEADERS else redact(value) for name, value in headers.items()
    }


def _any_of(values: Iterable[str]) -> re.Pattern[str] | None:
    # The longest first, so that a secret which contains another one is removed whole. Errors come as one
    # line, whatever line breaks a secret has.
    ordered = sorted((value for value in values if value.strip()), key=len, reverse=True)
    spelled = (r"\s+".join(re.escape(part) for part in value.split()) for value in ordered)
    return re.compile("|".join(spelled)) if ordered else None
