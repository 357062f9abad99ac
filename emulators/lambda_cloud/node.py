"""The ports of instances: `/lambda/{id}-{port}/…` stands for `http://<address of the instance>:<port>/…`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from emulators.cloud import Frame
from emulators.http import Answer, CutConnection, Request
from emulators.lambda_cloud.fleet import Fleet
from emulators.lambda_cloud.guest import Guest, guest_of
from emulators.lambda_cloud.machine import Machine
from emulators.lambda_cloud.settings import Settings
from emulators.traffic import ServingNode, error_page, serve

_PATH = re.compile(r"/lambda/(?P<id>[0-9a-f]+)-(?P<port>\d+)(?P<rest>/.*)?")
_SERVING = frozenset({"active", "unhealthy"})


class Nodes:
    """Answers for the ports of every instance.

    Args:
        fleet: The instances.
        frame: Clock and faults.
        settings: The settings of the moment.
        rules: The firewall rules that hold for an instance.
    """

    def __init__(
        self,
        fleet: Fleet,
        frame: Frame,
        settings: Callable[[], Settings],
        rules: Callable[[Machine], list[dict[str, Any]]],
    ) -> None:
        self._fleet = fleet
        self._frame = frame
        self._settings = settings
        self._rules = rules
        self._guest = lru_cache(maxsize=4096)(guest_of)

    async def handle(self, request: Request) -> Answer:
        """Answers a request to a port.

        Raises:
            CutConnection: Nothing listens there: no such instance, not booted, no container, or a firewall.
        """
        match = _PATH.fullmatch(request.path)
        machine = self._fleet.any(match["id"]) if match else None
        if match is None or machine is None or not self._serves(machine):
            raise CutConnection
        guest: Guest = self._guest(machine.user_data)
        port = int(match["port"])
        if port not in guest.ports or not self._open(machine, port):
            raise CutConnection
        if machine.unusable:
            return error_page(500)
        node = ServingNode(
            cloud="lambda",
            name=machine.name or "",
            account=machine.account,
            model=guest.model,
            api_key=guest.env.get("VLLM_API_KEY", ""),
            alive=lambda: self._serves(machine),
            tokens_per_s=lambda: self._settings().tokens_per_s,
        )
        return await serve(self._frame, request, match["rest"] or "/", node)

    def _serves(self, machine: Machine) -> bool:
        now = self._frame.clock.now()
        since = machine.active_at
        return (
            machine.status(now) in _SERVING
            and since is not None
            and now >= since + self._settings().serving_after_s
        )

    def _open(self, machine: Machine, port: int) -> bool:
        """Whether a rule is about the port; who asks is not looked at, since everybody is local."""
        if not self._settings().enforce_firewall:
            return True
        ranges = [rule["port_range"] for rule in self._rules(machine) if rule["protocol"] in ("tcp", "all")]
        return any(low <= port <= high for low, high in ranges)
