"""`python -m engine ensure | path | skypilot | kubernetes …`."""

import os
import sys

from engine.environment import plugin_homes
from engine.errors import EngineError
from engine.installed import ensure, require
from engine.kubernetes_api import commands as kubernetes
from engine.skypilot_server import server_python
from engine.standins import fetching

USAGE = "usage: python -m engine ensure | path | skypilot | kubernetes …"


def main(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: `ensure` makes an engine ready and prints one line that says which and why; `path` prints
            the folder to put on PATH; `skypilot` installs the SkyPilot server
            and prints its Python; `kubernetes` has commands of its own.

    Returns:
        The exit status: 0, 1 when there is no engine, 2 when the command is unknown.
    """
    try:
        if arguments == ["ensure"]:
            engine = ensure()
            print(engine.line)
            install = fetching.installer(engine.folder / "pulumi")
            for choice in fetching.look(os.environ.get("PATH", ""), plugin_homes(), install):
                print(choice.line)
            return 0
        if arguments == ["path"]:
            print(require().folder)
            return 0
        if arguments == ["skypilot"]:
            print(server_python())
            return 0
        if arguments[:1] == ["kubernetes"]:
            return kubernetes.main(arguments[1:])
    except EngineError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("engine: interrupted", file=sys.stderr)
        return 130
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
