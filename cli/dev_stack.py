"""The dev stack's parts: an engine, emulated clouds, a stack in a backend of files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.emulated import clouds_of, left_in
from cli.errors import CliError
from cli.project import DEV_STACK, engine_environment, find_root
from cli.pulumi_cli import Pulumi

_SETTINGS: Mapping[str, object] = {
    # What Pulumi.dev.yaml wants first for two clusters and can not get, so that everybody sees a failover.
    "runpod.capacity": {"NVIDIA H100 80GB HBM3|US-CA-2": 0},
    "lambda.capacity": {f"gpu_1x_h100_sxm5|us-west-{number}": 0 for number in (1, 2, 3)},
    # Lambda's nodes are reached through the stack's own ruleset, as with the real one.
    "lambda.enforce_firewall": True,
}
"""How the emulated clouds of the dev stack differ from their defaults."""


@dataclass(frozen=True, slots=True)
class DevStack:
    """The embedded stack of this checkout.

    Attributes:
        pulumi: The engine's command line for it.
        say: Where progress goes.
    """

    pulumi: Pulumi
    say: Callable[[str], None]

    @classmethod
    def open(cls, say: Callable[[str], None]) -> DevStack:
        """Makes an engine ready, which may take minutes the first time.

        Raises:
            EngineError: No engine can be had.
            CliError: This is no checkout of the project.
        """
        from engine.installed import ensure, locate

        root = find_root()
        if locate() is None:
            say(ensure().line)
        environment = engine_environment(root, DEV_STACK)
        return cls(Pulumi(root, environment, DEV_STACK), say)

    def start_emulators(self) -> None:
        """Starts the emulated clouds; those that run already stay as they are."""
        pairs = [f"{name}={json.dumps(value)}" for name, value in _SETTINGS.items()]
        self.say(self._emulators("start", *(word for pair in pairs for word in ("--set", pair))).strip())

    def stop_emulators(self) -> None:
        """Stops them; none running is success."""
        self.say(self._emulators("stop").strip())

    def ever_started(self) -> bool:
        """Whether the emulated clouds have ever run in this checkout; their state outlives them."""
        return Path(self.pulumi.environment["GPUPLANE_EMULATOR_DIR"]).is_dir()

    def exists(self) -> bool:
        """Whether the stack is in the backend."""
        listed = json.loads(self.pulumi.capture("stack", "ls", "--json", of_stack=False))
        return any(entry["name"].rsplit("/", 1)[-1] == DEV_STACK for entry in listed)

    def select(self) -> None:
        """Selects the stack; makes it where it does not exist."""
        self.pulumi.capture("stack", "select", "--create", DEV_STACK, of_stack=False)

    def remove(self) -> None:
        """Removes the empty stack from the backend; its file stays as it is."""
        if self.exists():
            self.pulumi.capture("stack", "rm", DEV_STACK, "--yes", "--preserve-config", of_stack=False)

    def refuse_leftovers(self) -> None:
        """Asks the emulated clouds themselves.

        Raises:
            CliError: A node, or something that was made for one, is left there.
        """
        left = [what for cloud, api in clouds_of(self.pulumi.environment) for what in left_in(cloud, api)]
        if left:
            more = f" and {len(left) - 8} more" if len(left) > 8 else ""
            raise CliError(
                f"{len(left)} thing(s) are left in the emulated clouds: {', '.join(left[:8])}{more}; "
                "`make up` takes over what is this stack's, then `make down` ends it"
            )

    def _emulators(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "emulators", command, *arguments],
            cwd=self.pulumi.root,
            env=dict(self.pulumi.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise CliError(
                f"the emulated clouds do not {command}: {lines[-1] if lines else 'no reason given'}"
            )
        return done.stdout
