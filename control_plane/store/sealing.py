"""Upstream keys at rest: AES-256-GCM, so that a dump of the database alone opens no node."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.store.errors import SealError

KEY_BYTES = 32
KEY_FILE = "secret.key"
_NONCE_BYTES = 12


class Sealer:
    """Seals and opens short secrets.

    A sealed secret is `KEYID:BASE64(nonce + ciphertext)`; it opens only under the name that it was sealed
    under, so that a row's secret cannot be moved to another row.

    Args:
        keys: 32 bytes each. The first seals; all of them open, so that a key can be changed step by step.
    """

    def __init__(self, keys: list[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def seal(self, secret: str, name: str) -> str:
        """The secret, sealed; empty stays empty."""
        if not secret:
            return ""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, secret.encode(), name.encode())
        return f"{self._current}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, name: str) -> str:
        """The secret.

        Raises:
            SealError: It was sealed with a key that is not here, or under another name.
        """
        if not sealed:
            return ""
        key_id, _, text = sealed.partition(":")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealError(
                f"the upstream key of {name!r} was sealed with the key {key_id}, which is not here: "
                f"give every replica the same GATEWAY_SECRET_KEY (here: {', '.join(self._ciphers)})"
            )
        try:
            raw = base64.b64decode(text, validate=True)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], name.encode()).decode()
        except (InvalidTag, ValueError):
            raise SealError(f"the upstream key of {name!r} was altered in the database") from None


def sealer(setting: str, data_dir: Path) -> Sealer:
    """The sealer of this replica.

    Args:
        setting: `GATEWAY_SECRET_KEY`: 32 random bytes as 64 hex digits or base64; of several with commas
            between, the first seals.
        data_dir: Where a key is made and kept (readable by its owner alone) where none is set.

    Raises:
        SealError: The setting or the file is malformed.
    """
    if setting:
        return Sealer([_parsed(part.strip(), "GATEWAY_SECRET_KEY") for part in setting.split(",")])
    return Sealer([_parsed(_kept(data_dir / KEY_FILE), f"the file {KEY_FILE} in the data folder")])


def _kept(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(secrets.token_hex(KEY_BYTES))
            out.flush()
            os.fsync(out.fileno())
        try:
            # Of two processes that start together, the first wins and both read its key.
            os.link(made, file)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return file.read_text(encoding="ascii").strip()


def _parsed(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, altchars=b"-_")
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(f"{where} must be 32 random bytes as 64 hex digits or base64 (openssl rand -hex 32)")
    return key


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"gpuplane key id" + key).hexdigest()[:8]
