"""API keys: how they are made, and which one a client has sent."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import sha256

from control_plane.gateway.declared import ApiKey, Declared
from control_plane.gateway.errors import invalid_key, not_allowed, unknown_model

BEGINNING = "gp-"
_PREFIX_LENGTH = len(BEGINNING) + 8
#: Longer ones are not even hashed: a key that we make has 46 characters.
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only time that it can be seen.

    Attributes:
        secret: The key itself, for its owner.
        sha256: What is stored of it, hex.
        prefix: What is shown of it.
    """

    secret: str = field(repr=False)
    sha256: str
    prefix: str


def new_key() -> NewKey:
    """Makes a key of 256 random bits: `gp-` and 43 characters of base64url."""
    secret = BEGINNING + secrets.token_urlsafe(32)
    return NewKey(secret, digest(secret), secret[:_PREFIX_LENGTH])


def digest(secret: str) -> str:
    """What is stored of a key: its SHA-256, hex. It needs no slow hash, because it can't be guessed."""
    return sha256(secret.encode()).hexdigest()


class KeyTable:
    """All keys, by their hash. Knows nothing of keys that are not declared: unknown ones leave no trace."""

    def __init__(self) -> None:
        self._keys: dict[bytes, ApiKey] = {}

    def update(self, declared: Declared) -> None:
        """Takes over the keys that are declared now, all at once.

        Raises:
            ValueError: The hash of one is none; then the earlier ones stay.
        """
        keys: dict[bytes, ApiKey] = {}
        for key in declared.keys:
            try:
                hashed = bytes.fromhex(key.sha256)
            except ValueError:
                hashed = b""
            if len(hashed) != 32:
                raise ValueError(f"key {key.id}: sha256 must have 64 hexadecimal digits")
            keys[hashed] = key
        self._keys = keys

    def lookup(self, secret: bytes, now: float) -> ApiKey | None:
        """The key, if it is known, not revoked and not expired.

        Args:
            secret: What the client has sent as its key.
            now: Seconds since the epoch.
        """
        if len(secret) > _LONGEST:
            return None
        key = self._keys.get(sha256(secret).digest())
        if key is None or key.revoked or (key.expires_at and now >= key.expires_at):
            return None
        return key

    def find(self, secret: bytes, now: float) -> ApiKey:
        """The key.

        Args:
            secret: What the client has sent as its key; empty for none.
            now: Seconds since the epoch.

        Raises:
            Refused: 401; the same for none, an unknown one, a revoked one and an expired one.
        """
        key = self.lookup(secret, now)
        if key is None:
            raise invalid_key()
        return key


def require(key: ApiKey, scope: str, model: str = "") -> None:
    """Whether a key may do this.

    Args:
        key: The key.
        scope: `inference` or `models`.
        model: Name of a model; empty for none.

    Raises:
        Refused: 403 for a scope that it lacks; 404 for a model that it may not use, as if there were none.
    """
    if scope not in key.scopes:
        raise not_allowed(f"This API key may not be used for {scope}.")
    if model and key.models and model not in key.models:
        raise unknown_model(model)
