"""Runs the `pulumi` command for one stack."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cli import engine_runs
from cli.backends import hide_passwords
from cli.errors import CliError, Ended


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended.

    Attributes:
        code: Its exit code.
        stdout: What it printed.
        stderr: What it printed on standard error.
    """

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Pulumi:
    """The engine's command line, in a project, for a stack.

    Attributes:
        root: The project's folder.
        environment: Environment of the process; holds the passphrase, so it is left out of the text form.
        stack: Name of the stack.
    """

    root: Path
    environment: Mapping[str, str]
    stack: str

    def __repr__(self) -> str:
        return f"Pulumi({self.root}, {self.stack})"

    def capture(self, *arguments: str, stdin: str = "", of_stack: bool = True) -> str:
        """Runs a command to its end and returns what it printed.

        Args:
            arguments: Of `pulumi`; the stack is added.
            stdin: What the command reads.
            of_stack: Whether the command is one of a stack.

        Raises:
            CliError: It failed; the message is the engine's own error line.
        """
        done = self._done(arguments, stdin, of_stack=of_stack)
        if done.returncode:
            raise CliError(f"`pulumi {arguments[0]}` failed: {error_line(done.stderr or done.stdout)}")
        return done.stdout

    def attempt(self, *arguments: str) -> tuple[int, str]:
        """Runs a command that may well fail; returns its exit code and all that it says, without passwords.

        Args:
            arguments: Of `pulumi`; the stack is added.

        Raises:
            CliError: It could not be started.
        """
        done = self._done(arguments)
        return done.returncode, hide_passwords(done.stdout + done.stderr)

    def stream(self, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
        """Runs a command whose output the person sees; ^C reaches the command, which then ends by itself.

        Args:
            arguments: Of `pulumi`; the stack is added.
            extra: Environment to add.

        Raises:
            Ended: It failed, and has said why.
            CliError: It could not be started.
        """
        try:
            process = subprocess.Popen(
                ["pulumi", *arguments, "--stack", self.stack],
                cwd=self.root,
                env={**self.environment, **(extra or {})},
            )
        except OSError as error:
            raise CliError(f"pulumi can not be run: {error.strerror}") from None
        with _signals_left_to(process):
            if not self.environment.get("PULUMI_BACKEND_URL", "").startswith("file:"):
                engine_runs.note(self.root, self.stack, process.pid)
            code = process.wait()
        if code:
            raise Ended(code if code > 0 else 128 - code)

    def run(self, *arguments: str, extra: Mapping[str, str] | None = None) -> Done:
        """Runs a command to its end, however it ends; ^C reaches the command, which then ends by itself.

        Args:
            arguments: Of `pulumi`; the stack is added.
            extra: Environment to add.

        Raises:
            CliError: It could not be started.
        """
        try:
            process = subprocess.Popen(
                self._command(arguments),
                cwd=self.root,
                env={**self.environment, **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise CliError(f"pulumi can not be run: {error.strerror}") from None
        with _signals_left_to(process):
            out, err = process.communicate()
        code = process.returncode
        printed, said = (hide_passwords(text.decode(errors="replace")) for text in (out, err))
        return Done(code if code >= 0 else 128 - code, printed, said)

    def export(self) -> dict[str, Any]:
        """The stack's state, secrets encrypted."""
        return cast("dict[str, Any]", json.loads(self.capture("stack", "export")))

    def config(self) -> dict[str, object]:
        """The configuration in our namespace, secrets in plain text: what `stack_config.load` takes."""
        from stack_config import NAMESPACE

        entries = json.loads(self.capture("config", "--show-secrets", "--json"))
        prefix = f"{NAMESPACE}:"
        return {
            key[len(prefix) :]: entry.get("objectValue", entry.get("value"))
            for key, entry in entries.items()
            if key.startswith(prefix)
        }

    def _done(
        self, arguments: Sequence[str], stdin: str = "", *, of_stack: bool = True
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                self._command(arguments, of_stack=of_stack),
                cwd=self.root,
                env=dict(self.environment),
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise CliError(f"pulumi can not be run: {error.strerror}") from None

    def _command(self, arguments: Sequence[str], *, of_stack: bool = True) -> list[str]:
        stack = ["--stack", self.stack] if of_stack else []
        return ["pulumi", *arguments, "--non-interactive", *stack]


def error_line(text: str) -> str:
    """The line of the engine's output that says what is wrong, without passwords."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    line = (errors or lines or ["no reason given"])[-1].removeprefix("error:").strip()
    return hide_passwords(line)


@contextmanager
def _signals_left_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While the engine runs, ^C is its own affair, and a request to end becomes a ^C for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {
        # A terminal sends ^C to the whole process group, so the engine has it already.
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT)),
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
