"""Runs a program under Pulumi's mocks and keeps what it registers, for the validator without an engine."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from tests.kubernetes.wrong_programs.preludes import PRELUDES

Registered = list[tuple[str, dict[str, Any]]]


class _Recorder(Mocks):
    """Type tokens and inputs, as the engine would get them."""

    def __init__(self) -> None:
        self.found: Registered = []
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.loops.add(asyncio.get_event_loop())
        if args.typ != "pulumi:pulumi:Stack":
            self.found.append((args.typ, dict(args.inputs)))
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"no program here calls a function: {args.token}")


def registrations(cloud: str, program: str) -> Registered:
    """What a program registers: (type token, inputs). What the program itself raises is passed on."""
    recorder = _Recorder()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(recorder, project="gpuplane", stack="test", preview=True)

    @pulumi.runtime.test
    def run() -> None:
        with warnings.catch_warnings():
            # The SDKs warn of their own deprecated resources when they are imported.
            warnings.simplefilter("ignore", DeprecationWarning)
            exec(compile(PRELUDES[cloud] + program, "<program>", "exec"), {})

    try:
        run()
    finally:
        asyncio.set_event_loop(None)
        for each in {loop, *recorder.loops}:
            each.close()
    return recorder.found
