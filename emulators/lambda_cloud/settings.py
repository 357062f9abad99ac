"""The settings of the emulated Lambda, changeable while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from emulators.clock import SettingError

AUTH = ("all", "forbidden", "invalid", "inactive", "bad_address")

DEFAULT_KEY = "emulator-key"
"""The key of the default account. Published: it opens nothing but this emulator."""
SECOND_KEY = "emulator-key-2"
"""The key of a second account, which sees nothing of the first."""
INACTIVE_KEY = "emulator-key-inactive"
BAD_ADDRESS_KEY = "emulator-key-bad-address"
SMALL_KEY = "emulator-key-small"
"""The key of an account that may have two instances."""

PUBLISHED_LIMITS = {"general": 1.0, "launch": 12.0}
"""Seconds from one request to the next, as Lambda publishes them."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One account, found by its key.

    Attributes:
        account: Name; instances belong to it. Several keys may have the same.
        auth: `all`; `forbidden` (writes get 403), `invalid` (everything gets 401), `inactive` (everything
            gets 403), `bad_address` (launches and new file systems get 403).
        quota: Instances that it may have; None: no limit.
    """

    account: str
    auth: str = "all"
    quota: int | None = None


def _default_keys() -> dict[str, AccountSettings]:
    return {
        DEFAULT_KEY: AccountSettings("default"),
        SECOND_KEY: AccountSettings("second"),
        INACTIVE_KEY: AccountSettings("inactive", auth="inactive"),
        BAD_ADDRESS_KEY: AccountSettings("bad-address", auth="bad_address"),
        SMALL_KEY: AccountSettings("small", quota=2),
    }


@dataclass(frozen=True, slots=True)
class Settings:
    """All times are in emulated seconds.

    Attributes:
        boot_s: From launch or restart until an instance is active.
        boot_spread_s: Each boot takes up to so much longer, drawn by `seed`.
        boot_8_gpus_s: The same as `boot_s` for types with 8 GPUs; None: no difference.
        ip_after_s: From launch until an instance shows its addresses.
        name_after_s: From launch until it shows its name and tags.
        serving_after_s: From active until the ports of an instance answer.
        boot_forever: New instances never become active.
        goes_unhealthy_after: New instances turn unhealthy so long after they became active; None: never.
        preempt_after: New instances are taken away so long after they became active; None: never.
        terminating_s: How long an instance is shown as terminating.
        terminated_visible_s: How long it is then shown as terminated, before it is gone.
        terminate_twice_unknown_error: Ending an instance again answers `global/unknown`.
        list_lag_s: A new instance is missing from the list for so long.
        get_lag_s: A new instance answers 404 to a GET by id for so long.
        keys: API key -> account.
        rate_limit: `none`, `published`, or seconds between requests as {"general": 1, "launch": 12}.
        capacity: `type|region` -> instances in all; `*` may stand for either side; null: as many as you like.
        prices: Type -> cents per hour, over the catalogue's.
        listed_but_refused: Share of launches refused for capacity although the list of types shows some.
        provider_unavailable: Share of all calls that answer `provider/internal-unavailable`, without effect.
        fs_in_use_lag_s: File systems and firewall rulesets count as in use for so long after their last
            instance's end.
        redirect_old_host: Requests for the host cloud.lambdalabs.com are answered with a redirect.
        enforce_firewall: A node's port answers only where a rule of its rulesets or its account is about it.
        latency_s: Added to every answer of the API.
        clock_skew_s: Added to every time stamp that the API writes.
        tokens_per_s: Speed at which a node's model streams; 0: as fast as it can.
        seed: Of every draw and of the ids.
    """

    boot_s: float = 60.0
    boot_spread_s: float = 0.0
    boot_8_gpus_s: float | None = None
    ip_after_s: float = 5.0
    name_after_s: float = 0.0
    serving_after_s: float = 0.0
    boot_forever: bool = False
    goes_unhealthy_after: float | None = None
    preempt_after: float | None = None
    terminating_s: float = 10.0
    terminated_visible_s: float = 60.0
    terminate_twice_unknown_error: bool = False
    list_lag_s: float = 0.0
    get_lag_s: float = 0.0
    keys: dict[str, AccountSettings] = field(default_factory=_default_keys)
    rate_limit: str | dict[str, float] = "none"
    capacity: dict[str, int | None] = field(default_factory=dict)
    prices: dict[str, int] = field(default_factory=dict)
    listed_but_refused: float = 0.0
    provider_unavailable: float = 0.0
    fs_in_use_lag_s: float = 0.0
    redirect_old_host: bool = True
    enforce_firewall: bool = False
    latency_s: float = 0.0
    clock_skew_s: float = 0.0
    tokens_per_s: float = 0.0
    seed: int = 0

    def limits(self) -> Mapping[str, float]:
        """Seconds between requests by `general` and `launch`; empty: no limits."""
        if self.rate_limit == "published":
            return PUBLISHED_LIMITS
        return self.rate_limit if isinstance(self.rate_limit, dict) else {}

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
                    f"Lambda's emulator has no setting {name!r}; it has {', '.join(sorted(known))}"
                )
            values[name] = _parsed(name, value, getattr(_DEFAULTS, name))
        return replace(self, **values)

    def json(self) -> dict[str, Any]:
        """As JSON, the way `merged` takes it."""
        return asdict(self)


_DEFAULTS = Settings()
_NULLABLE = frozenset({"boot_8_gpus_s", "goes_unhealthy_after", "preempt_after"})
_SHARES = frozenset({"listed_but_refused", "provider_unavailable"})


def _parsed(name: str, value: Any, default: Any) -> Any:
    refusal = SettingError(f"Lambda's emulator: setting {name!r} can not be {value!r}")
    if name == "keys":
        return {key: _account(key, one) for key, one in _object(value, refusal).items()}
    if name == "rate_limit":
        return _rate_limit(value, refusal)
    if name == "capacity":
        for place, free in _object(value, refusal).items():
            if place.count("|") != 1 or not (free is None or (_is_whole(free) and free >= 0)):
                raise SettingError(f"capacity is 'type|region': instances or null, not {place!r}: {free!r}")
        return dict(value)
    if name == "prices":
        if not all(_is_whole(cents) and cents >= 0 for cents in _object(value, refusal).values()):
            raise refusal
        return dict(value)
    if value is None and name in _NULLABLE:
        return None
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise refusal
        return value
    if not _is_number(value) or (value < 0 and name != "clock_skew_s") or (name in _SHARES and value > 1):
        raise refusal
    return value


def _rate_limit(value: Any, refusal: SettingError) -> str | dict[str, float]:
    if value in ("none", "published"):
        return str(value)
    limits = _object(value, refusal)
    if not limits or not set(limits) <= set(PUBLISHED_LIMITS):
        raise refusal
    if not all(_is_number(seconds) and seconds > 0 for seconds in limits.values()):
        raise refusal
    return dict(limits)


def _account(key: str, value: Any) -> AccountSettings:
    refusal = SettingError(f"Lambda's emulator: an account can not be {value!r}")
    names = {f.name for f in fields(AccountSettings)}
    if not _object(value, refusal).get("account") or not set(value) <= names:
        raise refusal
    account = AccountSettings(**value)
    if not key or account.auth not in AUTH or not (account.quota is None or _is_whole(account.quota)):
        raise refusal
    return account


def _object(value: Any, refusal: SettingError) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
