"""What is done to the home of a SkyPilot server before it starts."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from local_services import start_skypilot
from local_services.start_skypilot import merge, set_password, write_config


def declare(sky: Path, config: dict[str, Any]) -> Any:
    (sky / "gpuplane.json").write_text(json.dumps(config))
    write_config(sky)
    return yaml.safe_load((sky / "config.yaml").read_text()) if (sky / "config.yaml").exists() else None


def test_workspaces_and_foreign_keys_stay_and_declared_keys_go(tmp_path):
    assert declare(tmp_path, {}) is None
    assert declare(tmp_path, {"allowed_clouds": ["slurm"], "jobs": {"a": 1}}) == {
        "allowed_clouds": ["slurm"],
        "jobs": {"a": 1},
    }
    # The server, and a person, write into it too.
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "allowed_clouds": ["slurm"],
                "jobs": {"a": 1},
                "kubernetes": {"b": 2},
                "workspaces": {"team-a": {"private": True}, "default": {}},
            }
        )
    )
    assert declare(tmp_path, {"allowed_clouds": ["lambda"], "workspaces": {"default": {"x": 1}}}) == {
        "allowed_clouds": ["lambda"],
        "kubernetes": {"b": 2},
        "workspaces": {"team-a": {"private": True}, "default": {"x": 1}},
    }
    assert declare(tmp_path, {}) == {
        "kubernetes": {"b": 2},
        "workspaces": {"team-a": {"private": True}, "default": {"x": 1}},
    }


def test_a_half_written_configuration_stops_no_server(tmp_path):
    (tmp_path / "config.yaml").write_text("workspaces: {team-a")
    assert declare(tmp_path, {"allowed_clouds": ["slurm"]}) == {"allowed_clouds": ["slurm"]}
    assert (tmp_path / "config.yaml.broken").read_text() == "workspaces: {team-a"


configs = st.dictionaries(st.sampled_from(["allowed_clouds", "jobs", "aws", "kubernetes"]), st.integers())


@given(configs, configs, configs)
def test_declared_wins_the_rest_stays_and_twice_is_once(found: Any, before: Any, declared: Any):
    once = merge(found, sorted(before), declared)
    assert {key: once[key] for key in declared} == declared
    assert {key: once.get(key) for key in set(found) - set(before) - set(declared)} == {
        key: found[key] for key in set(found) - set(before) - set(declared)
    }
    assert not (set(before) - set(declared)) & set(once)
    assert merge(once, sorted(declared), declared) == once


def test_a_user_that_exists_gets_the_password(tmp_path):
    database = tmp_path / "state.db"
    set_password(database, "admin", "new")
    assert not database.exists()
    user_id = hashlib.md5(b"admin", usedforsecurity=False).hexdigest()[:8]
    connection = sqlite3.connect(database)
    set_password(database, "admin", "new")  # no table yet
    connection.execute("CREATE TABLE users (id TEXT, password TEXT)")
    connection.execute("INSERT INTO users VALUES (?, 'old'), ('other', 'old')", (user_id,))
    connection.commit()
    set_password(database, "admin", "new")
    assert sorted(connection.execute("SELECT password FROM users")) == [("new",), ("old",)]
    connection.close()


@pytest.mark.parametrize("password", ["", "a-long-password"])
def test_it_becomes_the_server(tmp_path, monkeypatch, password):
    became: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *words: became.append(words))
    monkeypatch.setattr(sys, "argv", ["start", "--port=1"])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("GPUPLANE_BASIC_USER", "admin")
    monkeypatch.setenv("GPUPLANE_BASIC_PASSWORD", password)
    hashing = SimpleNamespace(hash=lambda word: f"hash of {len(word)}")
    passlib = SimpleNamespace(sha512_crypt=SimpleNamespace(using=lambda rounds: hashing))
    real = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda name: passlib if name == "passlib.hash" else real(name)
    )
    start_skypilot.main()
    ((program, command, variables),) = became
    assert program == sys.executable
    assert command[1:] == ["-m", "sky.server.server", "--port=1"]
    assert variables["PATH"].split(":")[1:] == ["/usr/bin", "/usr/sbin", "/sbin"]
    assert "GPUPLANE_BASIC_PASSWORD" not in variables
    expected = "admin:hash of 15" if password else None
    assert variables.get("SKYPILOT_INITIAL_BASIC_AUTH") == expected
