"""What is done before a service starts: a command, such as an installation, and the files of its home."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from gpu_clouds.clock import Clock
from gpu_clouds.errors import CancelledError, DeadlineError, ValidationError
from gpu_clouds.redaction import redact
from local_services.log import last_lines
from local_services.record import write_private
from local_services.spec import PACKAGES, ServiceSpec

TELL_EVERY_S = 15.0


def prepare(
    name: str,
    spec: ServiceSpec,
    folder: Path,
    cancel: threading.Event,
    clock: Clock,
    tell: Callable[[str], None],
) -> str:
    """Runs `spec.prepare` and waits for its end.

    Args:
        name: The service's name in messages.
        spec: The service, its placeholders filled.
        folder: The service's own folder; what the command says goes into `prepare.log`.
        cancel: Set when the user asks to stop.
        clock: Tells the time.
        tell: Takes a line of progress.

    Returns:
        The last line that it has printed on its standard output.

    Raises:
        ValidationError: It failed; the message has its last lines.
        DeadlineError: It takes too long; it has been ended.
        CancelledError: The user asked to stop; it has been ended.
    """
    log, printed = folder / "prepare.log", folder / "prepare.out"
    # Not the service's own environment: an installer needs no keys, but whatever else this machine has set.
    env = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}
    with log.open("wb") as errors, printed.open("wb") as output:
        try:
            process = subprocess.Popen(
                spec.prepare,
                cwd=PACKAGES,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise ValidationError(f"[{name}] {spec.prepare[0]}: {error.strerror}") from None
    started = told = clock.monotonic()
    try:
        while (code := process.poll()) is None:
            clock.sleep(0.1, cancel)
            now = clock.monotonic()
            if now - started > spec.prepare_timeout_s:
                raise DeadlineError(
                    f"[{name}] its preparation took longer than {spec.prepare_timeout_s:g} s"
                    f"{_last_words(spec, log)}"
                )
            if now - told > TELL_EVERY_S or told == started:
                told = now
                tell(f"[{name}] preparing it: {now - started:.0f} s")
    except (CancelledError, DeadlineError):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code != 0:
        raise ValidationError(f"[{name}] its preparation failed with status {code}{_last_words(spec, log)}")
    lines = last_lines(printed)
    return lines[-1] if lines else ""


def write_files(spec: ServiceSpec, folder: Path, before: Iterable[str]) -> None:
    """Writes the files of the service's home, for this user alone, and removes those that it had before.

    Args:
        spec: The service; without a home of its own it has no files.
        folder: The service's own folder.
        before: The files that were written the last time.
    """
    home = spec.home_in(folder)
    if home is None:
        return
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in set(before) - set(spec.files):
        place = home / name
        place.unlink(missing_ok=True)
        place.with_name(f".{place.name}.new").unlink(missing_ok=True)  # of a write that was killed
    for name, text in spec.files.items():
        place = home / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(place, text)


def _last_words(spec: ServiceSpec, log: Path) -> str:
    lines = last_lines(log)
    return ":\n" + "\n".join(f"  {redact(line, spec.secrets())}" for line in lines) if lines else ""
