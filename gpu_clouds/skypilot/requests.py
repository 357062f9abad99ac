"""Calls about the server itself and its requests."""

from __future__ import annotations

from queue import Empty, Queue
from threading import Thread

from gpu_clouds.answers import Kind
from gpu_clouds.errors import CancelledError, GpuCloudError
from gpu_clouds.skypilot.answers import plain
from gpu_clouds.skypilot.calls import Calls, one
from gpu_clouds.skypilot.errors import ApiError
from gpu_clouds.skypilot.health import HEALTH_TIMEOUT_S, HealthCheck
from gpu_clouds.skypilot.http import Call
from gpu_clouds.skypilot.models import RequestRecord, ServerHealth, User
from gpu_clouds.skypilot.waiting import records


class RequestCalls(Calls):
    """Health, and the list of requests."""

    def health(self) -> ServerHealth:
        """What the server says about itself; needs no token.

        Raises:
            ApiError: It does not answer, is no SkyPilot server, or is of another age.
        """
        call = Call("health", Kind.READ, "GET", "/api/health")
        return self._health(call)

    def check_health(self) -> HealthCheck:
        """Whether the server can be used, within 10 s and without a retry. Fails for no reason but a cancel.

        Raises:
            CancelledError: The user has asked to stop.
        """
        found: Queue[HealthCheck | BaseException] = Queue()

        def look() -> None:
            try:
                found.put(self._checked())
            except BaseException as error:
                found.put(error)

        # HTTP's time-outs are for each address of a name and for each piece of an answer, not for the whole.
        Thread(target=look, name="skypilot-health", daemon=True).start()
        try:
            result = found.get(timeout=HEALTH_TIMEOUT_S)
        except Empty:
            return HealthCheck(False, f"{self.connection.title}: no answer within {HEALTH_TIMEOUT_S:g} s")
        if isinstance(result, BaseException):
            raise result
        return result

    def requests(
        self, *, all_status: bool = False, cluster_name: str | None = None, limit: int | None = None
    ) -> list[RequestRecord]:
        """Requests of the server, the newest first.

        Args:
            all_status: Also those that have ended.
            cluster_name: About this cluster only.
            limit: At most so many.
        """
        params: dict[str, str | int | bool] = {"all_status": "true" if all_status else "false"}
        if cluster_name:
            params["cluster_name"] = cluster_name
        if limit is not None:
            params["limit"] = limit
        call = Call("list_requests", Kind.READ, "GET", "/api/status", params=params)
        return records(self._http.call(call, self._http.cancel_for(Kind.READ)))

    def request(self, request_id: str) -> RequestRecord | None:
        """One request by its whole id; None where the server does not know it."""
        call = Call("get_request", Kind.READ, "GET", "/api/status", params={"request_ids": request_id})
        found = records(self._http.call(call, self._http.cancel_for(Kind.READ)))
        return next((each for each in found if each.request_id == request_id), None)

    def _checked(self) -> HealthCheck:
        title, server = self.connection.title, None
        try:
            server = self._health(_quick("/api/health"))
            if server.basic_auth_enabled and server.user is None:
                # Such a server calls itself healthy to anybody, whatever the password; this call tells.
                self._read(_quick("/users/role"), one(User))
        except CancelledError:
            raise
        except ApiError as error:
            return HealthCheck(False, error.message, error.is_unauthorized, server)
        except GpuCloudError as error:
            return HealthCheck(False, error.message)
        if server.status == "healthy":
            return HealthCheck(True, server=server)
        if server.status == "needs_auth":
            return HealthCheck(False, f"{title} asks for a token, or user and password", True, server)
        said = plain(server.status)[:50] or "in no known state"
        return HealthCheck(False, f"{title} says that it is {said!r}", server=server)

    def _health(self, call: Call) -> ServerHealth:
        return self._read(call, one(ServerHealth))


def _quick(path: str) -> Call:
    half = HEALTH_TIMEOUT_S / 2
    return Call("health", Kind.READ, "GET", path, read_timeout_s=half, connect_timeout_s=half, no_retry=True)
