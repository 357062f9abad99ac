"""What clouds say that nodes have cost, for clouds that say it at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol, runtime_checkable

BILLED_BY_S: Mapping[str, int] = MappingProxyType({"runpod": 1, "lambda": 60, "paperspace": 3600})
"""Cloud -> the time that it bills at least and in multiples of, seconds.

RunPod's pricing page: by the second. Lambda's: by the minute, from active to terminate. Paperspace's: compute
by the hour, while a machine is not off. One that is not here is taken to bill by the second.
"""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one node was billed for one span of time.

    Attributes:
        node: The cloud's id of the node; of a SkyPilot cluster its name.
        begin: Where the span begins.
        end: Where it ends, excluded.
        total_usd: USD; None where the cloud can not say.
        storage_usd: Of it for disks, USD.
        running_s: How long the node ran in the span, seconds; None where the bill does not say.
    """

    node: str
    begin: datetime
    end: datetime
    total_usd: Decimal | None
    storage_usd: Decimal = Decimal(0)
    running_s: Decimal | None = None


@runtime_checkable
class ReportsBilling(Protocol):
    """A cloud that tells what nodes have cost, those that have ended included."""

    @property
    def bill(self) -> str:
        """Where the amounts come from, in words: `RunPod billing`."""

    def charges(
        self, begin: datetime, end: datetime | None, now: datetime, nodes: Collection[str]
    ) -> Sequence[Charge]:
        """What was billed in a span of time.

        Args:
            begin: From here, on the hour.
            end: Until here, on the hour, excluded; None: until now.
            now: The time by the cloud's clock.
            nodes: Ids that matter; a cloud that bills an account as a whole tells of its other nodes too.

        Raises:
            GpuCloudError: The cloud did not answer.
        """


def usd(amount: float | None) -> Decimal | None:
    """An amount of a cloud's JSON as the number that stood there; None for none.

    Args:
        amount: USD, as it was read.
    """
    return None if amount is None else Decimal(repr(amount))
