"""A new stackId and the schema's line, and their places in a stack file whose comments and layout stay."""

from __future__ import annotations

import re
import secrets
import string

import yaml

from stack_config.json_schema import MODELINE

KEY = "gpuplane:stackId"

_EMPTY_CONFIG = re.compile(r"^config:[ \t]*(?:null|~)?(?P<comment>[ \t]+#.*)?[ \t]*$", re.MULTILINE)


def new_stack_id() -> str:
    """8 random lower-case letters and digits; a letter first, so that YAML never reads a number."""
    rest = string.ascii_lowercase + string.digits
    return secrets.choice(string.ascii_lowercase) + "".join(secrets.choice(rest) for _ in range(7))


def with_stack_id(text: str, stack_id: str) -> str:
    """The text of a stack file with a stackId in it, and otherwise as it was.

    Args:
        text: The file's text; empty for a new file.
        stack_id: The id to write.

    Returns:
        The new text.

    Raises:
        ValueError: The file has an id already, or is not what a stack file is.
    """
    before = _parsed(text)
    config = before.get("config")
    values = config if isinstance(config, dict) else {}
    if values.get(KEY):
        raise ValueError(f"{KEY} is set already; nodes carry it in their names, so it is never replaced")
    changed = _insert(text, stack_id, config)
    if _parsed(changed) != {**before, "config": {**values, KEY: stack_id}}:
        raise ValueError(
            f"can not place {KEY} in this layout: write `{KEY}: {stack_id}` under config by hand"
        )
    return changed


def with_schema(text: str) -> str:
    """The text of a stack file whose first line says which schema editors hold it to.

    Args:
        text: The file's text; one that names a schema already stays as it is.
    """
    if "yaml-language-server:" in text:
        return text
    return f"{MODELINE}\n{text}"


def _insert(text: str, stack_id: str, config: object) -> str:
    line = f"{KEY}: {stack_id}"
    if config is None:
        empty = _EMPTY_CONFIG.search(text)
        if empty:
            comment = empty["comment"] or ""
            return f"{text[: empty.start()]}config:{comment}\n  {line}{text[empty.end() :] or chr(10)}"
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}config:\n  {line}\n"
    node = _config_node(text)
    if node.flow_style and not node.value and node.start_mark.column == len("config: "):
        return f"{text[: node.start_mark.index].rstrip(' ')}\n  {line}{text[node.end_mark.index :]}"
    if node.flow_style:
        comma = ", " if node.value else ""
        return (
            f"{text[: node.start_mark.index + 1]}{KEY}: {stack_id}{comma}{text[node.start_mark.index + 1 :]}"
        )
    for key, value in node.value:
        if key.value == KEY:
            return f"{text[: value.start_mark.index]}{stack_id}{text[value.end_mark.index :]}"
    first = node.value[0][0].start_mark
    return f"{text[: first.index]}{line}\n{' ' * first.column}{text[first.index :]}"


def _config_node(text: str) -> yaml.MappingNode:
    document = yaml.compose(text, yaml.SafeLoader)
    if isinstance(document, yaml.MappingNode):
        for key, value in document.value:
            if key.value == "config" and isinstance(value, yaml.MappingNode):
                return value
    raise ValueError("config must be an object of keys and values")


def _parsed(text: str) -> dict[str, object]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("is not valid YAML") from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict | None):
        raise ValueError("is not a stack file: it and its `config` must be objects of keys and values")
    return {str(key): value for key, value in document.items()}
