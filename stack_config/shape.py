"""What all objects of the stack file have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Usd = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]


class Model(BaseModel):
    """Strict, immutable, and without a key that we do not know."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
    )
