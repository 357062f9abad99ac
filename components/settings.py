"""Reads the configuration of the current stack."""

from __future__ import annotations

import pulumi

from stack_config import NAMESPACE, StackConfig, StackConfigError, load
from stack_config.models import StackFile
from stack_config.stack_file import parse_values


def read_stack() -> StackConfig:
    """The checked configuration of the stack that the engine runs.

    Raises:
        pulumi.RunError: It breaks a rule; one message for people.
    """
    config = pulumi.Config(NAMESPACE)
    keys = [info.alias or name for name, info in StackFile.model_fields.items()]
    texts = {f"{NAMESPACE}:{key}": text for key in keys if (text := config.get(key)) is not None}
    try:
        return load(parse_values(texts), pulumi.get_stack())
    except StackConfigError as error:
        raise pulumi.RunError(error.message) from None
