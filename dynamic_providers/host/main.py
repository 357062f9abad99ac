"""Entry point of the plugin; `pulumi-resource-pulumi-python` runs this file with the engine's address."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType


def main() -> None:
    """Take over signals and the parent's id before the slow imports, then serve."""
    engine = os.getppid()
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    # Run with -P, so this folder is not on the path. These two are: the program's folder, for its own
    # providers, and the one that holds `dynamic_providers`.
    sys.path[:0] = [str(Path.cwd()), str(Path(__file__).resolve().parents[2])]
    # Every engine run waits for this: importing the SDK takes a third less without the garbage collector.
    gc.disable()
    from dynamic_providers.host.server import serve

    gc.freeze()
    gc.enable()
    serve(address=sys.argv[1] if len(sys.argv) > 1 else "", engine=engine)


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once: when the engine ends its plugins, no operation is left to wait for."""
    os._exit(0)


if __name__ == "__main__":
    main()
