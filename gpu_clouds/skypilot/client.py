"""Client of the HTTP API of a SkyPilot API server, as server 0.14.1 speaks it.

The project's own, instead of SkyPilot's: theirs takes seconds to import and starts servers by itself.

    client = SkyPilotClient(SkyPilotConnection("https://sky.example.com", auth=BearerToken.fixed(token)))
    launched = client.launch(task_yaml, "train-1")
    for line in client.request_lines(launched.request_id): ...
    job = launched.result().job_id
"""

from __future__ import annotations

from types import TracebackType

import httpx

from gpu_clouds.retry import RetryRules
from gpu_clouds.skypilot.admin import AdminCalls
from gpu_clouds.skypilot.batch import BatchCalls
from gpu_clouds.skypilot.catalogue import CatalogueCalls
from gpu_clouds.skypilot.connection import SkyPilotConnection
from gpu_clouds.skypilot.http import SkyPilotHttp
from gpu_clouds.skypilot.requests import RequestCalls
from gpu_clouds.skypilot.streams import LogCalls


class SkyPilotClient(BatchCalls, LogCalls, CatalogueCalls, AdminCalls, RequestCalls):
    """Every call of one server; any number of threads may use it at once. Making it sends nothing.

    What takes long (`launch`, `exec`, `start`, `stop`, `down`) gives a `Pending` at once, and its `result()`
    waits. Everything else waits itself.

    All calls raise ApiError (see `gpu_clouds.skypilot.errors`; `as_cloud_error` translates), ValidationError
    for what is refused before it is sent, and CancelledError once the connection's cancel is set: but reads
    and ends that begin after that are clean-up, and run.

    Args:
        connection: The server, and who asks.
        transport: Takes the network's place in tests.
        async_transport: The same for the asynchronous streams.
        rules: When to repeat a call; None for what the settings say.
    """

    def __init__(
        self,
        connection: SkyPilotConnection,
        *,
        transport: httpx.BaseTransport | None = None,
        async_transport: httpx.AsyncBaseTransport | None = None,
        rules: RetryRules | None = None,
    ) -> None:
        super().__init__(connection, SkyPilotHttp(connection, transport=transport, rules=rules))
        self._transport = transport
        self._async_transport = async_transport

    def close(self) -> None:
        """Gives connections back and writes the counters."""
        self._http.close()

    def __enter__(self) -> SkyPilotClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
