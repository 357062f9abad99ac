"""Counters of the cloud calls, in Prometheus text format.

Nobody can scrape a provider process, so the counters go to a file (`GPUPLANE_METRICS_FILE`, shared by all
processes of the machine) or to a Pushgateway (`GPUPLANE_PUSHGATEWAY_URL`) when an operation ends: `flush`.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from gpu_clouds.filelock import locked

_log = logging.getLogger("gpuplane.clouds")

_HELP = {
    "gpuplane_cloud_requests_total": ("counter", "Calls to clouds by their outcome."),
    "gpuplane_cloud_request_seconds": ("histogram", "How long the calls took."),
    "gpuplane_cloud_retries_total": ("counter", "Calls that were sent again."),
    "skypilot_api_requests_total": ("counter", "Calls to SkyPilot API servers by their status."),
    "skypilot_api_request_duration_seconds": ("histogram", "How long they took until the answer."),
    "skypilot_api_errors_total": ("counter", "Operations that failed in the end, by the error."),
    "skypilot_api_retries_total": ("counter", "Calls that were sent again."),
}
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_UNSAFE = re.compile(r'[\\"\n{}]')
_LINE = re.compile(r"(?P<series>[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^\n]*\})?) (?P<value>[0-9.eE+-]+)")


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._retries: Counter[tuple[str, str]] = Counter()
        self._buckets: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[tuple[str, str], float] = {}
        self._counted: Counter[str] = Counter()
        self._observed: dict[tuple[str, str], list[int]] = {}
        self._observed_seconds: dict[tuple[str, str], float] = {}
        self._in_file: Counter[str] = Counter()
        self._flushing = threading.Lock()

    def record(self, cloud: str, operation: str, status: str, seconds: float) -> None:
        """Counts one call.

        Args:
            cloud: Name of the cloud.
            operation: `create_pod`, …
            status: HTTP status, or `no_connection`, `timeout`, `lost` where there was no answer.
            seconds: How long it took.
        """
        bucket = _bucket(seconds)
        with self._lock:
            self._requests[cloud, operation, status] += 1
            self._buckets[cloud, operation, bucket] += 1
            self._seconds[cloud, operation] = self._seconds.get((cloud, operation), 0.0) + seconds

    def record_retry(self, cloud: str, operation: str) -> None:
        """Counts one call that is sent again."""
        with self._lock:
            self._retries[cloud, operation] += 1

    def count(self, name: str, **labels: str) -> None:
        """Adds one to a counter that `_HELP` names.

        Args:
            name: The counter.
            labels: Its labels; few different values, no secrets.
        """
        with self._lock:
            self._counted[f"{name}{{{_labels(labels)}}}"] += 1

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Adds a duration to a histogram that `_HELP` names.

        Args:
            name: The histogram.
            seconds: The duration.
            labels: Its labels.
        """
        key = (name, _labels(labels))
        with self._lock:
            buckets = self._observed.setdefault(key, [0] * (len(_BUCKETS) + 1))
            buckets[_bucket(seconds)] += 1
            self._observed_seconds[key] = self._observed_seconds.get(key, 0.0) + seconds

    def series(self) -> dict[str, float]:
        """Every series of this process with its value."""
        found: dict[str, float] = {}
        with self._lock:
            found.update(self._counted)
            for (name, labels), buckets in self._observed.items():
                found |= _histogram(name, labels, buckets, self._observed_seconds[name, labels])
            for (cloud, operation, status), count in self._requests.items():
                labels = f'{{cloud="{cloud}",operation="{operation}",status="{status}"}}'
                found[f"gpuplane_cloud_requests_total{labels}"] = count
            for (cloud, operation), seconds in self._seconds.items():
                labels = f'cloud="{cloud}",operation="{operation}"'
                buckets = [self._buckets[cloud, operation, index] for index in range(len(_BUCKETS) + 1)]
                found |= _histogram("gpuplane_cloud_request_seconds", labels, buckets, seconds)
            for (cloud, operation), count in self._retries.items():
                labels = f'{{cloud="{cloud}",operation="{operation}"}}'
                found[f"gpuplane_cloud_retries_total{labels}"] = count
        return found

    def flush(self) -> None:
        """Writes to wherever the environment says. Never raises: no operation fails for a counter."""
        file = os.environ.get("GPUPLANE_METRICS_FILE")
        gateway = os.environ.get("GPUPLANE_PUSHGATEWAY_URL")
        if not file and not gateway:
            return
        with self._flushing:
            now = self.series()
            if file:
                try:
                    self._add_to_file(Path(file), now)
                except OSError as error:
                    _log.warning("metrics are not written to %s: %s", file, error.strerror)
            if gateway:
                _push(gateway, render(now))

    def _add_to_file(self, path: Path, now: dict[str, float]) -> None:
        added = {name: value - self._in_file[name] for name, value in now.items()}
        if not any(added.values()):
            return
        with locked(path.with_name(path.name + ".lock")):
            old = parse(path.read_text("utf-8", "replace")) if path.exists() else {}
            merged = {name: old.get(name, 0.0) + added.get(name, 0.0) for name in old | added}
            with tempfile.NamedTemporaryFile(
                "w", dir=path.parent, prefix=path.name, delete=False, encoding="utf-8"
            ) as new:
                new.write(render(merged))
            Path(new.name).chmod(0o644)  # collectors run as another user, and there is no secret in it
            Path(new.name).replace(path)
        self._in_file.update(added)


def _bucket(seconds: float) -> int:
    return next((index for index, limit in enumerate(_BUCKETS) if seconds <= limit), len(_BUCKETS))


def _labels(labels: Mapping[str, str]) -> str:
    """Labels in their order, with what would end a value or a line taken out."""
    return ",".join(f'{name}="{_UNSAFE.sub("_", value)}"' for name, value in labels.items())


def _histogram(name: str, labels: str, buckets: Sequence[int], seconds: float) -> dict[str, float]:
    found: dict[str, float] = {}
    running = 0
    for index, number in enumerate(buckets):
        running += number
        limit = f"{_BUCKETS[index]:g}" if index < len(_BUCKETS) else "+Inf"
        found[f'{name}_bucket{{{labels},le="{limit}"}}'] = running
    found[f"{name}_sum{{{labels}}}"] = round(seconds, 6)
    found[f"{name}_count{{{labels}}}"] = running
    return found


METRICS = Metrics()
"""The counters of this process."""


def render(series: dict[str, float]) -> str:
    """Prometheus text format."""
    lines = []
    for name, (kind, help_text) in _HELP.items():
        own = [f"{key} {value:.15g}" for key, value in series.items() if key.startswith(name)]
        if own:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *own]
    return "\n".join(lines) + "\n" if lines else ""


def parse(text: str) -> dict[str, float]:
    """Series and values of a text written by `render`; lines that can not be read are left out."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            try:
                found[match["series"]] = float(match["value"])
            except ValueError:
                continue
    return found


def _push(gateway: str, text: str) -> None:
    import httpx  # only where a gateway is used: the import costs a tenth of a second

    instance = quote(f"{socket.gethostname()}-{os.getpid()}", safe="")
    url = f"{gateway.rstrip('/')}/metrics/job/gpuplane/instance/{instance}"
    try:
        answer = httpx.put(url, content=text.encode(), headers={"Content-Type": "text/plain"}, timeout=5.0)
        if not answer.is_success:
            _log.warning("the Pushgateway refused the metrics: HTTP %s", answer.status_code)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _log.warning("metrics are not pushed: %s", type(error).__name__)
