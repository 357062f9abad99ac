"""One stack of the real program in a folder of its own, run by the real engine, for killing it at will."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cli.errors import CliError
from cli.locks import read_locks
from cli.pulumi_cli import Pulumi
from cli.recovery import recover
from engine.environment import environment
from engine.installed import locate
from tests.crash import processes
from tests.crash.forked_host import ROOT
from tests.crash.host_process import HOST_FOLDER

STACK = "crash"
RUN_TIMEOUT_S = 120.0
QUIET = ("--non-interactive", "--color=never")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a finished run says.

    Attributes:
        status: Exit status.
        output: stdout and stderr.
    """

    status: int
    output: str


class Running:
    """A `pulumi` that runs in the background."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output
        self._below: dict[int, str] = {}

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def hosts(self) -> list[int]:
        """Process ids of the provider hosts below it."""
        self._below |= processes.descendants(self.pid)
        return [pid for pid, line in self._below.items() if str(HOST_FOLDER) in line and processes.alive(pid)]

    def kill(self, *, engine: bool, host: bool) -> None:
        """Kill -9 of the engine, its hosts, or both, as close together as can be."""
        hosts = self.hosts()
        processes.kill([*([self.pid] if engine else []), *(hosts if host else [])])

    def interrupt(self) -> None:
        """^C, as a terminal sends it to the engine."""
        self.hosts()
        os.kill(self.pid, signal.SIGINT)

    def wait(self, timeout_s: float = RUN_TIMEOUT_S) -> Ended:
        """Waits for the end; whatever is still there after the time-out is killed, and that is an error."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill(engine=True, host=True)
            self._process.wait(10)
            raise AssertionError(f"pulumi did not end in {timeout_s} s:\n{self.output()[-3000:]}") from None
        return Ended(status, self.output())

    def left(self, timeout_s: float = 5.0) -> list[str]:
        """Command lines of processes that outlive their engine; they are killed, so that none pile up."""
        left = processes.wait_gone(self._below, timeout_s)
        lines = [self._below[pid] for pid in left]
        processes.kill(left)
        return lines

    def output(self) -> str:
        """What it has written so far."""
        return self._output.read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class _OnFiles(Pulumi):
    """What a recovery asks of `pulumi`, done to the backend's files: that saves three processes."""

    backend: Path
    state: Path

    def capture(self, *arguments: str, stdin: str = "", of_stack: bool = True) -> str:
        """`cancel`, `stack export` and `stack import`."""
        if arguments[0] == "cancel":
            for lock in read_locks(self.backend, self.stack):
                lock.file.unlink(missing_ok=True)
            return ""
        saved = json.loads(self.state.read_text()) if self.state.exists() else None
        if arguments == ("stack", "export"):
            latest = saved["checkpoint"].get("latest") if saved else None
            return json.dumps({"version": 3, "deployment": latest or {}})
        assert saved and arguments == ("stack", "import"), arguments
        saved["checkpoint"]["latest"] = json.loads(stdin)["deployment"]
        self.state.write_text(json.dumps(saved))
        return ""


@cache
def _engine_folder() -> Path:
    found = locate()
    assert found is not None, "there is no engine: run `make engine`"
    return found.folder


class EngineStack:
    """A project folder with the real program and one stack.

    Args:
        folder: Made here; holds project, state, intents and logs.
        config: Keys of the namespace `gpuplane`.
        emulator_dir: Folder with the `endpoints.json` that the provider reads.
        extra: More environment.
        own_host: False: the plugins section is left out, so the SDK's stock host runs.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        emulator_dir: Path,
        extra: Mapping[str, str] | None = None,
        *,
        own_host: bool = True,
    ) -> None:
        self.folder = folder
        self._project = folder / "project"
        self._project.mkdir(parents=True, exist_ok=True)
        self._own_host = own_host
        self._write_project()
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "PATH") if name in os.environ}
        self.env = environment(
            self._project,
            folder / "kept",
            engine_bin=_engine_folder(),
            base=kept,
            extra={
                "GPUPLANE_EMULATOR_DIR": str(emulator_dir),
                "GPUPLANE_EMULATED": "1",
                "PYTHONPATH": str(ROOT),
                **(extra or {}),
            },
        )
        self._config = dict(config)
        self._runs = 0

    def init(self) -> None:
        """Makes the stack (needs the engine, half a second)."""
        self._write_config({})
        ended = self.run("stack", "init")
        assert ended.status == 0, ended.output
        self.configure(self._config)

    def clone(self, folder: Path, emulator_dir: Path, extra: Mapping[str, str] | None = None) -> EngineStack:
        """The same stack, state and intents in another folder, as if it had been made there."""
        shutil.copytree(self.folder / "kept", folder / "kept", ignore=shutil.ignore_patterns("locks"))
        twin = EngineStack(folder, self._config, emulator_dir, extra, own_host=self._own_host)
        shutil.copy(self._config_path(), twin._config_path())
        return twin

    def configure(self, config: Mapping[str, Any]) -> None:
        """Writes the stack file anew; the encryption salt stays."""
        self._config = dict(config)
        self._write_config({f"gpuplane:{key}": value for key, value in config.items()})

    def run(self, *args: str, timeout_s: float = RUN_TIMEOUT_S) -> Ended:
        """Runs `pulumi` to its end."""
        return self.start(*args).wait(timeout_s)

    def up(self, *args: str) -> Ended:
        """`pulumi up` without questions."""
        return self.run("up", "--yes", "--skip-preview", *args)

    def destroy(self, *args: str) -> Ended:
        """`pulumi destroy` without questions."""
        return self.run("destroy", "--yes", "--skip-preview", *args)

    def start(self, *args: str) -> Running:
        """Starts `pulumi` in a process group of its own."""
        return self._start(["pulumi", *args, "--stack", STACK, *QUIET])

    def recover(self, *, by_command: bool) -> str:
        """What a user does after a kill; gives what went wrong, empty for nothing.

        Args:
            by_command: By `gpuplane recover` and the engine's own commands; else by the same code in this
                process, on the files.
        """
        if by_command:
            ended = self._start([sys.executable, "-m", "cli.main", "recover", "--stack", STACK]).wait()
            return ended.output[-1500:] if ended.status else ""
        backend = self.folder / "kept" / "state"
        try:
            recover(_OnFiles(self._project, self.env, STACK, backend, self.state_path()))
        except CliError as error:
            return str(error)
        return ""

    def state(self) -> dict[str, Any]:
        """The saved state; empty when there is none."""
        path = self.state_path()
        if not path.exists():
            return {}
        deployment: dict[str, Any] = json.loads(path.read_text())["checkpoint"].get("latest") or {}
        return deployment

    def state_path(self) -> Path:
        """Where the file backend keeps the stack's state."""
        return self.folder / "kept" / "state" / ".pulumi" / "stacks" / "gpuplane" / f"{STACK}.json"

    def resources(self, type_suffix: str) -> list[dict[str, Any]]:
        """Resources of a type in the state, those that wait for deletion included."""
        found = self.state().get("resources") or []
        return [one for one in found if one["type"].endswith(type_suffix)]

    def pending(self) -> list[str]:
        """Pending operations in the state."""
        return [
            f"{one['type']} {one['resource']['urn']}" for one in self.state().get("pending_operations") or ()
        ]

    def _start(self, command: list[str]) -> Running:
        self._runs += 1
        output = self.folder / f"run-{self._runs}-{time.monotonic_ns()}.log"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=self._project,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(process, output)

    def _config_path(self) -> Path:
        return self._project / f"Pulumi.{STACK}.yaml"

    def _write_project(self) -> None:
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        project["runtime"]["options"]["virtualenv"] = str(Path(sys.executable).parent.parent)
        if self._own_host:
            project["plugins"]["providers"][0]["path"] = str(HOST_FOLDER)
        else:
            del project["plugins"]
        (self._project / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        shutil.copy(ROOT / "__main__.py", self._project)

    def _write_config(self, config: Mapping[str, Any]) -> None:
        path = self._config_path()
        written = yaml.safe_load(path.read_text()) if path.exists() else {}
        salt = {key: value for key, value in (written or {}).items() if key == "encryptionsalt"}
        path.write_text(yaml.safe_dump({**salt, "config": dict(config)}))
