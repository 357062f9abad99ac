"""The two jobs of a cluster: its setup, and what it runs.

Each has a name that is made of its text, so the server's own list of jobs says what has been done already: a
cluster that is adopted does not run anything twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice

from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs
from gpu_clouds.clock import Clock
from gpu_clouds.errors import DeadlineError, GpuCloudError
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import CLOUD, ApiError, as_cloud_error, cloud_errors
from gpu_clouds.skypilot.models import JobRecord
from gpu_clouds.skypilot.task import Task, as_text
from gpu_clouds.waiting import NodeFailedError

ENDED = frozenset({"SUCCEEDED", "FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"})
FAILED = ENDED - {"SUCCEEDED"}
_LOOK_EVERY_S = 5.0
_LOOKS_FOR_LOST = 3
_SHOWN_LINES = 8
_RUNS = "run-"


class Jobs:
    """The jobs of one cluster that is up.

    Args:
        client: The server.
        cluster: The cluster's name.
        inputs: What it shall run.
        clock: Time.
        cancel: Set when the user or the engine asks to stop.
        say: Gets the lines that a user reads.
        fresh: This very operation has launched the cluster: what it runs was not started by anybody. Spares
            a look at its jobs, which takes the server 5 s.
    """

    def __init__(
        self,
        client: SkyPilotClient,
        cluster: str,
        inputs: SkyPilotClusterInputs,
        clock: Clock,
        cancel: threading.Event,
        say: Callable[[str], None],
        *,
        fresh: bool = False,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._inputs = inputs
        self._clock = clock
        self._cancel = cancel
        self._say = say
        self._fresh = fresh

    def set_up(self, launch: Task, deadline_s: float, *, again: bool = False) -> None:
        """Sees to it that the setup has ended well.

        Args:
            launch: The task that a launch of the same name sends where the setup has not been sent yet, or
                has failed.
            deadline_s: How long it may take, seconds.
            again: Launch in any case: the machines have to change.

        Raises:
            NodeFailedError: It has failed; the message has the last lines of its log.
            DeadlineError: It has not ended in time.
            GpuCloudError: The server can't be asked, or refuses.
        """
        start = self._clock.monotonic()
        name = self._inputs.setup_name
        with cloud_errors():
            job = self._latest(name)
            if again or (name and (job is None or job.status in FAILED)):
                self._say("setting up")
                self._client.launch(as_text(launch), self._cluster, fast=False).result(deadline_s)
                job = self._latest(name)
            while name and job is not None and job.status not in ENDED:
                if self._clock.monotonic() - start >= deadline_s:
                    raise DeadlineError(f"its setup has not ended after {deadline_s:.0f} s", cloud=CLOUD)
                self._clock.sleep(_LOOK_EVERY_S, self._cancel)
                job = self._latest(name)
            if name and (job is None or job.status in FAILED):
                status = "not there" if job is None else job.status
                raise NodeFailedError(f"its setup is {status}{self._last_lines(job)}", cloud=CLOUD)

    def run(self) -> int | None:
        """Sees to it that what the cluster runs has been started, once; ends what it ran before.

        Returns:
            The job's id; None where nothing is to run.

        Raises:
            GpuCloudError: It could not be started, or nobody can say whether it was.
        """
        name = self._inputs.job_name
        with cloud_errors():
            jobs = [] if self._fresh else self._client.queue(self._cluster)
            others = [
                job.job_id
                for job in jobs
                if job.job_name.startswith(_RUNS)
                and job.job_name != name
                and job.status not in ENDED
                and job.job_id is not None
            ]
            if others:
                self._say(f"ending job {', '.join(map(str, others))}, which is not declared any more")
                self._client.cancel_jobs(self._cluster, others)
            if not name:
                return None
            found = _newest(jobs, name)
            if found is not None:
                return found.job_id
            self._say("starting its job")
            return self._start()

    def _start(self) -> int | None:
        try:
            return self._client.exec(as_text(self._inputs.run_task()), self._cluster).result().job_id
        except ApiError as error:
            doubt = as_cloud_error(error)
            for _ in range(_LOOKS_FOR_LOST):
                job = self._look()
                if job is not None:
                    return job.job_id
                self._clock.sleep(_LOOK_EVERY_S, self._cancel)
            raise doubt from None

    def _look(self) -> JobRecord | None:
        try:
            return self._latest(self._inputs.job_name)
        except (ApiError, GpuCloudError):
            return None

    def _latest(self, name: str) -> JobRecord | None:
        return _newest(self._client.queue(self._cluster), name) if name else None

    def _last_lines(self, job: JobRecord | None) -> str:
        """The end of a job's log, for a message; empty where it can't be had."""
        if job is None or job.job_id is None:
            return ""
        try:
            secrets = [*self._inputs.envs.values(), *self._inputs.secrets.values()]
            lines = self._client.job_log_lines(
                self._cluster, job.job_id, follow=False, tail=_SHOWN_LINES, secrets=secrets
            )
            last = [line.strip() for line in islice(lines, _SHOWN_LINES * 4)]
        except (ApiError, GpuCloudError):
            return ""
        shown = [text for text in last if text][-_SHOWN_LINES:]
        return f": {' | '.join(shown)}" if shown else ""


def _newest(jobs: list[JobRecord], name: str) -> JobRecord | None:
    named = [job for job in jobs if job.job_name == name and job.job_id is not None]
    return max(named, key=lambda job: job.job_id or 0, default=None)
