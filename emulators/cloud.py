"""What the frame wants of an emulated cloud, and what it gives it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from emulators.clock import EmulatedClock
from emulators.faults import Faults
from emulators.http import Answer, Request
from emulators.real_ports import RealPorts


@dataclass(slots=True)
class Frame:
    """What all emulated clouds share.

    Attributes:
        clock: Emulated time.
        faults: The faults that are set, of all clouds.
        database: Where state is kept; see `emulators.store.Store`.
        settle: Lets everything happen that is due by now.
        save_clock: Keeps the time over a restart.
        ports: Opens ports of nodes for real; None where there is no server.
    """

    clock: EmulatedClock
    faults: Faults
    database: sqlite3.Connection
    settle: Callable[[], None] = lambda: None
    save_clock: Callable[[], None] = lambda: None
    ports: RealPorts | None = None

    def advance(self, seconds: float) -> None:
        """Moves time forward; what is due then happens."""
        self.clock.advance(seconds)
        self.save_clock()
        self.settle()

    def wake(self, at: float) -> None:
        """Has `settle` called at emulated time `at`, if an event loop runs; requests settle first anyway."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self.clock.scale:
            loop.call_later(max(0.0, at - self.clock.now()) / self.clock.scale + 0.001, self.settle)


class EmulatedCloud(Protocol):
    """One emulated cloud; a folder of this package."""

    @property
    def name(self) -> str:
        """`runpod`."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the paths that it answers start with."""

    async def handle(self, request: Request) -> Answer:
        """Answers one request; sets its `route`, `plane` and `account` on the way.

        Raises:
            CutConnection: The client gets no answer.
        """

    def settle(self) -> None:
        """Does what is due by now."""

    def endpoints(self, base: str) -> dict[str, str]:
        """Addresses for endpoints.json, from `http://127.0.0.1:PORT`."""

    def settings(self) -> dict[str, Any]:
        """The settings, as JSON."""

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Changes some settings and keeps them.

        Raises:
            SettingError: Unknown name, or a value that it can not have.
        """

    def state(self) -> dict[str, Any]:
        """Everything that is rented and everything that was, for tests and leak checks."""

    def control(self, method: str, path: str, body: Any) -> Any:
        """Answers what is this cloud's alone below `/_emu/NAME/`; None: no such thing.

        Raises:
            SettingError: The request makes no sense.
        """

    def reset(self) -> None:
        """Forgets everything that is rented or was; settings stay."""

    async def start(self) -> None:
        """Called in the event loop before the first request."""

    async def close(self) -> None:
        """Called when the emulator stops: closes ports."""
