"""Entry file of every stand-in: `start.py NAME [ENGINE-ADDRESS]`.

A file and not a module name: the Python that runs it is the program's, which may have never heard of it.
"""

import gc
import importlib
import sys
from pathlib import Path


def run(arguments: list[str]) -> None:
    """Imports and runs one stand-in.

    Args:
        arguments: the name of its package here, and what the engine gives its plugins.
    """
    if not arguments:
        sys.exit("start.py needs the name of a stand-in")
    sys.dont_write_bytecode = False  # an SDK without cached bytecode takes three times as long to import
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    # An import is quicker without the garbage collector, and what it makes is never garbage.
    gc.disable()
    try:
        entry = importlib.import_module(f"engine.standins.{arguments[0]}.__main__")
    except ModuleNotFoundError as error:
        sys.exit(f"{sys.executable} cannot run the stand-in: {error}. Install the project's requirements.")
    gc.freeze()
    gc.enable()
    entry.main(arguments[1:])


if __name__ == "__main__":
    run(sys.argv[1:])
