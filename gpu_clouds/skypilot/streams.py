"""Logs of jobs, of provisioning and of requests, line by line, for threads and for asyncio.

A connection that is lost is made again, and the lines that were delivered are skipped: none is lost, none
comes twice. Control sequences and secrets are taken out of all lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, closing
from typing import Any

import httpx

from gpu_clouds.answers import Answer, Kind
from gpu_clouds.skypilot.answers import failed_request
from gpu_clouds.skypilot.errors import ApiError, RequestFailedError
from gpu_clouds.skypilot.http import Call, client_options
from gpu_clouds.skypilot.jobs import JobCalls
from gpu_clouds.skypilot.log_lines import Progress
from gpu_clouds.skypilot.log_stream import LogStream
from gpu_clouds.skypilot.task_secrets import spelled
from gpu_clouds.skypilot.waiting import HELD_S, Pending, return_value

_JOB_NOT_FOUND = 102
"""What the request of a log gives for a job that there is not (`JobExitCode.NOT_FOUND` of SkyPilot)."""


class LogCalls(JobCalls):
    """Streams of lines."""

    _transport: httpx.BaseTransport | None = None
    _async_transport: httpx.AsyncBaseTransport | None = None

    # For threads

    def job_log_lines(
        self,
        name: str,
        job_id: int | None = None,
        *,
        follow: bool = True,
        tail: int = 0,
        secrets: Iterable[str] = (),
    ) -> Iterator[str]:
        """The log of a job.

        Args:
            name: The cluster.
            job_id: The job; None for the last one that there is now.
            follow: Go on until the job has ended.
            tail: Begin with the last so many lines; 0 for all. The whole log is read for it.
            secrets: Values that no line may carry.

        Raises:
            ApiError: `is_not_found` where there is no such cluster or job.
            CancelledError: The user has asked to stop.
        """
        job = self._job(name, job_id)
        if job is None:
            return
        log = self._job_log(name, job, follow, secrets)
        if tail > 0:
            self._skip_to_tail(log, self._job_log(name, job, False, secrets), tail)
        yield from self._lines(log)
        self._check_job_log(log)

    def provision_log_lines(
        self,
        name: str,
        *,
        worker: int | None = None,
        follow: bool = True,
        tail: int = 0,
        secrets: Iterable[str] = (),
    ) -> Iterator[str]:
        """The log of how a cluster was made; it is kept when the cluster is gone.

        Args:
            name: The cluster.
            worker: Of this node; None for the first one's, which has the steps of all.
            follow: Go on until the cluster is made.
            tail: Begin with the last so many lines; 0 for all.
            secrets: Values that no line may carry.

        Raises:
            ApiError: `is_not_found` where there is no such log, or none yet.
            CancelledError: The user has asked to stop.
        """
        log = self._provision_log(name, worker, follow, secrets)
        if tail > 0:
            self._skip_to_tail(log, self._provision_log(name, worker, False, secrets), tail)
        yield from self._lines(log)

    def request_log_lines(
        self, request: str | Pending[Any], *, follow: bool = True, secrets: Iterable[str] = ()
    ) -> Iterator[str]:
        """What the server writes while it works on a request: for a launch, every step.

        Args:
            request: The request, or its id.
            follow: Go on until it has ended.
            secrets: Values that no line may carry, besides those that the request knows.

        Raises:
            RequestLostError: The server does not know it any more.
            CancelledError: The user has asked to stop.
        """
        yield from self._lines(self._request_log(request, follow, secrets))

    # For asyncio

    async def stream_job_logs(
        self,
        name: str,
        job_id: int | None = None,
        *,
        follow: bool = True,
        tail: int = 0,
        secrets: Iterable[str] = (),
    ) -> AsyncIterator[str]:
        """`job_log_lines` for `async for`."""
        job = await asyncio.to_thread(self._job, name, job_id)
        if job is None:
            return
        log = self._job_log(name, job, follow, secrets)
        if tail > 0:
            await asyncio.to_thread(self._skip_to_tail, log, self._job_log(name, job, False, secrets), tail)
        async for line in self._async_lines(log):
            yield line
        await asyncio.to_thread(self._check_job_log, log)

    async def stream_provision_logs(
        self,
        name: str,
        *,
        worker: int | None = None,
        follow: bool = True,
        tail: int = 0,
        secrets: Iterable[str] = (),
    ) -> AsyncIterator[str]:
        """`provision_log_lines` for `async for`."""
        log = self._provision_log(name, worker, follow, secrets)
        if tail > 0:
            await asyncio.to_thread(
                self._skip_to_tail, log, self._provision_log(name, worker, False, secrets), tail
            )
        async for line in self._async_lines(log):
            yield line

    async def stream_request_logs(
        self, request: str | Pending[Any], *, follow: bool = True, secrets: Iterable[str] = ()
    ) -> AsyncIterator[str]:
        """`request_log_lines` for `async for`."""
        async for line in self._async_lines(self._request_log(request, follow, secrets)):
            yield line

    # What both do

    def _lines(self, log: LogStream) -> Iterator[str]:
        with httpx.Client(
            **client_options(self.connection, http2=False), transport=self._transport
        ) as client:
            while True:
                try:
                    response = client.send(log.request(client), stream=True)
                    with closing(response):
                        log.opened(response)
                        if response.is_success:
                            for data in response.iter_bytes():
                                yield from log.feed(data)
                            yield from log.ended()
                            return
                        wait = log.refused(response.status_code, response.headers, response.read())
                except httpx.RequestError as error:
                    wait = log.lost(error)
                self.connection.clock.sleep(wait, log.cancel)

    async def _async_lines(self, log: LogStream) -> AsyncIterator[str]:
        async with httpx.AsyncClient(
            **client_options(self.connection, http2=False), transport=self._async_transport
        ) as client:
            while True:
                try:
                    response = await client.send(log.request(client), stream=True)
                    async with aclosing(response):
                        log.opened(response)
                        if response.is_success:
                            async for data in response.aiter_bytes():
                                for line in log.feed(data):
                                    yield line
                            for line in log.ended():
                                yield line
                            return
                        wait = log.refused(response.status_code, response.headers, await response.aread())
                except httpx.RequestError as error:
                    wait = log.lost(error)
                await asyncio.to_thread(self.connection.clock.sleep, wait, log.cancel)

    def _skip_to_tail(self, log: LogStream, snapshot: LogStream, tail: int) -> None:
        """Makes a stream begin with the last lines of the log as it is now.

        The server can do so itself, but does not say where in the log its tail begins, and a stream that
        breaks could then not be continued.
        """
        for _ in self._lines(snapshot):
            pass
        log.progress.delivered = max(0, snapshot.progress.delivered - tail)

    def _job(self, name: str, job_id: int | None) -> int | None:
        """The job; the last one where none is named, so that all connections are about the same one."""
        if job_id is not None:
            return job_id
        return max((job.job_id for job in self.queue(name) if job.job_id is not None), default=None)

    def _job_log(self, name: str, job_id: int, follow: bool, secrets: Iterable[str]) -> LogStream:
        fields: dict[str, object] = {"cluster_name": name, "job_id": job_id, "follow": follow, "tail": 0}
        return self._log("job_logs", "POST", "/logs", secrets, body=self.body("logs", fields, ""))

    def _provision_log(
        self, name: str, worker: int | None, follow: bool, secrets: Iterable[str]
    ) -> LogStream:
        fields: dict[str, object] = {"cluster_name": name, "worker": worker}
        return self._log(
            "provision_logs",
            "POST",
            "/provision_logs",
            secrets,
            body=self.body("provision_logs", fields, ""),
            params={"follow": _word(follow), "tail": 0},
        )

    def _request_log(self, request: str | Pending[Any], follow: bool, secrets: Iterable[str]) -> LogStream:
        request_id, hidden = (
            (request, frozenset[str]()) if isinstance(request, str) else (request.request_id, request.secrets)
        )
        return self._log(
            "request_logs",
            "GET",
            "/api/stream",
            hidden | spelled(secrets),
            params={"request_id": request_id, "format": "plain", "follow": _word(follow)},
            about_request=request_id,
        )

    def _log(
        self,
        operation: str,
        method: str,
        path: str,
        secrets: Iterable[str],
        *,
        body: dict[str, object] | None = None,
        params: dict[str, str | int | bool] | None = None,
        about_request: str = "",
    ) -> LogStream:
        return LogStream(
            operation=operation,
            method=method,
            path=path,
            http=self._http,
            cancel=self._http.cancel_for(Kind.READ),
            params=params or {},
            body=body,
            about_request=about_request,
            progress=Progress(secrets=spelled(secrets)),
        )

    def _check_job_log(self, log: LogStream) -> None:
        """Raises what was wrong: the stream of a log answers 200 even for a cluster that there is not."""
        if not log.request_id:
            return
        call = Call(
            "job_logs.get",
            Kind.READ,
            "GET",
            "/api/get",
            params={"request_id": log.request_id},
            read_timeout_s=HELD_S,
            blocking=True,
            final_500=True,
            secrets=log.progress.secrets,
        )
        title = self.connection.title
        try:
            answer = self._http.call(call, log.cancel)
        except ApiError:
            return  # the log itself has come to its end
        error = failed_request(answer, log.request_id, "job_logs", title, log.progress.secrets)
        if isinstance(error, RequestFailedError):
            raise error
        if error is None and answer.ok and _exit_code(answer) == _JOB_NOT_FOUND:
            raise RequestFailedError(
                f"{title}: job_logs: there is no such job on the cluster",
                operation="job_logs",
                status_code=answer.status,
                error_code="JobNotFound",
                request_id=log.request_id,
            )


def _exit_code(answer: Answer) -> object:
    try:
        return return_value(answer.json)
    except ValueError:
        return None


def _word(flag: bool) -> str:
    return "true" if flag else "false"
