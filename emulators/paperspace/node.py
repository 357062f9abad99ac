"""A machine's own ports: `/paperspace/node/{id}-{port}/…` stands for `http://{publicIp}:{port}/…`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request, Stream
from emulators.openai_api import ModelServer
from emulators.paperspace.fleet import Fleet
from emulators.paperspace.machine import Machine
from emulators.paperspace.problems import error_page
from emulators.paperspace.settings import Settings

PREFIX = "/paperspace/node/"
_PATH = re.compile(r"/paperspace/node/(?P<id>[a-z0-9]+)-(?P<port>\d+)(?P<rest>/.*)?")


class Nodes:
    """Answers for every machine's ports.

    Args:
        fleet: The machines.
        frame: Clock and faults.
        settings: The settings of the moment.
    """

    def __init__(self, fleet: Fleet, frame: Frame, settings: Callable[[], Settings]) -> None:
        self._fleet = fleet
        self._frame = frame
        self._settings = settings

    async def handle(self, request: Request) -> Answer:
        """Answers a request to a machine; cuts the connection where a real one would not open."""
        match = _PATH.fullmatch(request.path)
        machine = self._fleet.any(match["id"]) if match else None
        if match is None or machine is None or not machine.serves:
            raise CutConnection
        request.account = machine.account
        if machine.unusable:
            return error_page(500)
        cut_after: int | None = None
        if fault := self._fault("node_slow", request, machine):
            await self._frame.clock.sleep(fault.number("seconds", 5))
        if fault := self._fault("node_hang", request, machine):
            await self._frame.clock.sleep(fault.number("seconds", 600))
            raise CutConnection
        if fault := self._fault("node_error", request, machine):
            return error_page(int(fault.number("status", 500)))
        if fault := self._fault("node_cut", request, machine):
            cut_after = int(fault.number("after_chunks", 0))
            if not cut_after:
                raise CutConnection
        server = ModelServer(
            name=machine.env.get("MODEL", "tiny-markov"),
            api_key=machine.env.get("VLLM_API_KEY", ""),
            now=self._frame.clock.now(),
        )
        answer = server.answer(request, match["rest"] or "/")
        if isinstance(answer, Stream):
            answer.chunks = self._paced(answer.chunks, machine, cut_after)
        return answer

    async def _paced(
        self, chunks: AsyncIterator[bytes], machine: Machine, cut_after: int | None
    ) -> AsyncIterator[bytes]:
        """Passes pieces on at the set speed; cuts the connection where the machine has ended meanwhile."""
        sent = 0
        async for chunk in chunks:
            if cut_after is not None and sent >= cut_after:
                raise CutConnection
            speed = self._settings().tokens_per_s
            if speed:
                await self._frame.clock.sleep(1 / speed)
            if not machine.serves:
                raise CutConnection
            yield chunk
            sent += 1

    def _fault(self, kind: str, request: Request, machine: Machine) -> Fault | None:
        return self._frame.faults.take(
            kind,
            cloud="paperspace",
            method=request.method,
            path=request.path,
            name=machine.name,
            account=machine.account,
        )
