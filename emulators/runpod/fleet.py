"""The pods of all accounts and what becomes of them as time passes. No HTTP here."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from emulators.clock import rfc3339
from emulators.runpod.catalogue import load
from emulators.runpod.pod import BOOTING, HOLDING, Pod, cuts
from emulators.runpod.settings import Settings
from emulators.runpod.stock import Stock
from emulators.store import Store

_OF_ANY_BOOT = frozenset({"stop", "terminate"})
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Ports(Protocol):
    """Where the public TCP ports of pods come from."""

    @property
    def host(self) -> str:
        """The address at which the ports are."""

    def open(self, pod_id: str, private: int) -> int:
        """Opens a port and returns its public number."""

    def close(self, pod_id: str) -> None:
        """Closes all ports of a pod."""


class Fleet:
    """All pods.

    Args:
        store: Where they are kept.
        now: Emulated time.
        settings: The settings of the moment.
        ports: Public TCP ports.
        wake: Called with the emulated time at which `settle` has something to do.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        settings: Callable[[], Settings],
        ports: Ports,
        wake: Callable[[float], None] = lambda _at: None,
    ) -> None:
        self.stock = Stock(load())
        self._store = store
        self._now = now
        self._settings = settings
        self._ports = ports
        self._wake = wake
        self._pods: dict[str, Pod] = {}
        self._of_account: dict[str, dict[str, Pod]] = {}
        self._due: list[tuple[float, int, str, int, str]] = []
        self._order = 0
        self._serial = 0
        self._cuts: dict[str, tuple[bytes, bytes]] = {}
        self._spent: dict[str, float] = {}
        self._load()

    @property
    def serial(self) -> int:
        """How many ids were given."""
        return self._serial

    # -- reading -----------------------------------------------------------------------------------

    def get(self, account: str, pod_id: str) -> Pod | None:
        """A pod of this account."""
        return self._of_account.get(account, {}).get(pod_id)

    def any(self, pod_id: str) -> Pod | None:
        """A pod, whosever it is."""
        return self._pods.get(pod_id)

    def all(self) -> Iterator[Pod]:
        """Every pod, ended ones that are still listed included."""
        yield from self._pods.values()

    def of(self, account: str) -> Iterator[Pod]:
        """Every pod of an account."""
        yield from self._of_account.get(account, {}).values()

    def listed(self, account: str) -> list[Pod]:
        """The pods that the account's list shows, oldest first."""
        now = self._now()
        return [pod for pod in self.of(account) if pod.listed_at <= now]

    def view(self, pod: Pod) -> bytes:
        """The pod as the API's JSON."""
        found = self._cuts.get(pod.id)
        if found is None:
            settings = self._settings()
            found = cuts(
                pod, observed=settings.observed, tcp_host=self._ports.host, skew=settings.clock_skew_s
            )
            self._cuts[pod.id] = found
        head, tail = found
        if not tail:
            return head
        return b"%b%d%b" % (head, self._now() - (pod.started_at or 0.0), tail)

    def spent(self, account: str) -> float:
        """USD that the account has spent so far."""
        now = self._now()
        return self._spent.get(account, 0.0) + sum(pod.total_spent(now) for pod in self.of(account))

    def rate(self, account: str) -> float:
        """USD per hour that the account's pods cost now."""
        return sum(pod.rate for pod in self.of(account) if pod.phase in HOLDING)

    def ended(self) -> list[dict[str, Any]]:
        """Short records of pods that have ended."""
        return [row for _, row in self._store.read_all("ended") if isinstance(row, dict)]

    def objects(self, family: str) -> list[object]:
        """Other things that an account has, such as network volumes."""
        return [row for _, row in self._store.read_all(family)]

    # -- what users do -----------------------------------------------------------------------------

    def new_id(self, length: int = 14) -> str:
        """An id that was never given before, the same in each run with the same seed."""
        self._serial += 1
        number = int.from_bytes(
            hashlib.sha256(f"{self._settings().seed}/{self._serial}".encode()).digest()[:12]
        )
        digits = ""
        for _ in range(length):
            number, digit = divmod(number, 36)
            digits += _DIGITS[digit]
        return digits

    def draw(self, what: str) -> float:
        """A number from 0 up to 1 that depends on the seed and on what it is for."""
        digest = hashlib.sha256(f"{self._settings().seed}/{what}".encode()).digest()
        return int.from_bytes(digest[:4]) / 2**32

    def add(self, pod: Pod, *, stuck: bool = False) -> None:
        """Takes in a new pod and begins its first boot. `stuck`: a boot that never ends."""
        settings = self._settings()
        self._pods[pod.id] = pod
        self._of_account.setdefault(pod.account, {})[pod.id] = pod
        pod.listed_at = pod.created_at + settings.list_lag_s
        self._plan_end(pod)
        self._boot(pod, stuck=stuck)
        self._say(pod, "system", f"create container {pod.image}")
        self._save(pod, serial=True)

    def start(self, pod: Pod) -> None:
        """Boots a stopped pod."""
        pod.exit_to = "EXITED"
        self._boot(pod)
        self._say(pod, "system", f"start container for {pod.image}")
        self._save(pod)

    def restart(self, pod: Pod) -> None:
        """Boots a running pod's container again; the container disk is lost, the GPUs stay."""
        self._close(pod)
        self._boot(pod)
        self._say(pod, "system", f"restart container for {pod.image}")
        self._save(pod)

    def stop(self, pod: Pod, *, phase: str = "EXITED", reason: str = "stopped by user") -> None:
        """Ends the container and frees the GPUs; the pod stays."""
        self._release(pod)
        pod.phase = phase
        self._say(pod, "system", f"stop container: {reason}")
        self._save(pod)

    def terminate(self, pod: Pod, reason: str = "terminated by user") -> None:
        """Ends the pod for good."""
        now = self._now()
        self._release(pod)
        pod.phase, pod.ended_at, pod.end_reason, pod.reported_status = "TERMINATED", now, reason, ""
        lag = self._settings().terminated_listed_s
        row = {
            "id": pod.id,
            "account": pod.account,
            "name": pod.name,
            "created_at": rfc3339(pod.created_at),
            "created_s": pod.created_at,
            "ended_at": rfc3339(now),
            "ended_s": now,
            "reason": reason,
            "spent": round(pod.total_spent(now), 6),
            "charges": pod.charges,
            "gb": pod.disk_gb,
            "volume_gb": pod.volume_gb,
            "cpu": pod.cpu is not None,
        }
        self._spent[pod.account] = self._spent.get(pod.account, 0.0) + pod.total_spent(now)
        pod.charges = []
        if lag > 0:
            pod.gone_at = now + lag
            self._later(pod.gone_at, pod, "gone")
            document: object | None = pod.record()
            self._cuts.pop(pod.id, None)
        else:
            document = None
            self._forget(pod)
        self._store.write(
            [
                ("pod", pod.id, document),
                ("ended", pod.id, row),
                ("spent", pod.account, self._spent[pod.account]),
            ]
        )

    def reprice(self, pod: Pod, rate: float) -> None:
        """Changes what a pod costs from now on, USD per hour."""
        if pod.charged_from is not None:
            pod.charges.append([pod.charged_from, self._now(), pod.rate])
            pod.charged_from = self._now()
        pod.rate = rate
        self._save(pod)

    def touch(self, pod: Pod) -> None:
        """Notes that a pod's record was changed."""
        self._save(pod)

    def forget_views(self) -> None:
        """After a change of settings: everything is written anew."""
        self._cuts.clear()

    def say(self, pod: Pod, line: str) -> None:
        """Adds a line to the container's log. Kept in memory until the pod next changes."""
        self._say(pod, "container", line)

    def clear(self) -> None:
        """Forgets every pod, as if there had never been one."""
        for pod in list(self._pods.values()):
            self._release(pod)
        self._pods.clear()
        self._of_account.clear()
        self._due.clear()
        self._cuts.clear()
        self._spent.clear()
        self._store.clear()
        self._store.write([("meta", "serial", self._serial)])

    # -- as time passes ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Does everything that is due by now."""
        now = self._now()
        while self._due and self._due[0][0] <= now:
            at, _, pod_id, boots, what = heapq.heappop(self._due)
            pod = self._pods.get(pod_id)
            if pod is not None and (pod.boots == boots or what in _OF_ANY_BOOT):
                self._happen(pod, what, at)
        self._settle_balances(now)

    def _happen(self, pod: Pod, what: str, at: float) -> None:
        settings = self._settings()
        if what == "gone":
            self._forget(pod)
            self._store.write([("pod", pod.id, None)])
        elif what == "starting" and pod.phase == "PROVISIONING":
            # Not written: after a restart it happens again.
            pod.phase = "STARTING"
            self._cuts.pop(pod.id, None)
        elif what == "ready" and pod.phase in BOOTING:
            pod.phase, pod.started_at = "RUNNING", at
            pod.ports_public = {str(p): self._ports.open(pod.id, p) for p in pod.private_ports("tcp")}
            if pod.exit_at is None and settings.exit_after_s is not None:
                pod.exit_at = at + settings.exit_after_s
            if pod.exit_at is not None:
                self._later(pod.exit_at, pod, "exit")
            self._say(pod, "container", "INFO:     Started server process [1]", at)
            self._say(pod, "container", "INFO:     Application startup complete.", at)
            self._save(pod)
        elif what == "reclaim" and pod.phase in HOLDING:
            self.reclaim(pod)
        elif what == "stop" and pod.phase in HOLDING:
            self.stop(pod, reason="stopAfter has passed")
        elif what == "terminate" and pod.phase != "TERMINATED":
            self.terminate(pod, reason="terminateAfter has passed")
        elif what == "exit" and pod.phase in HOLDING:
            self._say(pod, "container", "INFO:     Finished server process [1]", at)
            self.stop(pod, phase=pod.exit_to, reason="container exited")

    def _settle_balances(self, now: float) -> None:
        settings = self._settings()
        for one in settings.keys.values():
            if one.balance is None:
                continue
            left = one.balance - self.spent(one.account)
            rate = self.rate(one.account)
            if left > 1e-9:
                if rate:
                    self._wake(now + left / rate * 3600)
                continue
            for pod in list(self.of(one.account)):
                if pod.phase in HOLDING:
                    self.stop(pod, reason="balance ran out")
                if pod.phase not in ("EXITED", "ERROR") or pod.mounts.get("network"):
                    continue
                if pod.ended_at is None:
                    pod.ended_at = now
                    self._save(pod)
                    self._wake(now + settings.balance_terminate_after_s)
                elif now - pod.ended_at >= settings.balance_terminate_after_s:
                    self.terminate(pod, reason="balance ran out")

    def reclaim(self, pod: Pod, *, gone: bool | None = None) -> None:
        """Takes an interruptible pod back without a warning: it is stopped, or gone altogether."""
        if self._settings().spot_reclaim_gone if gone is None else gone:
            self.terminate(pod, reason="reclaimed")
        else:
            self.stop(pod, reason="the machine was needed for somebody who pays more")

    # -- parts -------------------------------------------------------------------------------------

    def _boot(self, pod: Pod, *, stuck: bool = False) -> None:
        settings, now = self._settings(), self._now()
        if pod.phase not in HOLDING or pod.charged_from is None:
            self.stock.hold(pod.gpu_id, pod.data_center, pod.gpu_count)
            pod.charged_from = now
        pod.boots += 1
        pod.phase, pod.boot_at = "PROVISIONING", now
        pod.started_at = pod.ended_at = None
        if pod.boots > 1:
            pod.exit_at = None  # what was to end an earlier boot
        pod.boot_s = settings.ready_after_s + settings.ready_spread_s * self.draw(f"{pod.id}/{pod.boots}")
        pod.ready_at = None if stuck else now + pod.boot_s
        if pod.ready_at is not None:
            self._later(now + pod.boot_s / 2, pod, "starting")
            self._later(pod.ready_at, pod, "exit" if pod.exit_to == "ERROR" else "ready")
        pod.reclaim_at = None
        if pod.interruptible and settings.spot_reclaim_after_s is not None:
            pod.reclaim_at = now + settings.spot_reclaim_after_s
            self._later(pod.reclaim_at, pod, "reclaim")

    def _plan_end(self, pod: Pod) -> None:
        """Notes when a pod ends by itself, whatever its boots."""
        for at, what in ((pod.stop_at, "stop"), (pod.terminate_at, "terminate")):
            if at is not None:
                self._later(at, pod, what)

    def _release(self, pod: Pod) -> None:
        if pod.charged_from is not None:
            pod.charges.append([pod.charged_from, self._now(), pod.rate])
            pod.charged_from = None
            self.stock.hold(pod.gpu_id, pod.data_center, -pod.gpu_count)
        self._close(pod)

    def _close(self, pod: Pod) -> None:
        if pod.ports_public:
            self._ports.close(pod.id)
            pod.ports_public = {}

    def _forget(self, pod: Pod) -> None:
        del self._pods[pod.id]
        del self._of_account[pod.account][pod.id]
        self._cuts.pop(pod.id, None)

    def _later(self, at: float, pod: Pod, what: str) -> None:
        self._order += 1
        heapq.heappush(self._due, (at, self._order, pod.id, pod.boots, what))
        self._wake(at)

    def _say(self, pod: Pod, source: str, line: str, at: float | None = None) -> None:
        pod.log.append([self._now() if at is None else at, source, line])
        if len(pod.log) > 2000:
            del pod.log[:500]
            pod.log_dropped += 500

    def _save(self, pod: Pod, *, serial: bool = False) -> None:
        self._cuts.pop(pod.id, None)
        writes: list[tuple[str, str, object | None]] = [("pod", pod.id, pod.record())]
        if serial:
            writes.append(("meta", "serial", self._serial))
        self._store.write(writes)

    def _load(self) -> None:
        serial = self._store.read("meta", "serial")
        self._serial = serial if isinstance(serial, int) else 0
        for account, spent in self._store.read_all("spent"):
            self._spent[account] = float(spent) if isinstance(spent, (int, float)) else 0.0
        rows = [row for _, row in self._store.read_all("pod") if isinstance(row, dict)]
        for row in sorted(rows, key=lambda row: row["created_at"]):
            pod = Pod(**row)
            self._pods[pod.id] = pod
            self._of_account.setdefault(pod.account, {})[pod.id] = pod
            if pod.charged_from is not None:
                self.stock.hold(pod.gpu_id, pod.data_center, pod.gpu_count)
            if pod.phase == "PROVISIONING" and pod.ready_at is not None:
                self._later(pod.boot_at + pod.boot_s / 2, pod, "starting")
            if pod.phase in BOOTING and pod.ready_at is not None:
                self._later(pod.ready_at, pod, "exit" if pod.exit_to == "ERROR" else "ready")
            if pod.ready:
                pod.ports_public = {str(p): self._ports.open(pod.id, p) for p in pod.private_ports("tcp")}
                if pod.exit_at is not None:
                    self._later(pod.exit_at, pod, "exit")
            if pod.gone_at is not None:
                self._later(pod.gone_at, pod, "gone")
            if pod.reclaim_at is not None:
                self._later(pod.reclaim_at, pod, "reclaim")
            self._plan_end(pod)
