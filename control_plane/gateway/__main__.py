"""`python -m control_plane.gateway`: the gateway as a process, set up by environment variables."""

from __future__ import annotations

import asyncio
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
        print(f"gateway: cannot listen at {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return FAILED

    async def run() -> None:
        async with service.running() as app:
            await serving.serve(
                app,
                settings,
                listener,
                begin_drain=service.begin_drain,
                end_rest=service.end_rest,
                listening=lambda: log.info("listening", url=_url(listener)),
            )

    with asyncio.Runner(loop_factory=serving.new_loop) as runner:
        runner.run(run())
    log.info("ended")
    return 0


def _failed(why: object, code: int) -> int:
    print(f"gateway: {why}", file=sys.stderr)
    return code


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
