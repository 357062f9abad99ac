"""Why a service did not come up, in words, without its secrets."""

from __future__ import annotations

from pathlib import Path

from gpu_clouds.errors import GpuCloudError, ValidationError
from gpu_clouds.redaction import redact
from local_services.log import last_lines
from local_services.record import Record
from local_services.spec import ServiceSpec


def died(name: str, record: Record | None, spec: ServiceSpec, folder: Path, begin: int) -> GpuCloudError:
    """The error for a service that ended before it was up.

    Args:
        name: The service's name.
        record: What its supervisor has written last.
        spec: The service.
        folder: Its folder.
        begin: Where the part of the log begins that is of this start.
    """
    if record is not None and record.failure:
        return ValidationError(f"[{name}] can't be started: {redact(record.failure, spec.secrets())}")
    code = None if record is None else record.exit_code
    if code is None:
        lines = last_lines(folder / "supervisor.log")
        how = f"with its supervisor ({lines[-1] if lines else 'which was killed'})"
    else:
        how = f"with status {code}" if code >= 0 else f"by signal {-code}"
    told = end_of_log(spec, folder, begin)
    return ValidationError(f"[{name}] ended {how} before it answered {spec.asked}{told}")


def end_of_log(spec: ServiceSpec, folder: Path, begin: int) -> str:
    """The last lines of a service's log, to be put behind an error.

    Args:
        spec: The service.
        folder: Its folder.
        begin: Lines before this place are of an earlier start.
    """
    log = spec.log_in(folder)
    lines = last_lines(log, begin)
    if not lines:
        return f"; it wrote nothing into {log}"
    shown = "\n".join(f"  {redact(line, spec.secrets())}" for line in lines)
    return f"; the end of {log}:\n{shown}"
