"""Inputs of a LocalService, their rules, and the spec that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pulumi.dynamic import CheckFailure
from pydantic import Field

from dynamic_providers.base import Inputs
from local_services.spec import ServiceSpec

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class ServiceInputs(Inputs):
    """Inputs of a LocalService.

    In `command`, `prepare` and values of `env`, `{python}` stands for the Python that runs the provider,
    `{packages}` for the folder that holds our packages, `{home}` for the service's home folder and
    `{prepared}` for the last line that `prepare` has printed.

    Attributes:
        service: Its name on this machine, below the stack's.
        command: Program and arguments. Every user of the machine can read them: secrets go into `env`.
        cwd: Folder that it runs in, absolute; by default its home, else its own folder.
        env: Environment variables; secret. Of ours it gets PATH, HOME, the language and proxies alone.
        home: HOME: by default the user's; a relative path is in the service's own folder, and ends with it.
        files: Path below `home` -> text, written before each start for this user alone; secret.
        keep_home: The home stays on destroy, without `files`.
        health_url: Answers 200 once the service is up.
        health_port: Instead of a URL: a port on 127.0.0.1 that accepts connections once the service is up.
        health_timeout_s: Seconds that this may take.
        log_file: Where its output goes, absolute; by default `service.log` in its own folder.
        log_max_mb: The log is moved to `<name>.1` when it is larger, MB.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        port_holders: Ports that must be free before the start and after the stop; a health port on this
            machine is one of them without being named.
        prepare: Command that is run before each start, such as an installation.
        prepare_timeout_s: Seconds that this may take.
        replace_trigger: Another value: the service is ended with its folder and made anew.
    """

    service: str
    command: tuple[str, ...]
    cwd: str = ""
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    home: str = ""
    files: dict[str, str] = Field(default_factory=dict, repr=False)
    keep_home: bool = False
    health_url: str = ""
    health_port: int = Field(default=0, ge=0, le=65535)
    health_timeout_s: Seconds = 60.0
    log_file: str = ""
    log_max_mb: float = Field(default=16.0, gt=0, le=10_000, allow_inf_nan=False)
    stop_grace_s: Seconds = 10.0
    port_holders: tuple[Port, ...] = ()
    prepare: tuple[str, ...] = ()
    prepare_timeout_s: Seconds = 900.0
    replace_trigger: str = ""

    def spec(self, timeout_s: float | None = None) -> ServiceSpec:
        """What is to run.

        Args:
            timeout_s: The resource's own time-out of this operation; None where it has none.
        """
        return ServiceSpec(
            command=self.command,
            cwd=self.cwd,
            env=self.env,
            home=self.home,
            files=self.files,
            log_file=self.log_file,
            log_max_mb=self.log_max_mb,
            health_url=self.health_url,
            health_port=self.health_port,
            health_timeout_s=timeout_s or self.health_timeout_s,
            ports=self.port_holders,
            stop_grace_s=self.stop_grace_s,
            prepare=self.prepare,
            prepare_timeout_s=self.prepare_timeout_s,
            keep_home=self.keep_home,
        )

    @property
    def url(self) -> str:
        """Where the service answers; empty where nothing tells."""
        if self.health_url:
            parts = urlsplit(self.health_url)
            return f"{parts.scheme}://{parts.netloc}"
        return f"http://127.0.0.1:{self.health_port}" if self.health_port else ""


STEERING = frozenset(
    {"keepHome", "healthUrl", "healthPort", "healthTimeoutS", "stopGraceS", "portHolders", "prepareTimeoutS"}
)
"""Inputs that a running service need not be started anew for."""
REPLACING = frozenset({"service", "replaceTrigger"})


def broken_rules(inputs: ServiceInputs, unknown: frozenset[str]) -> Iterator[CheckFailure]:
    """Rules that need no look at the machine.

    Args:
        inputs: The inputs.
        unknown: Names of those that are not known yet.
    """
    if not _NAME.fullmatch(inputs.service):
        yield CheckFailure("service", "must be lower-case letters, digits and '-', at most 48 characters")
    if "command" not in unknown and not (inputs.command and inputs.command[0]):
        yield CheckFailure("command", "name a program")
    for name in ("cwd", "log_file"):
        value = getattr(inputs, name)
        if value and not Path(value).is_absolute():
            yield _failure(name, f"must be an absolute path, not {value!r}")
    for name in inputs.env:
        if not _VARIABLE.fullmatch(name):
            yield CheckFailure("env", f"{name!r} is no name of an environment variable")
    if inputs.home and not Path(inputs.home).is_absolute() and not _is_below(inputs.home):
        yield CheckFailure(
            "home", f"must be an absolute path, or one inside the service's folder: {inputs.home!r}"
        )
    if inputs.files and not inputs.home and "home" not in unknown:
        yield CheckFailure("files", "are written below `home`: name one")
    for name in inputs.files:
        if not _is_below(name):
            yield CheckFailure("files", f"{name!r} must be a path below `home`")
    if inputs.health_url and inputs.health_port:
        yield CheckFailure("healthPort", "name a health URL or a health port, not both")
    if inputs.health_url and (problem := _url_problem(inputs.health_url)):
        yield CheckFailure("healthUrl", problem)


def _is_below(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and bool(parts.parts)


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "must be a URL with http or https"
    return "must hold no password" if parts.username or parts.password else ""


def _failure(field: str, reason: str) -> CheckFailure:
    alias: Any = ServiceInputs.model_fields[field].alias
    return CheckFailure(str(alias), reason)
