"""The emulators as one ASGI application, and what they keep over a restart."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulators.clock import EmulatedClock, SettingError
from emulators.cloud import EmulatedCloud, Frame
from emulators.control import Control
from emulators.faults import Faults
from emulators.http import CutConnection, Receive, Response, Scope, Send, read_request, send_answer
from emulators.journal import Entry, Journal
from emulators.lambda_cloud.cloud import Lambda
from emulators.lambda_cloud.trouble import FAULT_KINDS as LAMBDA_FAULTS
from emulators.paperspace.cloud import Paperspace
from emulators.paperspace.trouble import FAULT_KINDS as PAPERSPACE_FAULTS
from emulators.runpod.cloud import RunPod
from emulators.runpod.trouble import FAULT_KINDS as RUNPOD_FAULTS
from emulators.store import Store, open_database
from emulators.vast.cloud import Vast
from emulators.vast.trouble import FAULT_KINDS as VAST_FAULTS

_log = logging.getLogger("emulators")


class Emulators:
    """All emulated clouds behind one port.

    Args:
        folder: Where state is kept; None: in memory.
        scale: Emulated seconds per real second.
        health: What `/_emu/health` adds to the time.
        cut: Ends a client's connection, given its ASGI scope.
        clock: For tests that move time by hand.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        scale: float = 1.0,
        health: Mapping[str, object] | None = None,
        cut: Callable[[Scope], None] = lambda _scope: None,
        clock: EmulatedClock | None = None,
    ) -> None:
        self._database = open_database(None if folder is None else folder / "state.sqlite")
        self._store = Store(self._database, "frame")
        self._cut = cut
        self.clock = clock or self._clock(scale)
        self._save_clock()
        self.journal = Journal()
        self.journal.load(self._store.read("saved", "counters"))
        self.faults = Faults(
            RUNPOD_FAULTS | LAMBDA_FAULTS | PAPERSPACE_FAULTS | VAST_FAULTS, changed=self._save_faults
        )
        self.faults.load(self._store.read("saved", "faults"))
        self.frame = Frame(self.clock, self.faults, self._database, self.settle, self._save_clock)
        self.runpod = RunPod(self.frame)
        self.lambda_cloud = Lambda(self.frame)
        self.paperspace = Paperspace(self.frame)
        self.vast = Vast(self.frame)
        self.clouds: dict[str, EmulatedCloud] = {
            "runpod": self.runpod,
            "lambda": self.lambda_cloud,
            "paperspace": self.paperspace,
            "vast": self.vast,
        }
        self._control = Control(self.frame, self.clouds, self.journal, health or {})

    def settle(self) -> None:
        """Lets everything happen that is due by now."""
        for cloud in self.clouds.values():
            cloud.settle()

    async def start(self) -> None:
        """Starts what needs the event loop."""
        for cloud in self.clouds.values():
            await cloud.start()
        self.settle()

    async def close(self) -> None:
        """Saves what is saved at a clean end only, and closes all ports."""
        self._store.write([("saved", "counters", self.journal.dump())])
        if self.frame.ports is not None:
            await self.frame.ports.close()
        for cloud in self.clouds.values():
            await cloud.close()
        self._database.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            request = await read_request(scope, receive)
        except CutConnection:
            return
        if request.path.startswith("/_emu"):
            await send_answer(self._control.handle(request), send)
            return
        cloud = next((c for c in self.clouds.values() if request.path.startswith(c.prefixes)), None)
        if cloud is None:
            await send_answer(Response(404, b"no emulated cloud answers this path\n", "text/plain"), send)
            return
        status = 0
        try:
            cloud.settle()
            answer = await cloud.handle(request)
            status = answer.status
            await send_answer(answer, send, receive, head_only=request.method == "HEAD")
        except CutConnection:
            self._cut(scope)
        except Exception:
            _log.exception("the emulator failed at %s %s", request.method, request.path)
            status = 500
            raise
        finally:
            self.journal.add(
                Entry(
                    self.clock.now(),
                    cloud.name,
                    request.plane,
                    request.method,
                    request.path,
                    request.route or request.path,
                    status,
                    request.account,
                )
            )

    def _clock(self, scale: float) -> EmulatedClock:
        """Goes on where the last run of this folder was, downtime included, even if the scale has changed."""
        saved: Any = self._store.read("saved", "clock")
        if not isinstance(saved, dict):
            return EmulatedClock(scale)
        before = EmulatedClock(saved["scale"], start=saved["start"], real_start=saved["real_start"])
        return EmulatedClock(scale, start=before.now())

    def _save_clock(self) -> None:
        self._store.write([("saved", "clock", self.clock.snapshot())])

    def _save_faults(self) -> None:
        self._store.write([("saved", "faults", self.faults.list())])


def check_settings(settings: Mapping[str, dict[str, Any]]) -> None:
    """Says what is wrong with settings before anything is started.

    Args:
        settings: Cloud -> settings to change.

    Raises:
        SettingError: No such cloud or setting, or a value that it can not have.
    """
    emulators = Emulators()
    with contextlib.closing(emulators.frame.database):
        for name, changes in settings.items():
            if name not in emulators.clouds:
                raise SettingError(f"no cloud {name!r} is emulated; there are {', '.join(emulators.clouds)}")
            emulators.clouds[name].change_settings(changes)
