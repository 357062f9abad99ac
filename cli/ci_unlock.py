"""`gpuplane ci unlock`: after a job was cancelled."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.locks import Lock
from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    own: Annotated[
        bool, typer.Option("--own", help="Only see to this job's own lock; say nothing of others'.")
    ] = False,
    holder: Annotated[
        str,
        typer.Option(
            "--holder",
            help="Remove the lock of exactly this owner too, USER@HOST:PID as this command says it. "
            "Be sure that its engine has ended.",
        ),
    ] = "",
) -> None:
    """Removes a stack's lock whose owner is surely gone, and what it had begun; else says who holds it.

    Surely gone is an engine that this checkout has started, on this machine, and that runs no more: run this
    as the job's last step, cancelled or not. Any other owner may still work on another machine. No node is
    touched: the next up adopts what the ended engine has made.
    """
    from cli import engine_runs
    from cli.backends import is_diy, split_password
    from cli.errors import REFUSED, CliError
    from cli.recovery import backend_url, recover
    from cli.remote_locks import ask_locks
    from cli.stacks import open_stack

    pulumi = open_stack(stack)
    url = backend_url(pulumi)
    if not is_diy(url):
        raise CliError(
            "Pulumi Cloud does not show who holds a lock: see the stack's activity in its console, and run "
            "`pulumi cancel` once that update is over",
            REFUSED,
        )
    locks = ask_locks(pulumi, split_password(url)[0])
    held = [lock for lock in locks if not engine_runs.ended_here(pulumi.root, pulumi.stack, lock)]
    others = [lock for lock in held if name_of(lock) != holder]
    if others:
        message = f"stack {pulumi.stack} is locked by {name_of(others[0])}, since {others[0].since}"
        if own:
            typer.echo(f"{message}: no engine of this job, left alone")
            return
        raise CliError(
            f"{message}; if you know that this engine has ended: "
            f"gpuplane ci unlock --stack {pulumi.stack} --holder {name_of(others[0])}",
            REFUSED,
        )
    # While a dead engine's lock is there nobody else gets one, so that none is removed with it.
    lines = recover(pulumi, force=bool(held)).lines()
    for line in lines or [f"stack {pulumi.stack} is not locked"]:
        typer.echo(line)


def name_of(lock: Lock) -> str:
    """A lock's owner in one word, as `--holder` takes it: `runner@host:123`."""
    return f"{lock.user}@{lock.host}:{lock.pid}"
