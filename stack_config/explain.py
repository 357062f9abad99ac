"""Turns pydantic's findings into sentences; no input value that could be a secret is ever repeated."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from stack_config import databases, model_servers
from stack_config.errors import Problem, listing, nearest
from stack_config.models import StackFile

_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object of names and values",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "datetime_type": "a time with its zone, like 2027-01-31T18:00:00Z",
    "datetime_parsing": "a time with its zone, like 2027-01-31T18:00:00Z",
    "datetime_from_date_parsing": "a time with its zone, like 2027-01-31T18:00:00Z",
    "timezone_aware": "a time with its zone, like 2027-01-31T18:00:00Z",
}
_PATTERNS = {
    r"^[0-9]{1,5}/(http|tcp)$": "must look like 8000/http or 22/tcp",
    r"^/[^\s]*$": "must start with / and hold no white space",
    r"^\S+$": "must hold no white space",
    r"^[a-z0-9_-]+$": "must have lower-case letters, digits, - and _ only",
    r"^[0-9]{1,5}(-[0-9]{1,5})?$": "must look like 8080 or 10000-10020",
    r"^([0-9]+(\.[0-9]+)?[+x]?)?$": "must look like 8 or 8+",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]+(\.[0-9]+)?)?$": "must look like H100 or A100:8",
    **databases.PATTERNS,
    **model_servers.PATTERNS,
}


def explain(error: ValidationError, values: Mapping[str, object]) -> list[Problem]:
    """One problem for each finding.

    Args:
        error: What pydantic found in a `StackFile`.
        values: What was validated, to name the type of a wrong value.
    """
    found = error.errors(include_url=False, include_input=False)
    places = [detail["loc"] for detail in found]
    # A list whose only entry is wrong also counts as empty: the entry's own problem says more.
    told = [
        detail
        for detail in found
        if detail["type"] != "too_short"
        or not any(
            len(place) > len(detail["loc"]) and place[: len(detail["loc"])] == detail["loc"]
            for place in places
        )
    ]
    return [_problem(detail, values) for detail in told]


def key_path(location: tuple[int | str, ...]) -> str:
    """`("clusters", "chat", "candidates", 0, "gpus")` -> `gpuplane:clusters.chat.candidates[0].gpus`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return f"gpuplane:{text}"


def _problem(detail: ErrorDetails, values: Mapping[str, object]) -> Problem:
    location = detail["loc"]
    path = key_path(location)
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return Problem(path, "is required", next_step=_hint(location))
    if kind == "literal_error":
        valid = _literals_at(location)
        written = _value_at(values, location)
        guess = nearest(written, valid) if isinstance(written, str) else ""
        return Problem(path, "is not a valid value", guess, f"use {listing(valid)}")
    if kind in _TYPES:
        return Problem(path, f"must be {_TYPES[kind]}, not {_kind_of(_value_at(values, location))}")
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return Problem(path, _PATTERNS.get(pattern, f"must match {pattern}"))
    return Problem(path, _bound(kind, context))


def _bound(kind: str, context: Mapping[str, Any]) -> str:
    """The sentence of a broken limit."""
    match kind:
        case "greater_than":
            return f"must be above {context['gt']:g}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}"
        case "less_than":
            return f"must be below {context['lt']:g}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "too_short":
            least = context["min_length"]
            return f"must have at least {'one entry' if least == 1 else f'{least} entries'}"
    return "is not valid"


def _unknown_key(location: tuple[int | str, ...]) -> Problem:
    *parents, key = location
    valid = _keys_at(tuple(parents))
    guess = nearest(str(key), valid)
    step = "" if guess else f"use {listing(valid)}"
    return Problem(key_path(location), "unknown key", guess, step)


def _hint(location: tuple[int | str, ...]) -> str:
    """The description of a missing field, as the next step."""
    model = _type_at(location[:-1])
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            if location[-1] in (name, field.alias):
                return (field.description or "").split(";")[0].rstrip(".")
    return ""


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """Valid keys of the object at a location."""
    model = _type_at(location)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []


def _literals_at(location: tuple[int | str, ...]) -> list[str]:
    """Valid words at a location."""
    found = _type_at(location)
    return [str(word) for word in get_args(found)] if get_origin(found) is Literal else []


def _type_at(location: tuple[int | str, ...]) -> Any:
    """The annotation that a location of the stack file is held to; None where there is none."""
    current: Any = StackFile
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = current.model_fields.items()
            found = [field.annotation for name, field in fields if part in (name, field.alias)]
            if not found:
                return None
            current = _plain(found[0])
        elif get_origin(current) is dict:
            current = _plain(get_args(current)[1])
        elif get_origin(current) is tuple:
            current = _plain(get_args(current)[0])
        else:
            return None
    return current


def _plain(annotation: Any) -> Any:
    """An annotation without `| None` and `Annotated`."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not type(None)]
        return _plain(inner[0])
    return annotation


def _value_at(values: object, location: tuple[int | str, ...]) -> object:
    """What was written at a location."""
    for part in location:
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
        else:
            return None
    return values.get_secret_value() if isinstance(values, SecretStr) else values


def _kind_of(value: object) -> str:
    """What a wrong value is, without repeating it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case Mapping():
            return "an object"
    return "something else"
