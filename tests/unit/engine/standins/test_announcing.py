"""One line for each run and package."""

from __future__ import annotations

import os

from engine.standins import announcing
from engine.standins.announcing import is_first, warn


def test_the_first_process_of_a_run_speaks(tmp_path, monkeypatch):
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    monkeypatch.setattr(announcing, "_held", [])
    assert is_first("127.0.0.1:4001", "aws")
    assert not is_first("127.0.0.1:4001", "aws"), "a second provider of this run"
    assert is_first("127.0.0.1:4001", "gcp")
    assert is_first("127.0.0.1:4002", "aws"), "another run"
    for descriptor in announcing._held:
        os.close(descriptor)
    assert is_first("127.0.0.1:4001", "aws"), "the one that held it has ended"
    os.close(announcing._held[-1])


def test_a_home_that_can_not_be_written_silences_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "missing"))
    assert is_first("127.0.0.1:4001", "aws") and is_first("127.0.0.1:4001", "aws")


def test_without_an_engine_it_is_on_stderr(capsys):
    warn("", "one line")
    assert capsys.readouterr().err == "warning: one line\n"
