"""Field types for a cloud's JSON that never make a whole answer unreadable.

Unknown fields are for the models to ignore; here missing, null and odd values become a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ValidationError, WrapValidator
from pydantic_core.core_schema import ValidatorFunctionWrapHandler


def or_none(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A value of an unexpected shape counts as not told."""
    try:
        return handler(value)
    except ValidationError:
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _readable_items(value: Any) -> list[Any]:
    return [item for item in value if item is not None] if isinstance(value, list) else []


Text = Annotated[str, BeforeValidator(_text)]
OptionalInt = Annotated[int | None, WrapValidator(or_none)]
OptionalFloat = Annotated[float | None, WrapValidator(or_none)]
OptionalTime = Annotated[datetime | None, WrapValidator(or_none)]
_T = TypeVar("_T")
Optional = Annotated[_T | None, WrapValidator(or_none)]
Items = Annotated[list[_T], BeforeValidator(_readable_items)]
