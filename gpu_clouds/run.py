"""What all operations of one engine run share in one process."""

from __future__ import annotations

from gpu_clouds.clock import Clock


class Run:
    """Shared listings, and the ids that creates of this run returned. Make one for each engine run.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        raise NotImplementedError
