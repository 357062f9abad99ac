"""`python -m control_plane.gateway`: the gateway as a process, set up by environment variables."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

from control_plane import settings as setting
from control_plane.gateway import log as logging

FAILED = 1


def main() -> int:
    """Runs the gateway until it is asked to end.

    Returns:
        Exit code: 0 after SIGTERM or SIGINT, 1 where it cannot listen or write, 2 for a setting that makes no
        sense.
    """
    # What is imported stays: looking through it again and again takes a fifth of the time to start.
    gc.disable()
    try:
        settings = setting.load()
        log = logging.configure(settings.log_level)
        # Slow to import, and of no use to somebody who has mistyped a setting.
        from control_plane.gateway import serving
        from control_plane.gateway.journal import JournalError
        from control_plane.gateway.service import Service
    except setting.SettingsError as error:
        return _failed(error, setting.BAD_SETTING)
    try:
        service = Service(settings, log)
    except setting.SettingsError as error:
        return _failed(error, setting.BAD_SETTING)
    except JournalError as error:
        return _failed(error, FAILED)
    try:
        listener = serving.listen(settings)
    except OSError as error:
        return _failed(f"cannot listen at {settings.host}:{settings.port}: {error.strerror}", FAILED)

    async def run() -> None:
        async with service.running() as app:
            await serving.serve(
                app,
                settings,
                listener,
                begin_drain=service.begin_drain,
                end_rest=service.end_rest,
                listening=lambda: _listening(log, listener),
            )

    with asyncio.Runner(loop_factory=serving.new_loop) as runner:
        runner.run(run())
    log.info("ended")
    return 0


def _listening(log: logging.Log, listener: socket.socket) -> None:
    # What was made until now stays: the garbage collector need not look at it again and again, which took a
    # tenth of all CPU time. Requests leave few cycles behind.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    gc.enable()
    log.info("listening", url=_url(listener))


def _failed(why: object, code: int) -> int:
    print(f"gateway: {why}", file=sys.stderr)
    return code


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
