"""No secret in plain text: what is not marked as one lies open in the state."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import Severity

from policies.reading import Path, Seen, text
from policies.rules import resource_policy
from stack_config.policies import Rule, Stage

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset({"password", "passwd", "passphrase", "secret", "token"})
_SECRET_KEYS = frozenset({"access", "account", "api", "auth", "encryption", "license", "private", "signing"})
"""Before `key`."""

_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bhf_[A-Za-z0-9]{20,}"
    r"|\brpa_[A-Za-z0-9]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bpul-[0-9a-f]{40}\b"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."
    r"|\b[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@$]+@"
)
"""Texts that are keys whatever they are called: of OpenAI, GitHub, Hugging Face, RunPod, AWS, Slack, Pulumi,
JSON web tokens, private keys, and URLs with a password."""

_REFERENCES = ("Ref", "Reference", "ValueFrom")
"""Ends of keys under which a secret is named, not given: `secretKeyRef`, `valueFrom`."""

_CONFIGURED = "pulumi:providers:pulumi-python"
"""Gets the stack's configuration, which `stack_config` checks for secrets in clear text."""


def look(resource: Seen, limits: Rule, stage: Stage) -> Iterator[str]:
    """Reports properties that look like secrets and are not marked as such; by their path alone."""
    if resource.type == _CONFIGURED:
        return
    for path in open_secrets(resource.props, resource.hidden):
        yield f"has a secret in plain text at {path}"


def open_secrets(props: Any, hidden: frozenset[Path], here: Path = ()) -> Iterator[str]:
    """Paths of what looks like a secret and is none.

    Args:
        props: Properties, or a part of them.
        hidden: Paths that are marked as secrets.
        here: Path of the part.
    """
    if here in hidden:
        return
    if isinstance(props, Mapping):
        named = props.get("name")
        is_open = text(props.get("value")) and (*here, "value") not in hidden
        if is_open and isinstance(named, str) and says_secret(named):  # a variable of a container
            yield _words((*here, "value"), named)
            return
        for key, value in props.items():
            if not key.endswith(_REFERENCES) and not key.startswith("__"):
                yield from open_secrets(value, hidden, (*here, key))
    elif isinstance(props, list):
        for index, value in enumerate(props):
            yield from open_secrets(value, hidden, (*here, index))
    elif isinstance(props, str) and props:
        key = here[-1] if here else ""
        if (isinstance(key, str) and says_secret(key)) or _SHAPES.search(props):
            yield _words(here)


def says_secret(key: str) -> bool:
    """Whether a key of this name holds a secret: `HF_TOKEN`, `apiKey`; not `secretName`, `tokenUrl`."""
    words = [word.lower() for word in _WORDS.findall(key)]
    if not words:
        return False
    return words[-1] in _SECRET_WORDS or (words[-1] == "key" and bool(set(words[:-1]) & _SECRET_KEYS))


def _words(path: Path, named: str = "") -> str:
    """`spec.containers[0].env[2].value (HF_TOKEN)`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".") + (f" ({named})" if named else "")


policy = resource_policy(
    "plaintext-secrets",
    Rule,
    look,
    display_name="No secret in plain text",
    description="Secrets are marked as such, so that state and output hold them encrypted.",
    severity=Severity.CRITICAL,
    remediation_steps="set it with `config set --secret`, wrap it in pulumi.Output.secret, or name a Secret.",
)
