"""Several calls at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gpu_clouds.errors import GpuCloudError, ValidationError
from gpu_clouds.skypilot.clusters import ClusterCalls
from gpu_clouds.skypilot.errors import ApiError
from gpu_clouds.skypilot.models import LaunchResult
from gpu_clouds.skypilot.waiting import Pending

_T = TypeVar("_T")
_S = TypeVar("_S")

AT_ONCE = 16
"""Threads of one batch. A server of the usual size runs 8 long and 9 short requests at once; others wait."""


@dataclass(frozen=True, slots=True)
class LaunchItem:
    """One launch of a batch.

    Attributes:
        name: The cluster's name.
        task: The task, YAML text.
        workspace: The server's workspace; empty for the connection's.
        retry_until_up: Wait for capacity instead of failing.
        secrets: Further values that no error may carry.
    """

    name: str
    task: str = field(repr=False)
    workspace: str = ""
    retry_until_up: bool = False
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_T]):
    """What came of one call of a batch: a value or an error.

    Attributes:
        value: Its result; None where it failed.
        error: Why it failed; None where it did not.
    """

    value: _T | None = None
    error: ApiError | GpuCloudError | None = None

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.error is None


def at_once(call: Callable[[_S], _T], items: Iterable[_S], *, threads: int = AT_ONCE) -> list[Outcome[_T]]:
    """Calls a function for each item, several at once. One that fails stops no other.

    Args:
        call: The function.
        items: What it is called with.
        threads: How many at once.

    Returns:
        An outcome for each item, in their order. An error that is no failed call is raised, after all have
        ended.
    """
    todo = list(items)
    if not todo:
        return []

    def one(item: _S) -> Outcome[_T]:
        try:
            return Outcome(value=call(item))
        except (ApiError, GpuCloudError) as error:
            return Outcome(error=error)

    with ThreadPoolExecutor(
        max_workers=max(1, min(threads, len(todo))), thread_name_prefix="skypilot"
    ) as pool:
        return list(pool.map(one, todo))


class BatchCalls(ClusterCalls):
    """Batches of launches."""

    def launch_many(
        self, items: Sequence[LaunchItem], *, threads: int = AT_ONCE
    ) -> list[Outcome[Pending[LaunchResult]]]:
        """Sends launches, several at once, and waits for none of them.

        Args:
            items: The launches; each has a name of its own.
            threads: How many are sent at once.

        Returns:
            For each item its request, or why it was not taken. `wait_many` waits for them.

        Raises:
            ValidationError: A name stands there twice.
        """
        for name, times in Counter(item.name for item in items).items():
            if times > 1:
                raise ValidationError(f"the batch launches {name!r} {times} times: one name is one cluster")

        def launch(item: LaunchItem) -> Pending[LaunchResult]:
            return self.launch(
                item.task,
                item.name,
                retry_until_up=item.retry_until_up,
                workspace=item.workspace,
                secrets=item.secrets,
            )

        return at_once(launch, items, threads=threads)

    def wait_many(
        self, requests: Sequence[Pending[_T]], *, timeout_s: float | None = None, threads: int = 64
    ) -> list[Outcome[_T]]:
        """Waits for requests, all at once.

        Args:
            requests: The requests.
            timeout_s: How long for each, seconds; None for its own time-out.
            threads: How many are waited for at once.
        """
        return at_once(lambda request: request.result(timeout_s), requests, threads=threads)
