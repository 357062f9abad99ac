"""Models as clients see them: names, aliases with weights, prices, and `/v1/models`."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from zlib import crc32

import msgspec

from control_plane.gateway.declared import ApiKey, Declared, Target
from control_plane.gateway.errors import unknown_model

_encode = msgspec.json.Encoder().encode
OWNER = "gpuplane"


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, USD."""

    prompt: float = 0.0
    completion: float = 0.0

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What these tokens cost, USD."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1_000_000


@dataclass(frozen=True, slots=True)
class _Alias:
    models: tuple[str, ...]
    bounds: tuple[int, ...]

    @classmethod
    def of(cls, targets: tuple[Target, ...]) -> _Alias:
        used = [target for target in targets if target.weight > 0]
        return cls(
            tuple(target.model for target in used), tuple(accumulate(target.weight for target in used))
        )

    def pick(self, number: int) -> str:
        return self.models[bisect_right(self.bounds, number % self.bounds[-1])]


_FREE = Price()


class Catalog:
    """What may be asked for.

    Args:
        started: Time that models are said to be of, seconds since the epoch.
    """

    def __init__(self, started: float) -> None:
        self._started = int(started)
        self._names: frozenset[str] = frozenset()
        self._aliases: dict[str, _Alias] = {}
        self._prices: dict[str, Price] = {}

    def update(self, declared: Declared) -> None:
        """Takes over what is declared now."""
        self._aliases = {
            model.name: _Alias.of(model.targets)
            for model in declared.models
            if any(target.weight > 0 for target in model.targets)
        }
        self._prices = {
            model.name: Price(model.prompt_usd_per_million, model.completion_usd_per_million)
            for model in declared.models
            if model.prompt_usd_per_million or model.completion_usd_per_million
        }
        served = {name for node in declared.nodes for name in node.models}
        self._names = frozenset(served | {model.name for model in declared.models})

    def knows(self, name: str) -> bool:
        """Whether there is such a model or alias."""
        return name in self._names

    def resolve(self, asked: str, key: ApiKey, request_id: str) -> str:
        """The model that answers.

        Args:
            asked: Name in the request.
            key: The key; it may be bound to some models.
            request_id: Decides between the targets of an alias, always in the same way.

        Raises:
            Refused: 404: there is none of this name for this key.
        """
        if asked not in self._names or (key.models and asked not in key.models):
            raise unknown_model(asked)
        alias = self._aliases.get(asked)
        return asked if alias is None else alias.pick(crc32(request_id.encode()))

    def price(self, asked: str, model: str) -> Price:
        """Price of a request: the alias's own, or else that of the model that answers."""
        return self._prices.get(asked) or self._prices.get(model) or _FREE

    def listing(self, key: ApiKey) -> bytes:
        """Answer of `/v1/models` for this key."""
        names = sorted(name for name in self._names if not key.models or name in key.models)
        return _encode({"object": "list", "data": [self._entry(name) for name in names]})

    def one(self, name: str, key: ApiKey) -> bytes:
        """Answer of `/v1/models/{name}` for this key.

        Raises:
            Refused: 404: there is none of this name for this key.
        """
        if name not in self._names or (key.models and name not in key.models):
            raise unknown_model(name)
        return _encode(self._entry(name))

    def _entry(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": OWNER}
