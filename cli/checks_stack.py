"""What the doctor looks at in a stack: its file, state and lock, emulators, credential sets, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.checks import FAIL, OK, WARN, Check
from cli.checks_machine import intents_check
from cli.errors import CliError
from cli.project import is_dev

if TYPE_CHECKING:
    from cli.pulumi_cli import Pulumi
    from cli.session import Session

SKEW_S = (5.0, 300.0)
"""Clock differences: above the first a warning, above the second signatures and certificates may fail."""
_ANSWER_S = 15.0


def stack_checks(stack: str) -> Iterator[Check]:
    """All of them; what depends on something that failed is left out.

    Args:
        stack: Name of the stack; empty for the selected one.
    """
    from cli.session import open_session
    from cli.stacks import open_stack
    from engine.errors import EngineError
    from gpu_clouds.errors import ValidationError
    from gpu_clouds.intents import state_root
    from stack_config import StackConfigError

    try:
        pulumi = open_stack(stack)
    except EngineError:
        return  # said already
    except CliError as error:
        yield Check("stack", WARN, error.message, "`make up` makes the dev stack")
        return
    try:
        session = open_session(pulumi)
    except StackConfigError as error:
        yield Check("stack", FAIL, error.message)
        return
    except ValidationError as error:
        yield Check("stack", FAIL, error.message)
        return
    except CliError as error:
        if is_dev(pulumi.stack):
            yield Check("stack", WARN, f"{pulumi.stack}: {error.message}", "`make up` makes it")
        else:
            step = (
                f"`pulumi stack select --create {pulumi.stack}`" if "no stack named" in error.message else ""
            )
            yield Check("stack", FAIL, f"{pulumi.stack}: {error.message}", step)
        return
    config = session.config
    yield Check(
        "stack",
        OK,
        f"{pulumi.stack} ({config.stack_id}): {len(config.clusters)} cluster(s), {len(config.node_names())} "
        f"node(s), {len(config.credentials)} credential set(s)",
    )
    yield intents_check(Path(pulumi.environment.get("GPUPLANE_STATE_DIR") or state_root()))
    yield from state_checks(pulumi)
    for name in config.credentials:
        yield from credential_checks(session, name)


def state_checks(pulumi: Pulumi) -> Iterator[Check]:
    """The state: whether it can be read, who holds its lock, what a killed engine has left."""
    from cli.recovery import locks_of
    from cli.state import nodes_in

    try:
        state = pulumi.export()
        locks = locks_of(pulumi)
    except CliError as error:
        yield Check("state", FAIL, error.message)
        return
    dead = [lock for lock, ended in locks if ended]
    pending = (state.get("deployment") or {}).get("pending_operations") or []
    recover = f"`gpuplane recover --stack {pulumi.stack}`"
    nodes = nodes_in(state)
    if len(locks) > len(dead):
        holder = next(lock for lock, ended in locks if not ended)
        yield Check("state", WARN, f"locked by {holder}", "wait for it to end")
    elif locks or pending:
        left = f"{len(locks)} lock(s) and {len(pending)} unfinished operation(s) of a killed engine"
        yield Check("state", WARN, left, recover)
    elif unready := [node.name for node in nodes if node.note]:
        yield Check(
            "state", WARN, f"{len(nodes)} node(s), not ready or ending: {', '.join(unready[:8])}", "run up"
        )
    else:
        yield Check("state", OK, f"{len(nodes)} node(s), no lock, nothing unfinished")


def credential_checks(session: Session, name: str) -> Iterator[Check]:
    """One authenticated read, and the cloud's clock.

    Args:
        session: The stack.
        name: The credential set.
    """
    from dynamic_providers.accounts import emulator_address
    from gpu_clouds.errors import GpuCloudError, TransientError, ValidationError
    from gpu_clouds.registry import cloud_info
    from stack_config.models import EMULATOR

    source = session.config.credentials[name]
    endpoint = source.endpoint or cloud_info(source.cloud).endpoint
    if source.endpoint == EMULATOR:
        try:
            endpoint, _ = emulator_address(name, source.cloud)
        except ValidationError as error:
            yield Check(f"credentials {name}", WARN, error.message)
            return
        yield Check(f"emulator {source.cloud}", OK, f"runs at {endpoint}")
    yield clock_check(f"clock {name}", endpoint)
    try:
        yield account_check(session, name)
    except TransientError as error:
        yield Check(f"credentials {name}", WARN, error.message, "try again; is the cloud reachable?")
    except GpuCloudError as error:
        yield Check(f"credentials {name}", FAIL, f"{error.kind}: {error.message}")


def account_check(session: Session, name: str) -> Check:
    """What one read of the account tells.

    Raises:
        GpuCloudError: It can't be read.
    """
    cloud = session.shared.cloud(name)
    status = cloud.account()
    told = [cloud.name]
    if status.machines_in_use is not None:
        of = "" if status.machine_limit is None else f" of {status.machine_limit}"
        told.append(f"{status.machines_in_use}{of} machine(s) in use")
    if status.balance_usd is not None:
        told.append(f"balance {status.balance_usd:.2f} USD")
    text = ", ".join(told)
    if status.balance_usd is not None and status.balance_usd <= 0:
        return Check(f"credentials {name}", FAIL, text, "add credit")
    if (
        status.machine_limit is not None
        and status.machines_in_use is not None
        and status.machines_in_use >= status.machine_limit
    ):
        return Check(f"credentials {name}", WARN, text, "end some machines, or ask for a higher limit")
    return Check(f"credentials {name}", OK, text)


def clock_check(name: str, endpoint: str) -> Check:
    """This machine's clock against the one of a cloud. No key is sent: any answer has a date.

    Args:
        name: Name of the check.
        endpoint: Base URL of the cloud's API.
    """
    import httpx

    from gpu_clouds.connection import is_loopback
    from gpu_clouds.transport import user_agent

    host = urlsplit(endpoint).netloc
    before = datetime.now(UTC)
    try:
        answer = httpx.get(
            endpoint,
            headers={"User-Agent": user_agent()},
            timeout=_ANSWER_S,
            trust_env=not is_loopback(endpoint),
        )
    except httpx.HTTPError as error:
        step = "look at the network, the proxy and the firewall"
        return Check(name, WARN, f"{host} does not answer ({type(error).__name__})", step)
    return skew_check(name, host, answer.headers.get("Date", ""), before, datetime.now(UTC))


def skew_check(name: str, host: str, date: str, before: datetime, after: datetime) -> Check:
    """How far two clocks are apart.

    Args:
        name: Name of the check.
        host: Whose clock it is.
        date: The `Date` header, whole seconds.
        before: This machine's time when it asked.
        after: And when the answer had come.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return Check(name, WARN, f"{host} does not tell the time")
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    # The header is cut to whole seconds, and the answer took its time: any difference in between is none.
    ahead = (before - theirs).total_seconds() - 1.0
    behind = (theirs - after).total_seconds()
    skew = max(0.0, ahead, behind)
    if skew <= SKEW_S[0]:
        return Check(name, OK, f"as that of {host}")
    way = "ahead of" if ahead > behind else "behind"
    level = FAIL if skew > SKEW_S[1] else WARN
    return Check(name, level, f"this machine is {skew:.0f} s {way} {host}", "set its clock (NTP)")
