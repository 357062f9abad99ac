"""One instance: its record, what its state is at a moment, and how the API shows it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any

from emulators.lambda_cloud.catalogue import Catalogue
from emulators.lambda_cloud.settings import Settings

LIVING = frozenset({"booting", "active", "unhealthy"})
"""States of an instance that holds its machine."""
SHOWN_ENDED = frozenset({"terminating", "terminated", "preempted"})


@dataclass(slots=True)
class Machine:
    """An instance's record; times are emulated seconds since the epoch, None: never.

    Its state follows from these times alone, so that a restart loses nothing.

    Attributes:
        cents: Price per hour when it was launched.
        active_at: When it becomes active.
        first_active_at: When it first became active: from then on it costs money.
        ip_at: When it shows its addresses.
        named_at: When it shows its name and tags.
        listed_at: When it appears in lists.
        readable_at: When a GET by its id finds it.
        unhealthy_at: When it turns unhealthy.
        preempted_at: When it is taken away.
        terminated_at: When its end was asked for.
        terminating_s: How long it is shown as terminating then.
        gone_after_s: How long it is shown as terminated or preempted.
        reported_status: What the API says instead of the true status; empty: the truth.
        unusable: Its ports answer 500.
    """

    id: str
    account: str
    created_at: float
    kind: str
    region: str
    name: str | None
    hostname: str | None
    ssh_keys: list[str]
    cents: int
    file_systems: list[str] = field(default_factory=list)
    mounts: list[dict[str, str]] = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    rulesets: list[str] = field(default_factory=list)
    user_data: str = field(default="", repr=False)
    ip: str = ""
    private_ip: str = ""
    active_at: float | None = None
    first_active_at: float | None = None
    ip_at: float = 0.0
    named_at: float = 0.0
    listed_at: float = 0.0
    readable_at: float = 0.0
    unhealthy_at: float | None = None
    preempted_at: float | None = None
    terminated_at: float | None = None
    terminating_s: float = 0.0
    gone_after_s: float = 0.0
    end_reason: str = ""
    reported_status: str = ""
    unusable: bool = False

    def status(self, now: float) -> str:
        """Its true state; empty: it is gone."""
        ended = self.ended_at(now)
        if self.terminated_at is not None and ended == self.terminated_at:
            if now < ended + self.terminating_s:
                return "terminating"
            return "terminated" if now < ended + self.terminating_s + self.gone_after_s else ""
        if ended is not None:
            return "preempted" if now < ended + self.gone_after_s else ""
        if self.active_at is None or now < self.active_at:
            return "booting"
        return "unhealthy" if self.unhealthy_at is not None and now >= self.unhealthy_at else "active"

    def ended_at(self, now: float) -> float | None:
        """When it ended; None: it lives."""
        ends = [at for at in (self.terminated_at, self.preempted_at) if at is not None and at <= now]
        return min(ends, default=None)

    def living(self, now: float) -> bool:
        """Whether it holds its machine."""
        return self.ended_at(now) is None

    def usd(self, now: float) -> float:
        """What it has cost, by begun minutes from active on."""
        begin = self.first_active_at
        end = self.ended_at(now) or now
        if begin is None or end <= begin:
            return 0.0
        minutes = -(-(end - begin) // 60)
        return minutes * self.cents / 100 / 60

    def record(self) -> dict[str, Any]:
        """For the store."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def view(self, now: float, settings: Settings, catalogue: Catalogue) -> dict[str, Any]:
        """As the API shows it: what is not known yet is absent, not null."""
        status = self.reported_status or self.status(now) or "terminated"
        kind = catalogue.kinds[self.kind].view(settings)
        view: dict[str, Any] = {
            "id": self.id,
            "status": status,
            "ssh_key_names": self.ssh_keys,
            "file_system_names": self.file_systems,
            "file_system_mounts": self.mounts,
            "region": catalogue.region(self.region),
            "instance_type": {**kind, "price_cents_per_hour": self.cents},
            "actions": _actions(status),
            "firewall_rulesets": [{"id": one} for one in self.rulesets],
        }
        if now >= self.named_at:
            view["tags"] = self.tags
            if self.name is not None:
                view["name"] = self.name
        if self.hostname is not None:
            view["hostname"] = self.hostname
        if now >= self.ip_at:
            view |= {"ip": self.ip, "private_ip": self.private_ip}
        if status in ("active", "unhealthy"):
            token = hashlib.sha256(f"jupyter/{self.id}".encode()).hexdigest()[:32]
            view["jupyter_token"] = token
            view["jupyter_url"] = f"https://jupyter-{self.id[:16]}.lambdaspaces.com/?token={token}"
        return view


def _actions(status: str) -> dict[str, Any]:
    reason = ""
    if status == "booting":
        reason = "vm-has-not-launched"
    elif status in SHOWN_ENDED:
        reason = "vm-is-terminating"
    refused = {
        "available": False,
        "reason_code": reason,
        "reason_description": "The instance is not in a state that allows this.",
    }
    names = ("migrate", "rebuild", "restart", "cold_reboot")
    actions = {name: refused if reason else {"available": True} for name in names}
    actions["terminate"] = refused if status in SHOWN_ENDED else {"available": True}
    return actions
