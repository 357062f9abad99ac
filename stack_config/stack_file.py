"""Reads a stack file without an engine: secure values stay closed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from stack_config.errors import Problem, StackConfigError

NAMESPACE = "gpuplane"
"""Namespace of our configuration keys: the project's name."""


class Opaque(str):
    """A secure value that nobody has decrypted: its text is a placeholder."""

    __slots__ = ()

    def __new__(cls) -> Opaque:
        """One placeholder is like any other."""
        return super().__new__(cls, "[secret]")


class Loader(yaml.SafeLoader):
    """YAML as Pulumi reads it: a time stamp stays text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def stack_file_name(stack: str) -> str:
    """Name of a stack's file: `Pulumi.dev.yaml` for `dev` and for `organization/gpuplane/dev`."""
    return f"Pulumi.{stack.rsplit('/', 1)[-1]}.yaml"


def read_stack_file(path: Path) -> dict[str, object]:
    """The values of the namespace `gpuplane` in a stack file, without their namespace.

    Args:
        path: The stack file.

    Returns:
        What `load` takes; every secure value is an `Opaque`.

    Raises:
        StackConfigError: The file is absent or is not a YAML object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problem = Problem("file", "does not exist", next_step="run `gpuplane init` in the project's folder")
        raise StackConfigError(path.name, [problem]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StackConfigError(path.name, [Problem("file", f"can not be read ({error})")]) from None
    try:
        document = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "file"
        reason = getattr(error, "problem", None) or "not valid YAML"
        raise StackConfigError(path.name, [Problem(where, f"not valid YAML: {reason}")]) from None
    config = (document.get("config") or {}) if isinstance(document, dict) else (document or {})
    if not isinstance(config, dict):
        raise StackConfigError(path.name, [Problem("config", "must be an object of keys and values")])
    prefix = f"{NAMESPACE}:"
    return {
        str(key)[len(prefix) :]: _close(value) for key, value in config.items() if str(key).startswith(prefix)
    }


def parse_values(config: Mapping[str, str]) -> dict[str, object]:
    """What `load` takes, from `pulumi config --json`-like text values.

    Args:
        config: Full key -> text; objects are JSON text, as Pulumi hands them to a program.
    """
    prefix = f"{NAMESPACE}:"
    values: dict[str, object] = {}
    for key, text in config.items():
        if key.startswith(prefix):
            name = key[len(prefix) :]
            values[name] = json.loads(text) if text[:1] in ("{", "[") else text
    return values


def _close(value: object) -> object:
    """Replaces `{secure: …}` by an `Opaque`, at any depth."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return Opaque()
        return {str(key): _close(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_close(inner) for inner in value]
    return value
