"""Reads the configuration of the current stack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi

from stack_config import NAMESPACE, StackConfig, StackConfigError, load, read_stack_file, stack_file_name
from stack_config.clear_text import clear_text
from stack_config.models import StackFile
from stack_config.stack_file import parse_values


def read_stack() -> StackConfig:
    """The checked configuration of the stack that the engine runs.

    Raises:
        pulumi.RunError: It breaks a rule, or has a key in clear text; one message for people.
    """
    config = pulumi.Config(NAMESPACE)
    keys = [info.alias or name for name, info in StackFile.model_fields.items()]
    texts = {f"{NAMESPACE}:{key}": text for key in keys if (text := config.get(key)) is not None}
    secret_keys = [key for key in keys if pulumi.runtime.is_config_secret(f"{NAMESPACE}:{key}")]
    stack = pulumi.get_stack()
    try:
        values = parse_values(texts)
        file = _file(stack)
        # The engine hands over only what is asked for by name: a key spelled wrong stands in the file alone.
        unknown = {key: value for key, value in (file or {}).items() if key not in keys}
        checked = load({**values, **unknown}, stack)
        if problems := clear_text(values, file, secret_keys):
            raise StackConfigError(stack_file_name(stack), problems)
    except StackConfigError as error:
        raise pulumi.RunError(error.message) from None
    return checked


def _file(stack: str) -> Mapping[str, object] | None:
    """What is in the stack's file; None where it is elsewhere: the engine can be told another place."""
    path = Path(pulumi.get_root_directory() or ".") / stack_file_name(stack)
    return read_stack_file(path) if path.is_file() else None
