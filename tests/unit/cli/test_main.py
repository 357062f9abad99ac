"""Help is quick and complete; no mistake of a person ends in a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.errors import CliError, Ended
from cli.main import run
from cli.project import DEV_TIME_SCALE, engine_environment, find_root, is_dev
from cli.pulumi_cli import error_line
from engine.errors import EngineError
from gpu_clouds.errors import AuthError
from stack_config import Problem, StackConfigError
from tests.unit.cli.conftest import Project

ROOT = Path(__file__).parents[3]
COMMANDS = ("init", "up", "recover", "cost", "key", "config-docs", "dev")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "dev up", "dev preview", "dev down"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 4


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, cli.main; cli.main.run(['--help']);"
        "print(sorted({'pulumi', 'pydantic', 'httpx', 'grpc', 'gpu_clouds', 'engine'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["nope"], ["key"], ["cost", "--nope"]])
def test_a_wrong_call_is_told_in_words(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr().err
    assert "Usage:" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CliError("no", 2), 2, "gpuplane: no\n"),
        (Ended(255), 255, ""),
        (StackConfigError("Pulumi.x.yaml", [Problem("a", "b")]), 1, "gpuplane: Pulumi.x.yaml: a: b\n"),
        (EngineError("no engine"), 1, "gpuplane: no engine\n"),
        (AuthError("key refused"), 1, "gpuplane: key refused\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_every_known_error_is_one_message(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_stack: str) -> None:
        raise error

    monkeypatch.setattr("cli.stacks.open_stack", fail)
    assert run(["cost"]) == code
    assert capsys.readouterr().err == line


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_stack: str) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("cli.stacks.open_stack", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        run(["cost"])


def test_the_reference_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config-docs"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("warning: w\nerror: first\n  detail\n", "first"),
        ("", "no reason given"),
        ("something\nelse\n", "else"),
    ],
)
def test_the_engines_own_error_line(text: str, line: str) -> None:
    assert error_line(text) == line


def test_the_project_is_found_from_a_folder_inside(project: Project) -> None:
    inside = project.root / "a" / "b"
    inside.mkdir(parents=True)
    (project.root / "a" / "Pulumi.yaml").write_text("name: another\n")
    assert find_root(inside) == project.root


@pytest.mark.parametrize(
    ("stack", "dev"), [("dev", True), ("organization/gpuplane/dev", True), ("prod", False), ("", False)]
)
def test_the_name_of_the_embedded_stack_is_taken(stack: str, dev: bool) -> None:
    assert is_dev(stack) is dev


@pytest.fixture
def an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    from engine.installed import Engine

    found = Engine(tmp_path / "engine", "3.250.0", "test", "test", True)
    monkeypatch.setattr("engine.installed.locate", lambda *_: found)
    return found.folder


def test_the_environment_of_another_stack_is_the_persons_own(tmp_path: Path, an_engine: Path) -> None:
    base = {"PATH": "/bin", "PULUMI_CONFIG_PASSPHRASE": "mine", "PULUMI_ACCESS_TOKEN": "t"}
    found = engine_environment(tmp_path, "prod", base)
    assert found["PATH"].split(os.pathsep)[0] == str(an_engine)
    assert base.items() - {"PATH": "/bin"}.items() <= found.items()
    assert "PULUMI_BACKEND_URL" not in found
    assert not (tmp_path / ".gpuplane").exists()


def test_the_environment_of_the_dev_stack_stays_in_the_checkout(tmp_path: Path, an_engine: Path) -> None:
    found = engine_environment(
        tmp_path, "dev", {"PATH": "/bin", "PULUMI_ACCESS_TOKEN": "t", "PULUMI_BACKEND_URL": "s3://mine"}
    )
    assert found["PULUMI_BACKEND_URL"].startswith((tmp_path / ".gpuplane").as_uri())
    assert "PULUMI_ACCESS_TOKEN" not in found
    assert found["GPUPLANE_TIME_SCALE"] == DEV_TIME_SCALE


def test_emulators_that_run_set_the_time_scale(tmp_path: Path, an_engine: Path) -> None:
    folder = tmp_path / ".gpuplane" / "emulators"
    folder.mkdir(parents=True)
    (folder / "endpoints.json").write_text('{"time_scale": 5.0}')
    assert engine_environment(tmp_path, "dev", {})["GPUPLANE_TIME_SCALE"] == "5"
    assert engine_environment(tmp_path, "dev", {"GPUPLANE_TIME_SCALE": "7"})["GPUPLANE_TIME_SCALE"] == "7"


def test_no_engine_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.installed.locate", lambda *_: None)
    with pytest.raises(EngineError, match="no Pulumi engine on this machine yet: run `make engine`"):
        engine_environment(tmp_path, "prod", {})


def test_the_text_form_of_a_run_holds_no_passphrase(project: Project) -> None:
    assert "canary" not in repr(project.pulumi)


def test_an_interrupt_is_left_to_the_engine(project: Project) -> None:
    """The engine says how it ended after ^C; the command waits for it and passes its exit code on."""
    fake = project.root / "bin" / "pulumi"
    fake.write_text(
        f"#!{sys.executable} -S\nimport os, signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "signal.pause()\n"
    )
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Ended) as caught:
        project.pulumi.stream("up")
    assert caught.value.code == 7
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
