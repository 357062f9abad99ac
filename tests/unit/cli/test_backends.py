"""Passwords in the URLs of backends: where the engine gets them from, and that nobody reads them."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.backends import hide_passwords, is_diy, split_password, without_password
from cli.pulumi_cli import error_line

CANARY = "canary-9b2e64"
PROJECT = "name: gpuplane\nruntime: python\n"


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        (
            "postgres://me:p%40ss@db:5432/state?sslmode=require",
            "postgres://me@db:5432/state?sslmode=require",
            "p@ss",
        ),
        ("postgres://me@db/state?password=secret&table=t", "postgres://me@db/state?table=t", "secret"),
        ("postgres://me:old@db/state?password=new", "postgres://me@db/state", "new"),
        ("postgres://me@db/state", "postgres://me@db/state", ""),
        ("postgres://", "postgres://", ""),
        ("s3://bucket/folder?region=eu-central-1", "s3://bucket/folder?region=eu-central-1", ""),
        ("file:///var/state", "file:///var/state", ""),
    ],
)
def test_the_password_is_taken_out_of_a_url(url: str, bare: str, password: str) -> None:
    assert split_password(url) == (bare, password)


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_any_password_comes_out_as_it_was(password: str) -> None:
    url = f"postgres://me:{quote(password, safe='')}@db:5432/state"
    assert split_password(url) == ("postgres://me@db:5432/state", password)
    assert hide_passwords(f"can not open {url}: refused") == (
        "can not open postgres://me:****@db:5432/state: refused"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"error: unable to open bucket postgres://me:{CANARY}@db/state?sslmode=disable: failed to ping",
        f"error: postgres://me:a@{CANARY}@db/state",
        f"error: unable to open bucket postgres://me@db/state?password={CANARY}&table=t: no",
        f"error: postgres://me@db/state?table=t&sslpassword={CANARY}",
        f"error: POSTGRES://:{CANARY}@db",
    ],
)
def test_no_error_line_has_a_password(text: str) -> None:
    shown = error_line(text)
    assert CANARY not in shown
    assert "****" in shown


@pytest.mark.parametrize("text", ["at 10:20 me@host said so", "https://host:443/a@b", "a file:///x/y:z"])
def test_other_text_stays(text: str) -> None:
    assert hide_passwords(text) == text


def test_the_engine_gets_the_password_beside_the_url(tmp_path: Path) -> None:
    given_ = {"PULUMI_BACKEND_URL": f"postgres://me:{CANARY}@db/state", "PGPASSWORD": "another", "X": "1"}
    assert without_password(tmp_path, given_) == {
        "PULUMI_BACKEND_URL": "postgres://me@db/state",
        "PGPASSWORD": CANARY,
        "X": "1",
    }


@pytest.mark.parametrize("url", ["file:///var/state", "s3://bucket", "postgres://me@db/state"])
def test_an_environment_without_a_password_stays(tmp_path: Path, url: str) -> None:
    given_ = {"PULUMI_BACKEND_URL": url, "PGPASSWORD": "mine"}
    assert without_password(tmp_path, given_) == given_


def login(folder: Path, url: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "credentials.json").write_text(json.dumps({"current": url, "accounts": {url: {}}}))


@pytest.mark.parametrize("variable", ["HOME", "PULUMI_HOME", "PULUMI_CREDENTIALS_PATH"])
def test_a_login_with_a_password_is_found(tmp_path: Path, variable: str) -> None:
    login(tmp_path / (".pulumi" if variable == "HOME" else ""), f"postgres://me:{CANARY}@db/state")
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    found = without_password(tmp_path, {variable: str(tmp_path)})
    assert (found["PULUMI_BACKEND_URL"], found["PGPASSWORD"]) == ("postgres://me@db/state", CANARY)


def test_the_projects_own_backend_comes_before_a_login(tmp_path: Path) -> None:
    login(tmp_path, f"postgres://me:{CANARY}@db/state")
    environment = {"PULUMI_HOME": str(tmp_path)}
    (tmp_path / "Pulumi.yaml").write_text(f"{PROJECT}backend:\n  url: s3://bucket\n")
    assert without_password(tmp_path, environment) == environment
    (tmp_path / "Pulumi.yaml").write_text(f"{PROJECT}backend:\n  url: postgres://you:other@db/state\n")
    assert without_password(tmp_path, environment)["PGPASSWORD"] == "other"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"current": null}'])
def test_a_login_that_can_not_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials.json").write_text(text)
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    environment = {"PULUMI_HOME": str(tmp_path)}
    assert without_password(tmp_path, environment) == environment


def test_which_backends_are_plain_storage() -> None:
    urls = ["file://~", "s3://b", "gs://b", "azblob://c", "postgres://db/x"]
    assert all(is_diy(url) for url in urls)
    assert {urlsplit(url).scheme for url in urls} == {"file", "s3", "gs", "azblob", "postgres"}
    assert not is_diy("https://api.pulumi.com")
