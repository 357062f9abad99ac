"""Clears what a killed engine leaves behind: its lock, and operations that it had begun."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import engine_runs
from cli.backends import is_diy, split_password
from cli.errors import REFUSED, CliError
from cli.locks import Lock, backend_folder, is_dead, read_locks
from cli.pulumi_cli import Pulumi
from cli.remote_locks import Unanswered, ask_locks
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
    return _recover(pulumi, backend_url(pulumi), force=force)


def recover_if_possible(pulumi: Pulumi) -> list[str]:
    """Recovers before another command where the backend shows who holds a lock; returns what was done.

    Raises:
        CliError: An engine works on the stack, or the backend can't be asked.
    """
    url = backend_url(pulumi)
    return _recover(pulumi, url).lines() if is_diy(url) else []


def locks_of(pulumi: Pulumi) -> list[tuple[Lock, bool]]:
    """Each lock of a stack, and whether its engine has surely ended; none where the backend shows none.

    Raises:
        CliError: The backend can't be asked.
    """
    url = backend_url(pulumi)
    folder = backend_folder(url)
    if folder is not None:
        return [(lock, is_dead(lock)) for lock in read_locks(folder, pulumi.stack)]
    if not is_diy(url):
        return []
    return [
        (lock, engine_runs.ended_here(pulumi.root, pulumi.stack, lock)) for lock in ask_locks(pulumi, url)
    ]


def what_is_left(pulumi: Pulumi) -> str:
    """What an engine that failed leaves in a backend that others use too; empty where that is nothing.

    Args:
        pulumi: The stack, on which no engine of this process works any more.

    Returns:
        What is wrong and the next step, in one sentence each.
    """
    url = backend_url(pulumi)
    if backend_folder(url) is not None or not is_diy(url):
        return ""
    try:
        locks = ask_locks(pulumi, url)
    except Unanswered as lost:
        return (
            f"{lost.message}. What was made in the clouds is kept there, and costs; "
            "once the backend answers, run `gpuplane up` again: it takes all of it over"
        )
    if any(engine_runs.ended_here(pulumi.root, pulumi.stack, lock) for lock in locks):
        return (
            "the engine has left its lock, because it was killed or the backend did not answer. What was "
            "made in the clouds is kept there, and costs; run `gpuplane up` again: it removes the lock and "
            "takes all of it over"
        )
    return ""


def _recover(pulumi: Pulumi, url: str, *, force: bool = False) -> Recovered:
    folder = backend_folder(url)
    if folder is not None:
        return _recover_files(pulumi, folder, force=force)
    if is_diy(url):
        return _recover_remote(pulumi, url, force=force)
    if not force:
        raise CliError(
            f"the backend {url.split('://')[0]}:// does not show who holds a lock; "
            "run `gpuplane recover --yes` if no engine works on the stack",
            REFUSED,
        )
    pulumi.capture("cancel", "--yes")
    return Recovered((), clear_pending(pulumi))


def _recover_files(pulumi: Pulumi, folder: Path, *, force: bool) -> Recovered:
    locks = read_locks(folder, pulumi.stack)
    alive = [lock for lock in locks if not is_dead(lock)]
    if alive and not force:
        raise _locked(pulumi, alive[0])
    # Only a killed engine leaves such files, and its lock with them; without one somebody may be writing now.
    torn = remove_torn(folder, pulumi.stack) if locks else 0
    if locks:
        pulumi.capture("cancel", "--yes")
    return Recovered(tuple(str(lock) for lock in locks), clear_pending(pulumi), torn)


def _recover_remote(pulumi: Pulumi, url: str, *, force: bool) -> Recovered:
    with engine_runs.alone(pulumi.root):
        locks = ask_locks(pulumi, url)
        alive = [lock for lock in locks if not engine_runs.ended_here(pulumi.root, pulumi.stack, lock)]
        if alive and not force:
            raise _locked(pulumi, alive[0], seen=is_dead(alive[0]))
        if locks:
            pulumi.capture("cancel", "--yes")
        engine_runs.forget(pulumi.root, pulumi.stack)
        return Recovered(tuple(str(lock) for lock in locks), clear_pending(pulumi))


def _locked(pulumi: Pulumi, lock: Lock, *, seen: bool = False) -> CliError:
    """Why a lock stays.

    Args:
        pulumi: The stack.
        lock: Its lock.
        seen: Whether a machine of this one's name has no such process, which does not yet say that it ended.
    """
    doubt = "; no such process is seen here, but it was not started from this checkout" if seen else ""
    return CliError(
        f"stack {pulumi.stack} is locked by {lock}{doubt}; wait for it to end, or run "
        "`gpuplane recover --yes` if you know that it has",
        REFUSED,
    )


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
    """Where the state is, without a password: as the environment says, else where `pulumi` is logged in."""
    given = pulumi.environment.get("PULUMI_BACKEND_URL")
    if given:
        return split_password(given)[0]
    return split_password(
        str(json.loads(pulumi.capture("whoami", "--verbose", "--json", of_stack=False)).get("url", ""))
    )[0]
