"""Calls about the jobs of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_clouds.answers import Kind
from gpu_clouds.errors import ValidationError
from gpu_clouds.skypilot.calls import Calls, many, mapping, nothing
from gpu_clouds.skypilot.models import JobRecord


class JobCalls(Calls):
    """Look at jobs and cancel them."""

    def queue(self, name: str, *, skip_finished: bool = False, all_users: bool = True) -> list[JobRecord]:
        """The jobs of a cluster.

        Args:
            name: The cluster; it must be up.
            skip_finished: Only those that wait or run.
            all_users: Those of other users too.
        """
        fields = {"cluster_name": name, "skip_finished": skip_finished, "all_users": all_users}
        return self._submit("queue", "/queue", many(JobRecord), fields).result()

    def job_status(self, name: str, job_ids: Sequence[int]) -> dict[int, str]:
        """Job -> its state (`SUCCEEDED`, …); empty for a job that there is not.

        Args:
            name: The cluster; it must be up.
            job_ids: The jobs, at least one.
        """
        found = self._submit(
            "job_status",
            "/job_status",
            mapping,
            {"cluster_name": name, "job_ids": _some(job_ids, "the state of no job was asked for")},
        ).result()
        return {int(job): str(state or "") for job, state in found.items() if job.isdigit()}

    def cancel_jobs(self, name: str, job_ids: Sequence[int]) -> None:
        """Cancels these jobs of a cluster.

        Args:
            name: The cluster.
            job_ids: The jobs.

        Raises:
            ValidationError: No job is named: without any the server would choose one itself.
        """
        ids = _some(job_ids, "no job to cancel is named")
        fields = {"cluster_name": name, "job_ids": ids, "all": False, "all_users": False}
        self._submit("cancel_jobs", "/cancel", nothing, fields, kind=Kind.DELETE).result()

    def cancel_all_jobs(self, name: str, *, all_users: bool = False) -> None:
        """Cancels every job of a cluster.

        Args:
            name: The cluster.
            all_users: Those of other users too.
        """
        # The server refuses an empty list together with `all`: it must be null.
        fields = {"cluster_name": name, "job_ids": None, "all": True, "all_users": all_users}
        self._submit("cancel_all_jobs", "/cancel", nothing, fields, kind=Kind.DELETE).result()


def _some(job_ids: Sequence[int], why: str) -> list[int]:
    if isinstance(job_ids, str | bytes) or not job_ids:
        raise ValidationError(why)
    if not all(isinstance(job, int) and not isinstance(job, bool) and job >= 0 for job in job_ids):
        raise ValidationError("ids of jobs are whole numbers")
    return list(job_ids)
