"""The proxy in front of pods: `/proxy/{id}-{port}/…` stands for `https://{id}-{port}.proxy.runpod.net/…`."""

from __future__ import annotations

import re
from collections.abc import Callable

from emulators.cloud import Frame
from emulators.http import Answer, Request
from emulators.runpod.fleet import Fleet
from emulators.runpod.pod import Pod
from emulators.runpod.problems import gateway_page
from emulators.runpod.settings import Settings
from emulators.traffic import ServingNode, serve

_PATH = re.compile(r"/proxy/(?P<id>[a-z0-9]+)-(?P<port>\d+)(?P<rest>/.*)?")


class Nodes:
    """Answers for every pod's HTTP ports.

    Args:
        fleet: The pods.
        frame: Clock and faults.
        settings: The settings of the moment.
    """

    def __init__(self, fleet: Fleet, frame: Frame, settings: Callable[[], Settings]) -> None:
        self._fleet = fleet
        self._frame = frame
        self._settings = settings

    async def handle(self, request: Request) -> Answer:
        """Answers a request to a pod: 404 without such a pod or port, 502 where nothing serves (yet)."""
        match = _PATH.fullmatch(request.path)
        pod = self._fleet.any(match["id"]) if match else None
        if match is None or pod is None or int(match["port"]) not in pod.private_ports("http"):
            return gateway_page(404)
        if not pod.ready:
            return gateway_page(404 if pod.phase == "TERMINATED" else 502)
        request.account = pod.account
        if pod.unusable:
            return gateway_page(500)
        path, boots = match["rest"] or "/", pod.boots
        node = ServingNode(
            cloud="runpod",
            name=pod.name,
            account=pod.account,
            model=_model_name(pod),
            api_key=pod.env.get("VLLM_API_KEY", ""),
            alive=lambda: pod.ready and pod.boots == boots,
            tokens_per_s=lambda: self._settings().tokens_per_s,
            served=lambda: self._fleet.say(pod, f'INFO:     "{request.method} {path} HTTP/1.1"'),
            page=gateway_page,
        )
        return await serve(self._frame, request, path, node)


def _model_name(pod: Pod) -> str:
    """Name of the model that is served: from `--model NAME` in args, from MODEL, or the built-in one."""
    match = re.search(r"--served-model-name[ =](\S+)", pod.args) or re.search(r"--model[ =](\S+)", pod.args)
    return match[1] if match else pod.env.get("MODEL", "tiny-markov")
