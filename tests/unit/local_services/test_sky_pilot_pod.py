"""What a pod does to the server's home before it becomes the server."""

from __future__ import annotations

import importlib
import json
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from local_services import sky_pilot_pod
from local_services.sky_pilot_pod import copy_files, in_database, move_away, prepare, run

NOTHING: dict[str, Any] = {
    "config": {},
    "server": {},
    "files": [],
    "commands": [],
    "user": "",
    "arguments": ["--deploy"],
}


@pytest.fixture(autouse=True)
def passlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image brings it."""
    hashing = SimpleNamespace(hash=lambda word: f"hash of {len(word)}'s")
    found = SimpleNamespace(sha512_crypt=SimpleNamespace(using=lambda rounds: hashing))
    real = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda name: found if name == "passlib.hash" else real(name)
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    return place


def test_every_start_merges_and_removes_what_is_declared_no_more(home):
    prepare({**NOTHING, "config": {"allowed_clouds": ["aws"], "jobs": {"a": 1}}}, home, {})
    place = home / ".sky" / "config.yaml"
    stored = yaml.safe_load(place.read_text())
    place.write_text(yaml.safe_dump({**stored, "workspaces": {"team": {}}, "aws": {"b": 2}}))
    prepare({**NOTHING, "config": {"allowed_clouds": ["gcp"]}}, home, {})
    assert yaml.safe_load(place.read_text()) == {
        "allowed_clouds": ["gcp"],
        "workspaces": {"team": {}},
        "aws": {"b": 2},
    }


def test_the_servers_settings_and_the_password(home):
    declared = {**NOTHING, "server": {"auth": {"external_proxy": {"enabled": False}}}, "user": "admin"}
    variables = prepare(declared, home, {"GPUPLANE_BASIC_PASSWORD": "long-password", "A": "b"})
    assert variables == {"A": "b", "SKYPILOT_INITIAL_BASIC_AUTH": "admin:hash of 13's"}
    assert yaml.safe_load((home / ".sky" / ".server.yaml").read_text()) == declared["server"]
    assert "long-password" not in "".join(path.read_text() for path in home.rglob("*") if path.is_file())


def test_files_are_copied_for_this_user_alone_and_go_with_their_declaration(tmp_path, home):
    (tmp_path / "key").write_text("secret\n")
    (tmp_path / "id").write_text("name")
    text = "[default]\nid = <id>\nkey = <key>\n"
    sources = {"id": f"{tmp_path}/id", "key": f"{tmp_path}/key"}
    both = {"to": ".aws/credentials", "from": sources, "text": text}
    plain = {"to": ".ssh/key", "from": {"file-0": f"{tmp_path}/key"}}
    record = home / "record.json"
    for _ in range(2):
        copy_files([both, plain], home, record)
        assert (home / ".aws/credentials").read_text() == "[default]\nid = name\nkey = secret\n"
        assert (home / ".ssh/key").read_text() == "secret\n"
        assert stat.S_IMODE((home / ".ssh/key").stat().st_mode) == 0o600
    copy_files([both], home, record)
    assert not (home / ".ssh/key").exists() and (home / ".aws/credentials").exists()
    record.write_text("{half")
    copy_files([plain], home, record)
    assert (home / ".ssh/key").exists()


def test_a_login_that_fails_keeps_no_server_from_starting(home, capfd):
    run([["false", "auth"], ["no-such-program", "auth"], ["touch", "here"]], home)
    assert (home / "here").exists()
    said = capfd.readouterr().err
    assert "false auth: status 1; its cloud is off" in said
    assert "no-such-program auth: [Errno 2]" in said


def test_a_configuration_of_the_time_before_the_database_moves(home):
    place = home / "config.yaml"
    assert move_away(place) == {}
    place.write_text("db: postgresql://x\nallowed_clouds: [aws]\n")
    assert move_away(place) == {"allowed_clouds": ["aws"]}
    assert not place.exists() and (home / "config.yaml.before-database").exists()


@pytest.fixture
def started(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Runs as the pod runs it; what it became."""
    became: list[Any] = []
    monkeypatch.setattr(os, "execvpe", lambda *words: became.append(words))
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "declared.json").write_text(json.dumps({**NOTHING, "user": "admin"}))
    monkeypatch.setenv("GPUPLANE_BASIC_PASSWORD", "long-password")
    return became


def test_it_becomes_the_server(started, home, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pod"])
    sky_pilot_pod.main()
    ((program, words, variables),) = started
    assert (program, words) == ("sky", ["sky", "api", "start", "--deploy"])
    assert "GPUPLANE_BASIC_PASSWORD" not in variables
    assert Path.cwd() == home


def test_a_shell_is_told_what_to_set(started, capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pod", "shell"])
    sky_pilot_pod.main()
    lines = capfd.readouterr().out.splitlines()
    assert started == []
    assert lines == [
        """export SKYPILOT_INITIAL_BASIC_AUTH='admin:hash of 13'"'"'s'""",
        "unset GPUPLANE_BASIC_PASSWORD",
    ]


class Rows:
    """The two tables, for the few statements that are sent to them."""

    def __init__(self, config: dict[str, str]) -> None:
        self.config, self.passwords = config, {"21232f29": "old", "other": "old"}

    def execute(self, statement: str, values: dict[str, str]) -> Any:
        verb = statement.split()[0]
        if verb == "SELECT":
            row = self.config.get(values["key"])
            return SimpleNamespace(first=lambda: None if row is None else (row,))
        if verb == "DELETE":
            self.config.pop(values["key"], None)
        elif verb == "INSERT":
            self.config[values["key"]] = values["value"]
        elif values["id"] in self.passwords:
            self.passwords[values["id"]] = values["password"]
        return None

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_with_a_database_the_configuration_is_there(monkeypatch):
    rows = Rows({})
    engine = SimpleNamespace(begin=lambda: rows, dispose=lambda: None)
    sql = SimpleNamespace(
        create_engine=lambda uri: engine,
        text=str,
        inspect=lambda engine: SimpleNamespace(has_table=lambda name: name == "users"),
    )
    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: sql if name == "sqlalchemy" else real(name))

    def merged(moved: dict[str, Any], declared: dict[str, Any]) -> Any:
        in_database("postgresql://x", moved, declared, "admin", "hash")
        return yaml.safe_load(rows.config["api_server_config"])

    assert merged({"workspaces": {"a": {}}}, {"jobs": 1}) == {"workspaces": {"a": {}}, "jobs": 1}
    assert merged({"ignored": 1}, {"aws": 2}) == {"workspaces": {"a": {}}, "aws": 2}
    assert sorted(rows.passwords.values()) == ["hash", "old"]
