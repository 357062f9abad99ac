"""A request whose answer is one piece of JSON, passed on as it is."""

from __future__ import annotations

from control_plane.gateway.call import Result
from control_plane.gateway.parsing import forwarded_body
from control_plane.gateway.parts import Lease
from control_plane.gateway.relaying.answers import check
from control_plane.gateway.relaying.chunks import usage_of_answer
from control_plane.gateway.relaying.lost import Answered4xx, Lost
from control_plane.gateway.relaying.run import Run
from control_plane.gateway.relaying.upstream import read_all


class PlainRun(Run):
    """One such request."""

    async def run(self) -> None:
        """Answers it.

        Raises:
            Refused: No node did.
        """
        body = forwarded_body(self.call)
        while True:
            lease = await self.place()
            try:
                answer = await self.wait(self._answer(lease, body))
                break
            except Answered4xx as refused:
                await self.pass_refusal(refused)
                return
            except Lost as lost:
                self.drop(lost)
                await self.wait(self.tries.prepare_retry(lease, lost))
        self.outcome.first_byte = self.means.timers.now()
        self.finish(Result.OK, 200)
        await self.send_whole(200, b"application/json", answer)

    async def _answer(self, lease: Lease, body: bytes) -> bytes:
        response = await self.ask(lease, body)
        await check(response, stream=False)
        answer = await read_all(response, self.means.settings.max_answer_bytes)
        self.tally.node.last = usage_of_answer(answer)
        self.tally.node.texts = 1
        return answer
