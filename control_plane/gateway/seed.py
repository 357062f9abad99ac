"""The seed: a file with tenants, keys, nodes and models that are put into the store at start."""

from __future__ import annotations

from pathlib import Path

from control_plane.gateway.checks import Wrong, check, decode
from control_plane.gateway.declared import Declared
from control_plane.settings import SettingsError


def read_seed(file: Path) -> Declared:
    """What a seed file declares.

    Args:
        file: JSON in the form of `declared.Declared`.

    Raises:
        SettingsError: It cannot be read, or makes no sense; names the file and the JSON path.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"GATEWAY_SEED: {file} cannot be read: {error.strerror}") from None
    try:
        declared = decode(text, Declared)
        check(declared)
    except Wrong as wrong:
        raise SettingsError(f"GATEWAY_SEED: {file}: {wrong}") from None
    return declared
