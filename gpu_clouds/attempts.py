"""What was tried, and the error that tells of it: a head line, then one line for each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpu_clouds.errors import CapacityError, GpuCloudError, PriceCapExceededError
from gpu_clouds.models import Candidate, Instance

SHOWN_ATTEMPTS = 8
SHOWN_IN_A_DROUGHT = 40
"""Where nothing is free anywhere, each attempt is worth a line: it says what else could be asked for."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate that did not work out.

    Attributes:
        candidate: What was tried.
        error: Why it failed.
        instance_id: Id of the node that was made in this attempt, if one is known.
        fate: What became of that node: `deleted`, `kept`, `deletion not confirmed`, …
        price: What it would have cost, in words.
        remark: Why it was tried out of its turn.
    """

    candidate: Candidate
    error: GpuCloudError
    instance_id: str = ""
    fate: str = ""
    price: str = ""
    remark: str = ""

    def __str__(self) -> str:
        return self.line(with_credentials=False)

    def line(self, *, with_credentials: bool) -> str:
        """The attempt in one line.

        Args:
            with_credentials: Name the credential set, where one cloud has several.
        """
        account = f" ({self.candidate.credentials})" if with_credentials else ""
        price = f" {self.price}" if self.price else ""
        remark = f" (tried last: {self.remark})" if self.remark else ""
        made = f"; node {self.instance_id}: {self.fate}" if self.instance_id else ""
        why = f"{self.error.kind}: {one_line(self.error.message)}"
        return f"{self.candidate}{account}{price}{remark}: {why}{made}"


class ProvisioningError(GpuCloudError):
    """No node came of a request.

    Args:
        head: What is wrong, where, and the next step; one line.
        cause: The error that decided it.
        attempts: Everything that was tried, in order.
        kept: A node that still exists, ready or not; the caller has to hold its id.
        kept_candidate: The candidate that it was made from.
    """

    def __init__(
        self,
        head: str,
        *,
        cause: GpuCloudError,
        attempts: Sequence[Attempt] = (),
        kept: Instance | None = None,
        kept_candidate: Candidate | None = None,
    ) -> None:
        super().__init__(
            report(head, attempts), cloud=cause.cloud, status=cause.status, request_id=cause.request_id
        )
        self.head = head
        self.cause = cause
        self.attempts = tuple(attempts)
        self.kept = kept
        self.kept_candidate = kept_candidate

    @property
    def kind(self) -> str:
        """Kind of the error that decided it: `capacity`, `price_cap`, `deadline` and so on."""
        return self.cause.kind


def report(head: str, attempts: Sequence[Attempt]) -> str:
    """The head line and one line for each attempt; at most 8 (40 in a drought), then how many more.

    Attempts that left a node behind come first among those shown: their ids must not be lost in "more".
    """
    drought = bool(attempts) and all(isinstance(a.error, CapacityError) for a in attempts)
    most = SHOWN_IN_A_DROUGHT if drought else SHOWN_ATTEMPTS
    if len(attempts) <= most:
        shown = list(attempts)
    else:
        with_node = [a for a in attempts if a.instance_id and a.fate != "deleted"]
        rest = [a for a in attempts if not (a.instance_id and a.fate != "deleted")]
        shown = (with_node + rest)[:most]
    accounts = {(a.candidate.cloud, a.candidate.credentials) for a in attempts}
    several = len(accounts) > len({cloud for cloud, _ in accounts})
    lines = [head, *(f"  {attempt.line(with_credentials=several)}" for attempt in shown)]
    if len(attempts) > len(shown):
        lines.append(f"  … {len(attempts) - len(shown)} more")
    return "\n".join(lines)


def one_line(text: str, limit: int = 300) -> str:
    """The text without line breaks, cut where it gets too long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def is_request_fault(attempts: Sequence[Attempt]) -> bool:
    """Whether the failures of some cloud look like a bad request or a broken backend, not like a drought.

    That is so where every candidate of a cloud was answered with HTTP 400 and none of them spoke of capacity.
    """
    return bool(_faulty_clouds(attempts))


def verdict(attempts: Sequence[Attempt], cap: float | None) -> tuple[str, GpuCloudError]:
    """What all the failures together mean.

    Args:
        attempts: At least one.
        cap: The request's `max_hourly_usd`.

    Returns:
        The head line without the node's name, and the error that decides it.
    """
    faulty = _faulty_clouds(attempts)
    if faulty:
        cloud, error = next(iter(faulty.items()))
        return (
            f"every candidate of {cloud} is answered with HTTP 400: a bad request or a broken backend, "
            f"not a drought; "
            f"check image, ports and disk: {one_line(error.message)}",
            error,
        )
    sold_out = [a.error for a in attempts if isinstance(a.error, CapacityError)]
    if sold_out:
        return (
            "no candidate has a free machine now; add candidates, or set waitForCapacityMin to wait for one",
            sold_out[-1],
        )
    too_dear = [a.error for a in attempts if isinstance(a.error, PriceCapExceededError)]
    if too_dear and cap is not None:
        return f"no candidate costs at most {cap:.2f} USD/h; raise maxHourlyUsd or add candidates", too_dear[
            -1
        ]
    return "no candidate gave a node that got ready; the reasons follow", attempts[-1].error


def _faulty_clouds(attempts: Sequence[Attempt]) -> dict[str, GpuCloudError]:
    by_cloud: dict[str, list[GpuCloudError]] = {}
    for attempt in attempts:
        by_cloud.setdefault(attempt.candidate.cloud, []).append(attempt.error)
    return {
        cloud: errors[-1]
        for cloud, errors in by_cloud.items()
        if all(error.status == 400 and not isinstance(error, CapacityError) for error in errors)
    }
