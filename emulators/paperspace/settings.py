"""The settings of the emulated Paperspace, changeable while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from emulators.clock import SettingError

DEFAULT_KEY = "emulator-paperspace-key"
"""The key of the default team. Published: it opens nothing but this emulator."""
SECOND_KEY = "emulator-paperspace-key-2"
"""The key of a second team, which sees nothing of the first."""

AUTH = ("all", "readonly", "none")
FAILURES = ("event_error", "silent_off")
STYLES = ("short", "long")


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One team, found by its key.

    Attributes:
        account: Name; everything belongs to it. Several keys may have the same.
        auth: What the key may do: `all`, `readonly` (writes get 403), `none` (the key is not known).
        max_machines: Most machines at once; None: any number.
        good_standing: Whether its bills are paid; if not, creates get 403.
    """

    account: str
    auth: str = "all"
    max_machines: int | None = None
    good_standing: bool = True


def _default_keys() -> dict[str, AccountSettings]:
    return {DEFAULT_KEY: AccountSettings("default"), SECOND_KEY: AccountSettings("second")}


@dataclass(frozen=True, slots=True)
class Settings:
    """All times are in emulated seconds.

    Attributes:
        keys: API key -> team.
        provision_s: From a create until the machine is `starting`.
        starting_s: From `starting` until it is `serviceready`.
        serviceready_s: From `serviceready` until it is `ready`.
        start_s: From a start, or a restart, until it is `ready`.
        stop_s: From a stop until it is `off`.
        delete_s: From a delete until the machine is gone.
        upgrade_s: How long a resize takes.
        event_start_s: How long an event stays `new`.
        capacity: `machine type|region` -> machines in all; `*` may stand for either side; null: any number.
        capacity_failure: How a create without capacity fails: `event_error` (the event says so, the machine
            stays `provisioning`) or `silent_off` (the machine ends `off`, its event never ends).
        capacity_fails_after_s: When it does.
        availability_lies: `machine-availability` says yes to everything.
        availability_missing: `machine-availability` is not there, as in the older description.
        provision_forever: New machines never get beyond `provisioning`.
        start_conflict: A start is refused while the machine is starting or stopping.
        delete_while_provisioning: A machine can be deleted before it is ready.
        network_in_use_lag_s: A private network can not be deleted for so long after its last machine.
        region_style: How answers name regions: `short` (`ny2`) or `long` (`East Coast (NY2)`).
        page_size: Items in a page; a client's `limit` can only make it smaller.
        deleted_visible_s: A deleted machine stays visible, with `dtDeleted`, for so long.
        list_lag_s: A new machine is missing from the list for so long (GET by id shows it at once).
        script_assignment: A script shows the machines that it was launched with.
        rate_limit: Requests a minute and team; 0: no limit.
        retry_after: Whether a 429 says how long to wait.
        prices: Machine type -> USD per hour, over the catalogue's.
        latency_s: Added to every answer of the API.
        clock_skew_s: Added to every time stamp that the API writes.
        tokens_per_s: Speed at which a node's model streams; 0: as fast as it can.
        real_ports: Ports of machines are open on 127.0.0.1, and that is the address that the API tells. A
            port is one machine's at a time: it has the same number there.
        seed: Of the ids.
    """

    keys: dict[str, AccountSettings] = field(default_factory=_default_keys)
    provision_s: float = 60.0
    starting_s: float = 30.0
    serviceready_s: float = 15.0
    start_s: float = 60.0
    stop_s: float = 120.0
    delete_s: float = 20.0
    upgrade_s: float = 90.0
    event_start_s: float = 2.0
    capacity: dict[str, int | None] = field(default_factory=dict)
    capacity_failure: str = "event_error"
    capacity_fails_after_s: float = 30.0
    availability_lies: bool = False
    availability_missing: bool = False
    provision_forever: bool = False
    start_conflict: bool = True
    delete_while_provisioning: bool = True
    network_in_use_lag_s: float = 30.0
    region_style: str = "short"
    page_size: int = 120
    deleted_visible_s: float = 0.0
    list_lag_s: float = 0.0
    script_assignment: bool = True
    rate_limit: int = 0
    retry_after: bool = False
    prices: dict[str, float] = field(default_factory=dict)
    latency_s: float = 0.0
    clock_skew_s: float = 0.0
    tokens_per_s: float = 0.0
    real_ports: bool = False
    seed: int = 0

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
                    f"Paperspace's emulator has no setting {name!r}; it has {', '.join(sorted(known))}"
                )
            values[name] = _parsed(name, value, getattr(_DEFAULTS, name))
        return replace(self, **values)

    def json(self) -> dict[str, Any]:
        """As JSON, the way `merged` takes it."""
        return asdict(self)


_DEFAULTS = Settings()
_CHOICES = {"capacity_failure": FAILURES, "region_style": STYLES}


def _parsed(name: str, value: Any, default: Any) -> Any:
    refusal = SettingError(f"Paperspace's emulator: setting {name!r} can not be {value!r}")
    if name == "keys":
        return {key: _account(key, one) for key, one in _object(value, refusal).items()}
    if name == "capacity":
        for place, free in _object(value, refusal).items():
            if place.count("|") != 1 or not (free is None or (_is_number(free) and free >= 0)):
                raise SettingError(f"capacity is 'type|region': machines or null, not {place!r}: {free!r}")
        return dict(value)
    if name == "prices":
        if not all(_is_number(price) and price >= 0 for price in _object(value, refusal).values()):
            raise refusal
        return dict(value)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise SettingError(f"{name} is one of {', '.join(_CHOICES[name])}, not {value!r}")
        return value
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise refusal
        return value
    if not _is_number(value) or (value < 0 and name != "clock_skew_s"):
        raise refusal
    if name == "page_size" and not 1 <= value <= 120:
        raise SettingError(f"page_size is from 1 to 120, not {value!r}")
    return value


def _account(key: str, value: Any) -> AccountSettings:
    refusal = SettingError(f"Paperspace's emulator: an account can not be {value!r}")
    names = {one.name for one in fields(AccountSettings)}
    if not _object(value, refusal).get("account") or not set(value) <= names:
        raise refusal
    account = AccountSettings(**value)
    limit = account.max_machines
    if not key or account.auth not in AUTH or not (limit is None or (_is_number(limit) and limit >= 0)):
        raise refusal
    return account


def _object(value: Any, refusal: SettingError) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
