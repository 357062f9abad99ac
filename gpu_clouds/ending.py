"""The one way in which a node ends: deleted until gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import Instance
from gpu_clouds.request import SETTLE_S
from gpu_clouds.run import Run


@unique
class Ended(StrEnum):
    """What a delete found."""

    GONE = "gone"
    SPARED = "spared"  # a create of this run returned this very id: it lives on under another resource


@dataclass(frozen=True, slots=True)
class Orphan:
    """A node of this stack that the program does not declare, or declares once while it exists twice."""

    instance: Instance
    credentials: str
    reason: str


class Ender:
    """Ends nodes; made for one operation, cheap. Arguments as for `Provisioner`."""

    def __init__(
        self,
        clock: Clock,
        cancel: threading.Event | None,
        progress: Callable[[str], None],
        may_send: Callable[[], None],
        *,
        run: Run | None = None,
    ) -> None:
        raise NotImplementedError

    def end(self, cloud: GpuCloud, instance_id: str, *, prefix: str = "", deadline_s: float = 300.0) -> Ended:
        """Deletes a node until it is gone. Absent is success.

        Args:
            cloud: Where it is.
            instance_id: Its id.
            prefix: `stack_prefix(owner, stack_id)`, so that many deletes at once share their listings; empty: alone.
            deadline_s: When to give up, seconds.

        Raises:
            DeadlineError: Still there; names the id.
            CancelledError: Cancelled while waiting; keep the id.
        """
        raise NotImplementedError

    def end_all(
        self,
        clouds: Mapping[str, GpuCloud],
        owner: str,
        stack_id: str,
        intents: IntentLog,
        *,
        settle_s: float = SETTLE_S,
    ) -> list[Instance]:
        """Ends every node of this owner and stack, listing again until nothing can appear any more.

        Returns:
            The nodes that were ended.
        """
        raise NotImplementedError


def orphans(
    clouds: Mapping[str, GpuCloud], owner: str, stack_id: str, declared: Iterable[str]
) -> list[Orphan]:
    """Nodes of this owner and stack whose name is not declared, or that exist twice. Ends nothing."""
    raise NotImplementedError
