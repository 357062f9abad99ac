"""Runs the engine in a CI job: what a preview says, and an up that a cancelled job ends in order."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli import engine_runs
from cli.errors import CliError, Ended
from cli.preview.sources import STREAMING
from cli.pulumi_cli import Pulumi, error_line

_EXPERIMENTAL = {"PULUMI_EXPERIMENTAL": "1"}
"""What the engine hides `--save-plan` and `--plan` behind."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """What a preview printed.

    Attributes:
        code: The engine's exit code.
        text: Its events, one a line; empty where it failed before it could print any.
        error: Why it failed, in one line; empty for success.
    """

    code: int
    text: str
    error: str = ""


def run_preview(
    pulumi: Pulumi, *, pack: Sequence[str] = (), plan: Path | None = None, refresh: bool = False
) -> Previewed:
    """Runs `pulumi preview --json`.

    Args:
        pulumi: The stack.
        pack: Arguments that make it run a policy pack.
        plan: Where to save the plan.
        refresh: Whether to look at the clouds first even where Pulumi.yaml doesn't ask for it.
    """
    arguments = ["preview", "--json", "--show-sames", *pack]
    arguments += ["--save-plan", str(plan)] if plan else []
    arguments += ["--refresh"] if refresh else []
    done = pulumi.run(*arguments, extra={**STREAMING, **(_EXPERIMENTAL if plan else {})})
    return Previewed(done.code, done.stdout, error_line(done.stderr or done.stdout) if done.code else "")


def run_up(pulumi: Pulumi, plan: Path | None, pack: Sequence[str] = ()) -> None:
    """Runs `pulumi up` in a session of its own and hands on every request to end as a ^C.

    GitHub sends SIGINT when a job is cancelled, SIGTERM 7.5 s later, and kills 2.5 s after that; GitLab
    sends SIGTERM. The engine ends in order after the first ^C, and at once after a second.

    Args:
        pulumi: The stack.
        plan: A saved plan; None for none.
        pack: Arguments that make it run a policy pack.

    Raises:
        Ended: It failed, and has said why.
        CliError: It could not be started.
    """
    arguments = ["up", "--yes", "--non-interactive", "--suppress-outputs", "--stack", pulumi.stack, *pack]
    arguments += ["--plan", str(plan)] if plan else []
    sys.stdout.flush()
    running: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        asked.append(number)
        for process in running:
            process.send_signal(signal.SIGINT)

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(
            ["pulumi", *arguments],
            cwd=pulumi.root,
            env={**pulumi.environment, **(_EXPERIMENTAL if plan else {})},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        running.append(process)
        if asked:  # before there was a process to hand it to
            process.send_signal(signal.SIGINT)
        # What `gpuplane ci unlock` knows the engine's lock by.
        engine_runs.note(pulumi.root, pulumi.stack, process.pid)
        code = process.wait()
    except OSError as error:
        raise CliError(f"pulumi can not be run: {error.strerror}") from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if code:
        raise Ended(code if code > 0 else 128 - code)
