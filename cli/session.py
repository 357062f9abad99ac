"""A stack's clouds for commands that talk to them outside an engine run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cli.errors import CliError
from cli.pulumi_cli import Pulumi

if TYPE_CHECKING:
    from dynamic_providers.clouds import Shared
    from gpu_clouds.cloud import GpuCloud
    from stack_config import StackConfig

_T = TypeVar("_T")
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Session:
    """A stack and its clouds.

    Attributes:
        pulumi: The engine's command line for the stack.
        config: Its checked configuration.
        shared: Its credential sets; connects each at its first use.
    """

    pulumi: Pulumi
    config: StackConfig
    shared: Shared

    def in_each(
        self, names: Sequence[str], work: Callable[[GpuCloud], _T]
    ) -> tuple[dict[str, _T], dict[str, str]]:
        """Does something with several credential sets at once.

        Args:
            names: Credential sets.
            work: Gets the connected cloud.

        Returns:
            What came of it, and for those that failed why; both by credential set, in the order of `names`.
        """
        from gpu_clouds.errors import GpuCloudError

        def attempt(name: str) -> tuple[_T | None, str | None]:
            try:
                return work(self.shared.cloud(name)), None
            except GpuCloudError as error:
                return None, error.message

        done: dict[str, _T] = {}
        failed: dict[str, str] = {}
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            for name, (result, problem) in zip(names, pool.map(attempt, names), strict=True):
                if problem is not None:
                    failed[name] = problem
                elif result is not None:
                    done[name] = result
        return done, failed


def open_session(pulumi: Pulumi, *, may_have_none: bool = False) -> Session:
    """Reads a stack's configuration; connects to nothing yet.

    Args:
        pulumi: The stack.
        may_have_none: A stack without a credential set is of use too: all of its clusters may be on SkyPilot
            servers of its own.

    Raises:
        StackConfigError: The configuration breaks a rule.
        CliError: It has no credential set.
    """
    from stack_config import load

    config = load(pulumi.config(), pulumi.stack)
    if not config.credentials and not may_have_none:
        raise CliError(
            f"stack {pulumi.stack} has no credential set: docs/configuration.md shows how to write one"
        )
    return Session(pulumi, config, _shared(pulumi.environment, pulumi, config))


def _shared(environment: Mapping[str, str], pulumi: Pulumi, config: StackConfig) -> Shared:
    # Where this stack's emulators and intents are and how fast their time runs; the clients look there.
    os.environ.update({key: text for key, text in environment.items() if key.startswith("GPUPLANE_")})
    os.environ.setdefault("GPUPLANE_EMULATOR_DIR", str(pulumi.root / ".gpuplane" / "emulators"))

    from dynamic_providers.clouds import Shared

    return Shared(config.credentials, config.settings, config.stack_id)
