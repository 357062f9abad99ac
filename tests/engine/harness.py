"""Runs small programs through the real Pulumi engine, each in a folder of its own.

    def test_something(new_stack):
        stack = new_stack('import pulumi\\npulumi.export("x", 1)')
        assert stack.up().ok

A stack has its own project folder, backend, engine home, intents and emulators; nothing of the user's is
touched. Setting up costs a copy, not an engine run: the backend with its empty stack is made once a session.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cli.torn_files import remove_torn
from engine.environment import environment
from engine.installed import locate

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = REPOSITORY / "dynamic_providers" / "host"
PROGRAMS = Path(__file__).resolve().parent / "programs"
PROJECT = "gpuplane"
STACK = "test"
TIMEOUT_S = 120.0
_Answer = TypeVar("_Answer")


@functools.cache
def engine_bin() -> Path | None:
    """The folder with `pulumi`; None when this machine has no engine yet (`make engine`)."""
    engine = locate()
    return None if engine is None else engine.folder


@dataclass(frozen=True)
class Result:
    """How one run of the command line ended."""

    returncode: int
    output: str
    seconds: float
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    def expect_ok(self) -> Result:
        """This result; fails with the whole output when the run failed."""
        assert self.ok, self.output
        return self

    def diagnostics(self, urn_part: str = "") -> list[dict[str, Any]]:
        """The messages (`severity`, `message`, `urn`, `ephemeral`) about resources whose URN has the text."""
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return [event for event in found if urn_part in event.get("urn", "")]

    def steps(self) -> list[dict[str, Any]]:
        """The planned or taken steps (`op`, `urn`, `detailedDiff`, …) in their order."""
        return [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]

    def ops(self) -> dict[str, str]:
        """Name of a resource -> the last operation on it, without providers and the stack itself.

        Of several resources of one name, one that changes counts more than one that stays.
        """
        found: dict[str, str] = {}
        for step in self.steps():
            name = step["urn"].rpartition("::")[2]
            stays = step["op"] == "same" and found.get(name, "refresh") not in ("same", "refresh")
            if not step["type"].startswith("pulumi:") and not stays:
                found[name] = step["op"]
        return found


class Stack:
    """One project folder with one stack.

    Args:
        root: Empty folder for everything.
        program: Text of `__main__.py`.
        template: A backend that holds the empty stack, and its settings file; None: made with the engine.
        packages: Folders that are copied into the project, so that the program can import them.
        config: Plain configuration values of the project; structures are allowed.
        host: `ours`, or `stock` for the SDK's own plugin.
        env: Further environment variables.
        files: Further files of the project: name -> text.
        parallel: Operations that the engine asks for at once.
    """

    def __init__(
        self,
        root: Path,
        program: str,
        *,
        template: Path | None = None,
        packages: Iterable[Path] = (),
        config: Mapping[str, Any] | None = None,
        host: str = "ours",
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        parallel: int = 64,
    ) -> None:
        self.root = root
        self.project = root / "project"
        self.state = root / "state"
        self.parallel = parallel
        self.project.mkdir(parents=True)
        (self.project / "tmp").mkdir()
        (self.project / ".venv").symlink_to(sys.prefix)
        self.set_program(program)
        for package in packages:
            shutil.copytree(
                package, self.project / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name, text in (files or {}).items():
            (self.project / name).write_text(text)
        self.use_host(host)
        if template is not None:
            shutil.copytree(template / "state", self.state)
            shutil.copyfile(template / "project" / self.settings.name, self.settings)
        self.env = environment(
            self.project,
            self.state,
            engine_bin=engine_bin(),
            extra={"TMPDIR": str(self.project / "tmp"), "PULUMI_DEBUG_COMMANDS": "true", **(env or {})},
        )
        if template is None:
            self.run("stack", "init", STACK).expect_ok()
        self.set_config(config or {})

    @property
    def settings(self) -> Path:
        """The stack's settings file."""
        return self.project / f"Pulumi.{STACK}.yaml"

    def set_program(self, program: str) -> None:
        """Replace `__main__.py`."""
        (self.project / "__main__.py").write_text(program)

    def use_host(self, host: str) -> None:
        """Write Pulumi.yaml for our host (`ours`) or the SDK's (`stock`)."""
        document: dict[str, Any] = {
            "name": PROJECT,
            "runtime": {"name": "python", "options": {"virtualenv": ".venv"}},
        }
        if host == "ours":
            document["plugins"] = {"providers": [{"name": "pulumi-python", "path": str(HOST)}]}
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(document))

    def set_config(self, values: Mapping[str, Any]) -> None:
        """Set plain configuration values; keys without a namespace are the project's. None removes a key."""
        if not values:
            return
        document = yaml.safe_load(self.settings.read_text()) or {}
        config = document.setdefault("config", {})
        for key, value in values.items():
            name = key if ":" in key else f"{PROJECT}:{key}"
            if value is None:
                config.pop(name, None)
            else:
                config[name] = value
        self.settings.write_text(yaml.safe_dump(document))

    def set_secret(self, key: str, value: str) -> None:
        """Set an encrypted configuration value."""
        self.run("config", "set", "--secret", key, value, "--stack", STACK).expect_ok()

    # -- the command line

    def run(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> Result:
        """Run any `pulumi` command and wait for it."""
        return self.start(*arguments).wait(timeout_s)

    def start(self, *arguments: str) -> Running:
        """Start any `pulumi` command in the background."""
        return Running(self, arguments)

    def start_operation(self, operation: str, *arguments: str) -> Running:
        """Start `up`, `preview`, `refresh`, `destroy` or `import` in the background; its events are kept."""
        events = self.root / f"events-{time.monotonic_ns()}.jsonl"
        flags = ["--stack", STACK, "--non-interactive", "--event-log", str(events)]
        if operation != "import":
            flags += ["--parallel", str(self.parallel)]
        if operation != "preview":
            flags += ["--yes", "--skip-preview"]
        return Running(self, (operation, *flags, *arguments), events)

    def up(self, *arguments: str) -> Result:
        return self.start_operation("up", *arguments).wait()

    def preview(self, *arguments: str) -> Result:
        return self.start_operation("preview", *arguments).wait()

    def refresh(self, *arguments: str) -> Result:
        return self.start_operation("refresh", *arguments).wait()

    def destroy(self, *arguments: str) -> Result:
        return self.start_operation("destroy", *arguments).wait()

    def import_(self, *arguments: str) -> Result:
        """`pulumi import`: type token, name, id, and further flags."""
        return self.start_operation("import", *arguments).wait()

    def cancel(self) -> Result:
        """Remove a killed engine's lock and half-written files, as `gpuplane recover` does."""
        remove_torn(self.state / "state", STACK)
        return self.run("cancel", "--yes", STACK)

    # -- the state

    def export_state(self) -> dict[str, Any]:
        """The deployment in the backend, read from its file: exactly what is stored, secrets encrypted."""
        path = self.state / "state" / ".pulumi" / "stacks" / PROJECT / f"{STACK}.json"
        document: dict[str, Any] = json.loads(path.read_text())
        deployment: dict[str, Any] = document["checkpoint"].get("latest") or {}
        return deployment

    def state_text(self) -> str:
        """The text of every file in the backend, also backups and history."""
        files = (path for path in (self.state / "state").rglob("*") if path.is_file())
        return "\n".join(path.read_text(errors="replace") for path in files)

    def resources(self) -> dict[str, dict[str, Any]]:
        """Name -> resource in the state, without providers and the stack itself."""
        return {
            resource["urn"].rpartition("::")[2]: resource
            for resource in self.export_state().get("resources") or []
            if not resource["type"].startswith("pulumi:")
        }

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs; secret ones in their encrypted form."""
        for resource in self.export_state().get("resources") or []:
            if resource["type"] == "pulumi:pulumi:Stack":
                outputs: dict[str, Any] = resource.get("outputs", {})
                return outputs
        return {}

    def pending_operations(self) -> list[dict[str, Any]]:
        """What a killed engine had begun and not ended."""
        return self.export_state().get("pending_operations") or []


class Running:
    """One `pulumi` process in the background, in a process group of its own.

    Args:
        stack: Where it runs.
        arguments: The command.
        events: The engine's event log, if the command writes one.
    """

    def __init__(self, stack: Stack, arguments: Iterable[str], events: Path | None = None) -> None:
        self._events = events
        self._log = stack.root / f"output-{time.monotonic_ns()}.txt"
        self.started = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["pulumi", *arguments],
                executable=shutil.which("pulumi", path=stack.env["PATH"]),
                cwd=stack.project,
                env=stack.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._hosts: set[int] = set()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def host_pids(self) -> list[int]:
        """The running plugin processes of our host that this engine started."""
        found = [
            pid
            for pid, parent, command in _processes()
            if parent == self.process.pid and str(HOST) in command
        ]
        self._hosts.update(found)
        return found

    def wait_for_host(self, timeout_s: float = 30.0) -> int:
        """The pid of our host, as soon as it runs."""
        return wait_until(lambda: next(iter(self.host_pids()), None), timeout_s, "the host started")

    def kill_engine(self) -> None:
        """kill -9 of the engine alone."""
        self.host_pids()
        self.process.kill()
        self.process.wait()

    def kill_host(self) -> None:
        """kill -9 of the host alone."""
        for pid in self.host_pids():
            os.kill(pid, signal.SIGKILL)

    def interrupt(self) -> None:
        """What ^C does: SIGINT to the engine (its plugins are in process groups of their own)."""
        self.process.send_signal(signal.SIGINT)

    def hosts_alive(self) -> list[int]:
        """The hosts seen so far that still run; a zombie does not."""
        return [pid for pid in self._hosts if any(pid == running for running, _, _ in _processes())]

    def wait(self, timeout_s: float = TIMEOUT_S) -> Result:
        """Wait for the end; kills the engine and fails after `timeout_s` seconds."""
        try:
            returncode = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill_engine()
            raise AssertionError(f"no end after {timeout_s:.0f} s:\n{self.output}") from None
        return Result(returncode, self.output, time.monotonic() - self.started, self._read_events())

    def _read_events(self) -> list[dict[str, Any]]:
        if self._events is None or not self._events.exists():
            return []
        lines = self._events.read_text().splitlines()
        with contextlib.suppress(json.JSONDecodeError):  # a killed engine leaves half a line
            return [json.loads(line) for line in lines]
        return [json.loads(line) for line in lines[:-1]]


def wait_until(look: Callable[[], _Answer | None], timeout_s: float, what: str) -> _Answer:
    """Look every 20 ms until the answer is true; returns it, or fails after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


def _processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent, command line) of every live process; from `ps` where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,stat=,command="], capture_output=True, text=True, check=True
        )
        for line in listed.stdout.splitlines():
            pid, parent, state, command = line.split(None, 3)
            if not state.startswith("Z"):
                yield int(pid), int(parent), command
        return
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if stat[0] != "Z":
                yield int(folder.name), int(stat[1]), command
