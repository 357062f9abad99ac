"""Find or launch: the one way in which a node comes to be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from gpu_clouds.attempts import Attempt, ProvisioningError
from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.intents import Intent, IntentLog
from gpu_clouds.readiness import Probe, ProbeResult, Readiness, probe
from gpu_clouds.request import NodeRequest, Provisioned
from gpu_clouds.run import Run

__all__ = [
    "Attempt",
    "Intent",
    "IntentLog",
    "NodeRequest",
    "ProbeResult",
    "Provisioned",
    "Provisioner",
    "ProvisioningError",
    "Readiness",
    "Run",
]


class Provisioner:
    """Brings up single nodes; made for one operation, cheap.

    Args:
        clouds: One connected cloud for each credential set, by the set's name.
        intents: Write-ahead intents of the stack.
        clock: Tells the time.
        cancel: Set when the user or the engine asks to stop.
        progress: Gets the few lines that a user reads.
        may_send: Called before every call that changes a cloud; raises when the engine has ended.
        run: What all operations of one engine run in this process share; None for an operation on its own.
        ask: Asks a node whether it is usable.
    """

    def __init__(
        self,
        clouds: Mapping[str, GpuCloud],
        intents: IntentLog,
        clock: Clock,
        cancel: threading.Event,
        progress: Callable[[str], None],
        may_send: Callable[[], None],
        *,
        run: Run | None = None,
        ask: Probe = probe,
    ) -> None:
        raise NotImplementedError

    def find_or_launch(self, request: NodeRequest) -> Provisioned:
        """Gives the node of this request: the one that exists, or a new one.

        Raises:
            ProvisioningError: It did not work; `.kept` is a node that the caller has to hold.
            CancelledError: Cancelled, and nothing was left behind.
        """
        raise NotImplementedError

    def ensure_ready(self, request: NodeRequest, instance_id: str) -> Provisioned:
        """The same for a node whose create failed half way: waits for this one again, or replaces it if it failed.

        The id of the result may differ from `instance_id`.
        """
        raise NotImplementedError
