"""Which values of a task nobody may read in a log or an error."""

from __future__ import annotations

from collections.abc import Iterator

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
    found = (
        value
        for document in documents
        if isinstance(document, dict)
        for section in _SECTIONS
        for value in _values(document.get(section))
    )
    return frozenset(text for value in found for text in _spellings(value))


def _values(section: object) -> Iterator[object]:
    if isinstance(section, dict):
        yield from section.values()
    elif isinstance(section, list):
        for item in section:
            yield from item.values() if isinstance(item, dict) else ()


def _spellings(value: object) -> Iterator[str]:
    """The value, and how it looks inside a quoted text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return
    text = str(value)
    yield text
    quoted = repr(text)[1:-1]
    if quoted != text:
        yield quoted
