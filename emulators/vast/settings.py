"""The settings of the emulated Vast.ai, changeable while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from emulators.clock import SettingError

DEFAULT_KEY = "emulator-vast-key"
"""The key of the default account. Published: it opens nothing but this emulator."""
SECOND_KEY = "emulator-vast-key-2"
"""The key of a second account, which sees nothing of the first."""

AUTH = ("all", "readonly", "none")
GONE = ("null", "404")


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One account, found by its key.

    Attributes:
        account: Name; everything belongs to it.
        auth: What the key may do: `all`, `readonly` (writes get 403), `none` (the key is not known).
        credit: USD left; none at all and rents are refused.
    """

    account: str
    auth: str = "all"
    credit: float = 100.0


def _default_keys() -> dict[str, AccountSettings]:
    return {DEFAULT_KEY: AccountSettings("default"), SECOND_KEY: AccountSettings("second")}


@dataclass(frozen=True, slots=True)
class Settings:
    """All times are in emulated seconds.

    Attributes:
        keys: API key -> account.
        created_s: From a rent until there is a status at all; before that it is null.
        ready_after_s: From a rent until the container runs; until then it is `loading`.
        capacity: `GPU name|country` -> places of each host; `*` may stand for either side; null: any number.
        prices: GPU name -> factor for prices and bids.
        listed_but_taken: Offers are found, but each rent says that they are gone.
        list_lag_s: A new instance is missing from the list for so long (GET by id shows it at once).
        destroyed_listed_s: A destroyed instance stays in the list for so long.
        gone_answer: What GET says of an unknown id: `null` in a 200, or a `404`.
        page_size: Instances in a page; a client's `limit` can only make it smaller.
        outbid_after_s: Interruptible instances are stopped so long after they began to run; null: never.
        rate_limit: Requests a minute and account; 0: no limit.
        latency_s: Added to every answer of the API.
        clock_skew_s: Added to every time stamp that the API writes.
        tokens_per_s: Speed at which a node's model streams; 0: as fast as it can.
        real_ports: Ports of instances are open on 127.0.0.1, and that is the address that the API tells.
    """

    keys: dict[str, AccountSettings] = field(default_factory=_default_keys)
    created_s: float = 3.0
    ready_after_s: float = 60.0
    capacity: dict[str, int | None] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    listed_but_taken: bool = False
    list_lag_s: float = 0.0
    destroyed_listed_s: float = 0.0
    gone_answer: str = "null"
    page_size: int = 25
    outbid_after_s: float | None = None
    rate_limit: int = 0
    latency_s: float = 0.0
    clock_skew_s: float = 0.0
    tokens_per_s: float = 0.0
    real_ports: bool = False

    def merged(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with some changed, from JSON.

        Raises:
            SettingError: Unknown name or a value that it can not have.
        """
        known = {one.name for one in fields(self)}
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise SettingError(
                    f"Vast.ai's emulator has no setting {name!r}; it has {', '.join(sorted(known))}"
                )
            values[name] = _parsed(name, value, getattr(_DEFAULTS, name))
        return replace(self, **values)

    def json(self) -> dict[str, Any]:
        """As JSON, the way `merged` takes it."""
        return asdict(self)


_DEFAULTS = Settings()


def _parsed(name: str, value: Any, default: Any) -> Any:
    refusal = SettingError(f"Vast.ai's emulator: setting {name!r} can not be {value!r}")
    if name == "keys":
        return {key: _account(one) for key, one in _object(value, refusal).items()}
    if name == "capacity":
        for place, free in _object(value, refusal).items():
            if place.count("|") != 1 or not (free is None or (_is_number(free) and free >= 0)):
                raise SettingError(f"capacity is 'GPU|country': places or null, not {place!r}: {free!r}")
        return dict(value)
    if name == "prices":
        if not all(_is_number(one) and one >= 0 for one in _object(value, refusal).values()):
            raise refusal
        return dict(value)
    if name == "gone_answer":
        if value not in GONE:
            raise SettingError(f"gone_answer is one of {', '.join(GONE)}, not {value!r}")
        return value
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise refusal
        return value
    if name == "outbid_after_s" and value is None:
        return None
    if not _is_number(value) or (value < 0 and name != "clock_skew_s"):
        raise refusal
    if name == "page_size" and value < 1:
        raise SettingError(f"page_size is at least 1, not {value!r}")
    return value


def _account(value: Any) -> AccountSettings:
    refusal = SettingError(f"Vast.ai's emulator: an account can not be {value!r}")
    names = {one.name for one in fields(AccountSettings)}
    if not _object(value, refusal).get("account") or not set(value) <= names:
        raise refusal
    account = AccountSettings(**value)
    if account.auth not in AUTH or not _is_number(account.credit):
        raise refusal
    return account


def _object(value: Any, refusal: SettingError) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
