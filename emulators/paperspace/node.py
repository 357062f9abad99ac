"""A machine's own ports: `/paperspace/node/{id}-{port}/…` stands for `http://{publicIp}:{port}/…`."""

from __future__ import annotations

import re
from collections.abc import Callable

from emulators.cloud import Frame
from emulators.http import Answer, CutConnection, Request
from emulators.paperspace.fleet import Fleet
from emulators.paperspace.settings import Settings
from emulators.traffic import ServingNode, error_page, serve

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
        """Answers a request to a machine.

        Raises:
            CutConnection: Nothing listens there: no such machine, not ready, or booted without its script.
        """
        match = _PATH.fullmatch(request.path)
        machine = self._fleet.any(match["id"]) if match else None
        if match is None or machine is None or not machine.serves:
            raise CutConnection
        if machine.certificate and not request.encrypted:
            raise CutConnection
        if machine.unusable:
            return error_page(500)
        node = ServingNode(
            cloud="paperspace",
            name=machine.name,
            account=machine.account,
            model=machine.model or machine.env.get("MODEL", "tiny-markov"),
            api_key=machine.env.get("VLLM_API_KEY", ""),
            alive=lambda: machine.serves,
            tokens_per_s=lambda: self._settings().tokens_per_s,
        )
        return await serve(self._frame, request, match["rest"] or "/", node)
