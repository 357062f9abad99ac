"""What this process has launched. In memory only: the server forgets its requests at each restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpu_clouds.errors import CancelledError, CapacityError
from gpu_clouds.skypilot.errors import (
    ApiError,
    RequestCancelledError,
    RequestFailedError,
    RequestLostError,
    as_cloud_error,
)
from gpu_clouds.skypilot.instances import Failure
from gpu_clouds.skypilot.models import RequestRecord, RequestStatus
from gpu_clouds.skypilot.waiting import Pending

MOST_SENDS = 3
"""A launch that a restart of the server has swallowed is sent again, by the same name, so often in all."""
Send = Callable[[], Pending[Any]]


@dataclass(slots=True)
class OwnLaunch:
    """A launch or start of this process.

    Attributes:
        send: Sends it again; the cluster's name makes that harmless.
        pending: The request.
        sends: How often it was sent.
        failure: Why it failed, once it has.
    """

    send: Send
    pending: Pending[Any]
    sends: int = 1
    failure: Failure | None = None


@dataclass(slots=True)
class Progress:
    """Where an own launch is.

    Attributes:
        open: It goes on.
        lost: The server does not know it any more.
        failure: It has failed.
    """

    open: bool = False
    lost: bool = False
    failure: Failure | None = None


@dataclass(slots=True)
class Launches:
    """The launches of this process, by the cluster's name. Threads may share it.

    Args:
        request: Looks at one request: `SkyPilotClient.request`. Not by the request itself: that is cancelled
            with what it was for, and what became of it is asked after a cancel too.
    """

    request: Callable[[str], RequestRecord | None]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _by_name: dict[str, OwnLaunch] = field(default_factory=dict)

    def begin(self, name: str, send: Send) -> Pending[Any]:
        """Sends a launch and remembers it.

        Args:
            name: The cluster.
            send: Sends it.
        """
        pending = send()
        with self._lock:
            self._by_name[name] = OwnLaunch(send, pending)
        return pending

    def forget(self, name: str) -> OwnLaunch | None:
        """Takes a launch out: the cluster is up, or is about to end."""
        with self._lock:
            return self._by_name.pop(name, None)

    def names(self) -> list[str]:
        """Clusters with a launch that has not succeeded yet."""
        with self._lock:
            return list(self._by_name)

    def look(self, name: str) -> Progress | None:
        """Where the launch of a cluster is; None where there is none, or it has succeeded."""
        with self._lock:
            own = self._by_name.get(name)
        if own is None:
            return None
        if own.failure is not None:
            return Progress(failure=own.failure)
        record = self.request(own.pending.request_id)
        if record is None:
            return Progress(lost=True)
        if not record.status.ended:
            return Progress(open=True)
        if record.status is RequestStatus.SUCCEEDED:
            self.forget(name)
            return None
        try:
            own.pending.result()
        except RequestLostError:
            return Progress(lost=True)
        except (RequestFailedError, RequestCancelledError) as error:
            own.failure = failure_of(error)
            return Progress(failure=own.failure)
        except CancelledError:
            return Progress(failure=Failure("its launch has failed"))
        return None

    def send_again(self, name: str) -> bool:
        """Sends a lost launch again; False where that was done often enough."""
        with self._lock:
            own = self._by_name.get(name)
            if own is None or own.sends >= MOST_SENDS:
                return False
            own.sends += 1
        own.pending = own.send()
        return True


def failure_of(error: ApiError) -> Failure:
    """A failed request as the reason why a cluster will not get ready."""
    return Failure(error.message, sold_out=isinstance(as_cloud_error(error), CapacityError))
