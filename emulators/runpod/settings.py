"""The settings of the emulated RunPod, changeable while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from emulators.clock import SettingError
from emulators.ratelimit import Window

MODES = ("observed", "specified")
AUTH = ("all", "readonly", "none")

DEFAULT_KEY = "emulator-key"
"""The key of the default account. Published: it opens nothing but this emulator."""
SECOND_KEY = "emulator-key-2"
"""The key of a second account, which sees nothing of the first."""

PUBLISHED_LIMITS = (Window("minute", 60, 60), Window("hour", 3600, 3000), Window("day", 86400, 50000))
"""The example in the description of RunPod's API, not a promise."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One account, found by its key.

    Attributes:
        account: Name; pods belong to it. Several keys may have the same.
        auth: What the key may do: `all`, `readonly` (writes get 403), `none` (everything gets 401).
        balance: USD left at the start; None: never runs out.
        spend_limit: USD per hour that all pods together may cost; None: no limit.
    """

    account: str
    auth: str = "all"
    balance: float | None = None
    spend_limit: float | None = None


def _default_keys() -> dict[str, AccountSettings]:
    return {DEFAULT_KEY: AccountSettings("default"), SECOND_KEY: AccountSettings("second")}


@dataclass(frozen=True, slots=True)
class Settings:
    """All times are in emulated seconds.

    Attributes:
        mode: `observed`: a new pod is RUNNING at once, without runtime; data centres are a hard filter; a
            create without `gpu.count` is refused; a stopped pod still shows its cost. `specified`: as the
            API's description says.
        ready_after_s: From create, start or restart until the pod serves.
        ready_spread_s: Each boot takes up to so much longer, drawn by `seed`.
        keys: API key -> account.
        rate_limit: `none`, `published`, or windows as {"minute": 60, "hour": 3000}.
        capacity: `GPU id|data centre` -> GPUs in all; `*` may stand for either side; null: as many as you
            like.
        prices: GPU id -> {"SECURE": USD per GPU-hour, "COMMUNITY": …}, over the catalogue's.
        listed_but_refused: Share of creates refused for capacity although the catalogue says there is some.
        list_lag_s: A new pod is missing from the list for so long (GET by id shows it at once).
        terminated_listed_s: An ended pod stays in the list, TERMINATED, for so long.
        gpu_count_missing_bug: A create without `gpu.count` gets the capacity error; null: in mode `observed`.
        exit_after_s: Every container exits so long after it began to serve; null: never.
        latency_s: Added to every answer of the API.
        clock_skew_s: Added to every time stamp that the API writes.
        pagination: Lists of pods come in pages with a cursor.
        page_size: Pods in a page.
        v1_retired: Paths of REST v1 answer 410.
        graphql_retired: The GraphQL API answers 410.
        spot_price_factor: The minimum bid of an interruptible pod, as a share of the price on demand.
        spot_reclaim_after_s: Every interruptible pod is taken back so long after it was started; null: never.
        spot_reclaim_gone: A pod that is taken back vanishes instead of being stopped.
        user_agent_check: No User-Agent, or Python-urllib's, gets Cloudflare's page.
        sse_drop_after_n: Log streams are cut after so many events; null: never.
        tcp_listeners: TCP ports of a ready pod really listen, on 127.0.0.1.
        tokens_per_s: Speed at which a node's model streams; 0: as fast as it can.
        balance_terminate_after_s: From an empty balance until pods without a network volume are terminated.
        seed: Of every draw and of the ids.
    """

    mode: str = "observed"
    ready_after_s: float = 30.0
    ready_spread_s: float = 0.0
    keys: dict[str, AccountSettings] = field(default_factory=_default_keys)
    rate_limit: str | dict[str, int] = "none"
    capacity: dict[str, int | None] = field(default_factory=dict)
    prices: dict[str, dict[str, float]] = field(default_factory=dict)
    listed_but_refused: float = 0.0
    list_lag_s: float = 0.0
    terminated_listed_s: float = 0.0
    gpu_count_missing_bug: bool | None = None
    exit_after_s: float | None = None
    latency_s: float = 0.0
    clock_skew_s: float = 0.0
    pagination: bool = False
    page_size: int = 100
    v1_retired: bool = True
    graphql_retired: bool = False
    spot_price_factor: float = 0.5
    spot_reclaim_after_s: float | None = None
    spot_reclaim_gone: bool = False
    user_agent_check: bool = True
    sse_drop_after_n: int | None = None
    tcp_listeners: bool = True
    tokens_per_s: float = 0.0
    balance_terminate_after_s: float = 3600.0
    seed: int = 0

    @property
    def observed(self) -> bool:
        """Whether the mode is `observed`."""
        return self.mode == "observed"

    @property
    def count_bug(self) -> bool:
        """Whether a create without `gpu.count` is refused."""
        return self.observed if self.gpu_count_missing_bug is None else self.gpu_count_missing_bug

    def windows(self) -> tuple[Window, ...]:
        """The rate limits in force; empty: none."""
        if self.rate_limit == "published":
            return PUBLISHED_LIMITS
        if isinstance(self.rate_limit, dict):
            return tuple(
                Window(w.name, w.seconds, self.rate_limit[w.name])
                for w in PUBLISHED_LIMITS
                if w.name in self.rate_limit
            )
        return ()

    def merged(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with some changed, from JSON.

        Raises:
            SettingError: Unknown name or a value that it can not have.
        """
        known = {f.name for f in fields(self)}
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise SettingError(
                    f"RunPod's emulator has no setting {name!r}; it has {', '.join(sorted(known))}"
                )
            values[name] = _parsed(name, value, getattr(_DEFAULTS, name))
        return replace(self, **values)

    def json(self) -> dict[str, Any]:
        """As JSON, the way `merged` takes it."""
        return asdict(self)


_DEFAULTS = Settings()
_NULLABLE = frozenset({"gpu_count_missing_bug", "exit_after_s", "sse_drop_after_n", "spot_reclaim_after_s"})


def _parsed(name: str, value: Any, default: Any) -> Any:
    refusal = SettingError(f"RunPod's emulator: setting {name!r} can not be {value!r}")
    if name == "keys":
        return {key: _account(key, one) for key, one in _object(value, refusal).items()}
    if name == "rate_limit":
        if value in ("none", "published") or (
            isinstance(value, dict)
            and value
            and set(value) <= {"minute", "hour", "day"}
            and all(_is_number(limit) and limit > 0 for limit in value.values())
        ):
            return value
        raise refusal
    if name == "capacity":
        for place, free in _object(value, refusal).items():
            if place.count("|") != 1 or not (free is None or (_is_number(free) and free >= 0)):
                raise SettingError(f"capacity is 'GPU id|data centre': GPUs or null, not {place!r}: {free!r}")
        return dict(value)
    if name == "prices":
        for tiers in _object(value, refusal).values():
            if not set(_object(tiers, refusal)) <= {"SECURE", "COMMUNITY"}:
                raise refusal
        return dict(value)
    if value is None and name in _NULLABLE:
        return None
    if name == "mode":
        if value not in MODES:
            raise SettingError(f"mode is one of {', '.join(MODES)}, not {value!r}")
        return value
    if isinstance(default, bool) or name == "gpu_count_missing_bug":
        if not isinstance(value, bool):
            raise refusal
        return value
    if not _is_number(value) or (value < 0 and name != "clock_skew_s"):
        raise refusal
    return value


def _account(key: str, value: Any) -> AccountSettings:
    refusal = SettingError(f"RunPod's emulator: an account can not be {value!r}")
    names = {f.name for f in fields(AccountSettings)}
    if not _object(value, refusal).get("account") or not set(value) <= names:
        raise refusal
    account = AccountSettings(**value)
    if not key or account.auth not in AUTH:
        raise refusal
    return account


def _object(value: Any, refusal: SettingError) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
