"""Asking idle nodes whether they can still answer: a process that lives need not be able to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from control_plane.gateway.declared import Node
from control_plane.gateway.routing.node_state import NodeState
from control_plane.gateway.routing.settings import RoutingSettings
from control_plane.gateway.timers import Timers


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe has found.

    Attributes:
        failure: What is wrong with the node; empty: it answers.
        prompt_tokens: Tokens that the node counted for the probe's prompt.
        completion_tokens: Tokens that it generated for it.
    """

    failure: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


Probe = Callable[[Node], Awaitable[Probed]]


class Prober:
    """One task for each node.

    Args:
        probe: Asks a node.
        settings: Of the routing.
        timers: The time.
        on_good: Called after a node has answered.
        on_bad: Called with what is wrong.
        jitter: A number from 0 to 1, so that many gateways don't probe at once.
    """

    def __init__(
        self,
        probe: Probe,
        settings: RoutingSettings,
        timers: Timers,
        on_good: Callable[[NodeState], None],
        on_bad: Callable[[NodeState, str, bool], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._probe = probe
        self._settings = settings
        self._timers = timers
        self._on_good = on_good
        self._on_bad = on_bad
        self._jitter = jitter
        self._tasks: dict[NodeState, asyncio.Task[None]] = {}

    def begin(self, state: NodeState) -> None:
        """Probes a node at once and from now on."""
        self._tasks[state] = asyncio.create_task(self._run(state), name=f"probe {state.node.name}")

    def end(self, state: NodeState) -> None:
        """Probes it no more."""
        task = self._tasks.pop(state, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Ends all of them."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, state: NodeState) -> None:
        while True:
            if self._is_due(state):
                await self._ask(state)
            await self._timers.sleep(self._pause(state))

    def _is_due(self, state: NodeState) -> bool:
        now = self._timers.now()
        if state.in_flight or not state.breaker.allows(now):
            return False
        # A node that has just answered a request needs no probe.
        return (
            not state.answered or bool(state.reason) or now - state.quiet_since >= self._settings.probe_s / 2
        )

    async def _ask(self, state: NodeState) -> None:
        tries = state.breaker.take()
        try:
            probed = await self._probe(state.node)
        except asyncio.CancelledError:
            if tries:
                state.breaker.give_back()
            raise
        state.probe_prompt_tokens += probed.prompt_tokens
        state.probe_completion_tokens += probed.completion_tokens
        if probed.failure:
            self._on_bad(state, probed.failure, tries)
        else:
            self._on_good(state)

    def _pause(self, state: NodeState) -> float:
        pause = self._settings.probe_s * (0.8 + 0.4 * self._jitter())
        if not state.answered:
            # It is being started: it should get requests as soon as it can.
            return min(pause, 1.0 + self._jitter())
        if state.breaker.retry_at:
            return min(pause, max(0.05, state.breaker.retry_at - self._timers.now()))
        return pause
