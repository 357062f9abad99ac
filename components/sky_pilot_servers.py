"""The SkyPilot servers of a stack file, as arguments: looked at before anything is registered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pydantic import SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from stack_config import Problem, SkyPilotServer, StackConfig, StackConfigError, stack_file_name

if TYPE_CHECKING:
    from components.sky_pilot_api_server import SkyPilotApiServerArgs

_VALUES = ("service_accounts", "external_proxy", "api_key")
"""Words with an underscore that are no keys of the stack file."""


def server_args(config: StackConfig) -> Mapping[str, SkyPilotApiServerArgs]:
    """Arguments of every server that a stack declares.

    Args:
        config: The checked configuration.

    Returns:
        Name -> arguments.

    Raises:
        pulumi.RunError: A rule is broken, a line for each; or a file of this machine can't be read.
    """
    found: dict[str, SkyPilotApiServerArgs] = {}
    problems: list[Problem] = []
    for name, spec in config.skypilot_servers.items():
        from components.sky_pilot_api_server import SkyPilotApiServerArgs

        try:
            found[name] = SkyPilotApiServerArgs(**_arguments(name, spec))
        except ValidationError as error:
            problems += _problems(f"gpuplane:skypilotServers.{name}", error)
    if problems:
        raise pulumi.RunError(StackConfigError(stack_file_name(config.stack), problems).message)
    return found


def check_servers(servers: Mapping[str, SkyPilotApiServerArgs]) -> None:
    """Looks at what each server needs besides its arguments, such as an SDK.

    Args:
        servers: What `server_args` gives.

    Raises:
        pulumi.RunError: Something is missing; the message says what to do.
    """
    for name, args in servers.items():
        from components.sky_pilot_api_server import TARGETS

        TARGETS[args.target].check(name)


def _arguments(name: str, spec: SkyPilotServer) -> dict[str, Any]:
    return {
        "target": spec.target,
        "port": spec.port,
        "allowed_clouds": spec.allowed_clouds,
        "config": spec.config,
        "files": {place: pulumi.Output.secret(_text(name, path)) for place, path in spec.home_files.items()},
        "env": {key: _secret(value) for key, value in spec.env.items()},
        # In the clear, so that a password that is refused is refused here.
        "auth": {
            "kind": spec.auth,
            "user": "admin",
            "password": None if spec.password is None else spec.password.get_secret_value(),
        },
        "keep_home": spec.keep_home,
        "kubernetes": spec.kubernetes,
        "database_url": None if spec.database_url is None else spec.database_url.get_secret_value(),
        "accounts": {
            cloud: {key: _secret(value) for key, value in values.items()}
            for cloud, values in spec.accounts.items()
        },
        "oauth2_client_secret": None
        if spec.oauth2_client_secret is None
        else _secret(spec.oauth2_client_secret),
    }


def _secret(value: SecretStr) -> pulumi.Output[str]:
    return pulumi.Output.secret(value.get_secret_value())


def _problems(server: str, error: ValidationError) -> Iterator[Problem]:
    """The broken rules, in the words of the stack file."""
    for each in error.errors(include_input=False, include_url=False):
        for rule in each["msg"].removeprefix("Value error, ").split("\n"):
            path, colon, text = rule.partition(": ")
            if not colon or " " in path:
                path, text = "", rule
            yield Problem(".".join([server, *_steps(path)]), _SNAKE.sub(_key, text))


def _steps(path: str) -> list[str]:
    """Where an argument is in the stack file."""
    first, *rest = _MOVED.get(path, path).split(".")
    first = _MOVED.get(first, first)
    # Below these are names of the user's.
    if first not in ("env", "accounts", "homeFiles", "config"):
        rest = [to_camel(step) if "_" in step else step for step in rest]
    return [step for step in (to_camel(first) if "_" in first else first, *rest) if step]


_MOVED = {"auth.kind": "auth", "auth.password": "password", "files": "homeFiles"}
"""Argument -> key of the stack file, where they differ in more than the way of writing."""
_SNAKE = re.compile(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b")


def _key(word: re.Match[str]) -> str:
    return word.group() if word.group() in _VALUES else to_camel(word.group())


def _text(server: str, path: str) -> str:
    """A file of this machine that a server gets.

    Raises:
        pulumi.RunError: It can't be read.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise pulumi.RunError(f"gpuplane:skypilotServers.{server}.homeFiles: {path}: {why}") from None
