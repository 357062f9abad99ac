"""Which values of a task nobody may read in a log or an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

_SECTIONS = ("envs", "secrets")


def secret_values(task: str) -> frozenset[str]:
    """The values under `envs` and `secrets` of a task, as the server may repeat them in an error.

    Args:
        task: YAML text, one task or several. Text that is no YAML has none: the server refuses it.
    """
    import yaml

    try:
        documents = list(yaml.load_all(task, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError, RecursionError):
        return frozenset()
    return frozenset(
        str(value)
        for document in documents
        if isinstance(document, dict)
        for section in _SECTIONS
        for value in _values(document.get(section))
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    )


def spelled(values: Iterable[str]) -> frozenset[str]:
    """The values in each way in which a server, or a job, may write them.

    As they are, inside a quoted text of Python, JSON or YAML, and line by line.
    """
    found: set[str] = set()
    for value in values:
        found |= {
            value,
            repr(value)[1:-1],
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
        }
        found |= {value.replace("'", "''"), *(line.strip() for line in value.splitlines())}
    return frozenset(found - {""})


def _values(section: object) -> Iterator[object]:
    if isinstance(section, dict):
        yield from section.values()
    elif isinstance(section, list):
        for item in section:
            yield from item.values() if isinstance(item, dict) else ()
