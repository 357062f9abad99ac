"""The proxy in front of pods: `/proxy/{id}-{port}/…` stands for `https://{id}-{port}.proxy.runpod.net/…`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request, Stream
from emulators.openai_api import ModelServer
from emulators.runpod.fleet import Fleet
from emulators.runpod.pod import Pod
from emulators.runpod.problems import gateway_page
from emulators.runpod.settings import Settings

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
        cut_after: int | None = None
        if fault := self._fault("node_slow", request, pod):
            await self._frame.clock.sleep(fault.number("seconds", 5))
        if fault := self._fault("node_hang", request, pod):
            await self._frame.clock.sleep(fault.number("seconds", 600))
            raise CutConnection
        if fault := self._fault("node_error", request, pod):
            return gateway_page(int(fault.number("status", 500)))
        if fault := self._fault("node_cut", request, pod):
            cut_after = int(fault.number("after_chunks", 0))
            if not cut_after:
                raise CutConnection
        path = match["rest"] or "/"
        self._fleet.say(pod, f'INFO:     "{request.method} {path} HTTP/1.1"')
        server = ModelServer(
            name=_model_name(pod),
            api_key=pod.env.get("VLLM_API_KEY", ""),
            now=self._frame.clock.now(),
        )
        answer = server.answer(request, path)
        if isinstance(answer, Stream):
            answer.chunks = self._paced(answer.chunks, pod, cut_after)
        return answer

    async def _paced(
        self, chunks: AsyncIterator[bytes], pod: Pod, cut_after: int | None
    ) -> AsyncIterator[bytes]:
        """Passes pieces on at the set speed; cuts the connection where the pod has ended meanwhile."""
        sent, boots = 0, pod.boots
        async for chunk in chunks:
            if cut_after is not None and sent >= cut_after:
                raise CutConnection
            speed = self._settings().tokens_per_s
            if speed:
                await self._frame.clock.sleep(1 / speed)
            if not pod.ready or pod.boots != boots:
                raise CutConnection
            yield chunk
            sent += 1

    def _fault(self, kind: str, request: Request, pod: Pod) -> Fault | None:
        return self._frame.faults.take(
            kind,
            cloud="runpod",
            method=request.method,
            path=request.path,
            name=pod.name,
            account=pod.account,
        )


def _model_name(pod: Pod) -> str:
    """Name of the model that is served: from `--model NAME` in args, from MODEL, or the built-in one."""
    match = re.search(r"--served-model-name[ =](\S+)", pod.args) or re.search(r"--model[ =](\S+)", pod.args)
    return match[1] if match else pod.env.get("MODEL", "tiny-markov")
