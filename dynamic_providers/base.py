"""What every provider of ours does the same way. Besides `host` the only place that knows the engine's traps.

- `check` runs in preview and at every `up`, also for unchanged resources; values that are not known yet
  arrive as `pulumi.output.Unknown`, numbers as floats.
- `diff` and `update` see old outputs, never old inputs: outputs repeat the inputs.
- `update` has to return every output, or it vanishes.
- Credentials come through `configure` alone, never through inputs.
- A provider object is pickled into the state: it holds nothing but its class.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pulumi.dynamic import CheckFailure, CheckResult, ConfigureRequest, ResourceProvider
from pulumi.output import Unknown
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from dynamic_providers.clouds import Shared, shared_for
from dynamic_providers.host.call import current_call, progress

STOCK_HOST = (
    "gpuplane runs under the SDK's own host for dynamic providers: it works, more slowly, and without "
    "previews of cost, ^C and partial state; see docs/host.md"
)


class Inputs(BaseModel):
    """Base of the inputs of a resource: camelCase keys, immutable, nothing that we do not know."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    def as_props(self) -> dict[str, Any]:
        """The inputs as the engine keeps them; what has its default is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


_Model = TypeVar("_Model", bound=Inputs)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[_Model]):
    """Properties of the engine, read.

    Attributes:
        model: The inputs; those that are not known yet have their default. None where a rule is broken.
        unknown: Names of top-level inputs that are not known yet, wholly or in part.
        failures: Broken rules.
    """

    model: _Model | None
    unknown: frozenset[str]
    failures: tuple[CheckFailure, ...]


def parse(model: type[_Model], props: Mapping[str, Any]) -> Parsed[_Model]:
    """Reads the properties that a model knows.

    Args:
        model: What to read.
        props: Properties as the engine sends them.
    """
    own = own_props(props)
    unknown = frozenset(key for key, value in own.items() if has_unknown(value))
    try:
        read = model.model_validate({key: value for key, value in own.items() if key not in unknown})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        inside = {detail["loc"][0] for detail in details if len(detail["loc"]) > 1}
        found = [
            _failure(model, detail["loc"], detail["type"], detail["msg"])
            for detail in details
            # An input that is not known yet is not missing, and a list with a wrong entry is not empty.
            if not (detail["type"] == "missing" and detail["loc"][0] in unknown)
            and not (detail["type"] == "too_short" and detail["loc"][0] in inside)
        ]
        return Parsed(None, unknown, tuple(found))
    return Parsed(read, unknown, ())


def own_props(props: Mapping[str, Any]) -> dict[str, Any]:
    """The properties without those of the SDK (`__provider`)."""
    return {key: value for key, value in props.items() if not key.startswith("__")}


def inputs_in(model: type[Inputs], outs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that outputs repeat."""
    names = {info.alias or name for name, info in model.model_fields.items()}
    return {key: value for key, value in own_props(outs).items() if key in names}


def has_unknown(value: Any) -> bool:
    """Whether a value is not known yet, wholly or in part."""
    if isinstance(value, Mapping):
        return any(has_unknown(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(has_unknown(each) for each in value)
    return isinstance(value, Unknown)


class Provider(ResourceProvider):
    """Base of our providers."""

    serialize_as_secret_always = False

    _shared: Shared | None = None
    _warned = False

    def __reduce__(self) -> tuple[type[Provider], tuple[()]]:
        """Only the class goes into the state: what `configure` has set holds connections and keys."""
        return type(self), ()

    def configure(self, req: ConfigureRequest) -> None:
        """Reads the stack's credential sets and settings; connects nothing yet."""
        self._shared = shared_for(req.config)
        if not current_call().hosted and not Provider._warned:
            Provider._warned = True
            progress(f"warning: {STOCK_HOST}", keep=True)

    @property
    def shared(self) -> Shared:
        """What the operations of this process share."""
        if self._shared is None:
            raise RuntimeError("the provider was used before it was configured")
        return self._shared


def checked(
    props: Mapping[str, Any], inputs: Inputs | None, unknown: frozenset[str], failures: Sequence[CheckFailure]
) -> CheckResult:
    """The answer of `check`: normalised inputs, unknown ones as they are.

    The engine prints the value of a property that it knows with the failure, in Go's words, so the place is
    told in the sentence instead.

    Args:
        props: What the engine sent.
        inputs: What was read of it; None where that failed.
        unknown: Names of inputs that are not known yet.
        failures: Broken rules.
    """
    own = own_props(props)
    if inputs is None or failures:
        return CheckResult(own, [CheckFailure("", f"{each.property}: {each.reason}") for each in failures])
    return CheckResult({**inputs.as_props(), **{key: own[key] for key in unknown}}, [])


def _failure(model: type[Inputs], place: tuple[int | str, ...], kind: str, message: str) -> CheckFailure:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    if kind == "extra_forbidden":
        known = [info.alias or name for name, info in model.model_fields.items()] if len(place) == 1 else []
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        return CheckFailure(path, f"unknown input{guess}")
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "missing":
        return CheckFailure(path, "is required")
    return CheckFailure(path, text if text == message.removeprefix("Value error, ") else f"must be {text}")
