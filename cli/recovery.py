"""Clears what a killed engine leaves behind: its lock, and operations that it had begun."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import REFUSED, CliError
from cli.locks import backend_folder, is_dead, read_locks
from cli.pulumi_cli import Pulumi
from cli.torn_files import remove_torn


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done.

    Attributes:
        locks: Locks that were removed.
        operations: `creating chat-0`, … that were cleared.
        torn: Half-written files of the backend that were removed.
    """

    locks: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    torn: int = 0

    def lines(self) -> list[str]:
        """What was done, for a person; empty for nothing."""
        lines = [f"recovered: removed the lock of {lock}" for lock in self.locks]
        if self.torn:
            lines.append(f"recovered: removed {self.torn} half-written file(s) beside the state")
        if self.operations:
            shown = ", ".join(self.operations[:8])
            more = f" and {len(self.operations) - 8} more" if len(self.operations) > 8 else ""
            lines.append(
                f"recovered: cleared {len(self.operations)} unfinished operation(s): {shown}{more}; "
                "the next up adopts what they made, a destroy ends it"
            )
        return lines


def recover(pulumi: Pulumi, *, force: bool = False) -> Recovered:
    """Removes the locks of ended engines and clears pending operations; doing it twice does no more.

    Args:
        pulumi: The stack.
        force: Remove locks too whose engine runs or can't be looked at.

    Raises:
        CliError: A lock is somebody's who may still work; nothing was changed.
    """
    url = backend_url(pulumi)
    folder = backend_folder(url)
    if folder is None and not force:
        raise CliError(
            f"the backend {url.split('://')[0]}:// does not show who holds a lock; "
            "run `gpuplane recover --yes` if no engine works on the stack",
            REFUSED,
        )
    return _recover(pulumi, folder, force=force)


def recover_if_possible(pulumi: Pulumi) -> list[str]:
    """Recovers before another command where the backend shows who holds a lock; returns what was done.

    Raises:
        CliError: An engine works on the stack.
    """
    folder = backend_folder(backend_url(pulumi))
    return [] if folder is None else _recover(pulumi, folder).lines()


def _recover(pulumi: Pulumi, folder: Path | None, *, force: bool = False) -> Recovered:
    locks = read_locks(folder, pulumi.stack) if folder else []
    alive = [lock for lock in locks if not is_dead(lock)]
    if alive and not force:
        raise CliError(
            f"stack {pulumi.stack} is locked by {alive[0]}; wait for it to end, or run "
            "`gpuplane recover --yes` if you know that it has",
            REFUSED,
        )
    # Only a killed engine leaves such files, and its lock with them; without one somebody may be writing now.
    torn = remove_torn(folder, pulumi.stack) if locks and folder else 0
    if locks or (force and folder is None):
        pulumi.capture("cancel", "--yes")
    return Recovered(tuple(str(lock) for lock in locks), clear_pending(pulumi), torn)


def clear_pending(pulumi: Pulumi) -> tuple[str, ...]:
    """Drops the pending operations of a stack's state; returns what they were."""
    state = pulumi.export()
    pending = (state.get("deployment") or {}).get("pending_operations") or []
    if not pending:
        return ()
    del state["deployment"]["pending_operations"]
    pulumi.capture("stack", "import", stdin=json.dumps(state))
    return tuple(describe(operation) for operation in pending)


def describe(operation: dict[str, Any]) -> str:
    """`creating chat-0`."""
    urn = str((operation.get("resource") or {}).get("urn", ""))
    return f"{operation.get('type', 'changing')} {urn.rsplit('::', 1)[-1] or 'a resource'}"


def backend_url(pulumi: Pulumi) -> str:
    """Where the state is: what the environment says, else where the person who runs this is logged in."""
    given = pulumi.environment.get("PULUMI_BACKEND_URL")
    if given:
        return given
    return str(json.loads(pulumi.capture("whoami", "--verbose", "--json", of_stack=False)).get("url", ""))
