"""Starts this stand-in; `engine/standins/start.py` calls it."""

import sys

from engine.standins.aws import CLOUD
from engine.standins.plugin import serve


def main(arguments: list[str]) -> None:
    """Serves until the engine is gone.

    Args:
        arguments: the engine's.
    """
    serve(CLOUD, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
