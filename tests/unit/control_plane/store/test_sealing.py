"""Upstream keys at rest."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.store.errors import SealError
from control_plane.store.sealing import KEY_FILE, Sealer, sealer

OLD, NEW = b"o" * 32, b"n" * 32


@given(st.text(), st.text())
def test_what_is_sealed_opens_under_its_name_alone(secret: str, name: str) -> None:
    seals = Sealer([OLD])
    sealed = seals.seal(secret, name)
    assert seals.open(sealed, name) == secret
    if secret:
        assert seals.seal(secret, name) != sealed, "a nonce is never used twice"
        with pytest.raises(SealError, match="was altered"):
            seals.open(sealed, name + "x")


def test_no_byte_can_be_altered() -> None:
    seals = Sealer([OLD])
    key_id, _, text = seals.seal("secret", "node").partition(":")
    raw = base64.b64decode(text)
    for at in range(len(raw)):
        altered = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(SealError, match="was altered"):
            seals.open(f"{key_id}:{base64.b64encode(altered).decode()}", "node")
    with pytest.raises(SealError, match="was altered"):
        seals.open(f"{key_id}:%", "node")


def test_a_key_is_changed_step_by_step(tmp_path: Path) -> None:
    before = sealer(OLD.hex(), tmp_path).seal("secret", "node")
    both = sealer(f"{NEW.hex()}, {base64.b64encode(OLD).decode()}", tmp_path)
    assert both.open(before, "node") == "secret"
    after = both.seal("secret", "node")
    assert sealer(NEW.hex(), tmp_path).open(after, "node") == "secret"
    with pytest.raises(SealError, match="GATEWAY_SECRET_KEY"):
        sealer(NEW.hex(), tmp_path).open(before, "node")


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    sealed = sealer("", folder).seal("secret", "node")
    assert sealer("", folder).open(sealed, "node") == "secret"
    assert [file.name for file in folder.iterdir()] == [KEY_FILE]
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", ["short", "zz" * 32, "é" * 64, "ab" * 31, OLD.hex() + ",", "A" * 100])
def test_wrong_keys_are_told_without_the_key(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SealError, match="must be 32 random bytes") as raised:
        sealer(wrong, tmp_path)
    assert wrong not in str(raised.value)


def test_a_damaged_key_file(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("half")
    with pytest.raises(SealError, match=r"the file secret\.key in the data folder must be"):
        sealer("", tmp_path)
