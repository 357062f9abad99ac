"""The log of a cluster as a node's log: of its last job, or of its provisioning while there is no job."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_clouds.models import LogLine
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import RequestFailedError

_PROVISIONING = "provisioning"


def job_lines(client: SkyPilotClient, name: str, *, tail: int, cursor: str) -> Iterator[LogLine]:
    """Lines of the log; ends when the job does.

    Args:
        client: The server.
        name: The cluster.
        tail: Begin with the last so many lines.
        cursor: Go on after a line that was given before; empty to begin with the tail.

    Raises:
        ApiError: There is no such cluster.
    """
    source, seen = _position(cursor)
    source = source or _last_job(client, name)
    if not cursor:
        seen = max(0, sum(1 for _ in _lines(client, name, source, follow=False)) - max(0, tail))
    for number, text in enumerate(_lines(client, name, source, follow=True), start=1):
        if number > seen:
            told = "system" if source == _PROVISIONING else "container"
            yield LogLine(f"{source}:{number}", "", told, text)


def _lines(client: SkyPilotClient, name: str, source: str, *, follow: bool) -> Iterator[str]:
    if source == _PROVISIONING:
        return client.provision_log_lines(name, follow=follow)
    return client.job_log_lines(name, int(source), follow=follow)


def _last_job(client: SkyPilotClient, name: str) -> str:
    try:
        jobs = client.queue(name)
    except RequestFailedError as error:
        if error.is_not_found:
            raise
        return _PROVISIONING  # it is not up yet
    ids = [job.job_id for job in jobs if job.job_id is not None]
    return str(max(ids)) if ids else _PROVISIONING


def _position(cursor: str) -> tuple[str, int]:
    """The source and the number of lines of a cursor; of one that is none, the beginning."""
    source, _, number = cursor.partition(":")
    known = source == _PROVISIONING or (source.isascii() and source.isdigit())
    return (source, int(number)) if known and number.isascii() and number.isdigit() else ("", 0)
