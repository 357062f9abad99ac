"""`python -m emulators start|stop|status|serve`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from typing import Any

from emulators import daemon
from emulators.app import check_settings
from emulators.clock import SettingError
from emulators.folder import EMULATOR_DIR, Folder
from emulators.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name; None: the process's own.

    Returns:
        Exit code: 0; 1 for an error; 3 where `status` finds nothing running.
    """
    options = _parser().parse_args(arguments)
    folder = Folder.chosen(options.folder)
    try:
        match options.command:
            case "serve":
                settings = _settings(options.set)
                _configure_log()
                serve(folder, settings, lambda line: print(line, flush=True), options.port)
            case "start":
                _settings(options.set)
                port = [] if options.port is None else ["--port", str(options.port)]
                running = daemon.start(
                    folder, [*port, *(part for one in options.set for part in ("--set", one))]
                )
                print(_line(running, folder))
            case "stop":
                print("emulators stopped" if daemon.stop(folder) else "no emulators were running")
            case _:
                found = folder.endpoints()
                if found is None:
                    print(f"no emulators run in {folder.path}")
                    return 3
                print(_line(found, folder))
    except SettingError as error:
        print(f"emulators: {error}", file=sys.stderr)
        return 1
    return 0


def _line(running: dict[str, Any], folder: Folder) -> str:
    addresses = ", ".join(f"{name} {urls['api']}" for name, urls in running["clouds"].items())
    return (
        f"emulators run (pid {running['pid']}, time x{running['time_scale']:g}): {addresses}; "
        f"folder {os.path.relpath(folder.path)}"
    )


def _settings(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """`runpod.ready_after_s=5` -> {"runpod": {"ready_after_s": 5}}; a value that is no JSON is a text."""
    settings: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        cloud, dot, key = name.partition(".")
        if not (equals and dot and cloud and key):
            raise SettingError(f"--set {pair}: write cloud.setting=value, such as runpod.ready_after_s=5")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        settings.setdefault(cloud, {})[key] = value
    check_settings(settings)
    return settings


def _configure_log() -> None:
    """One line an event; nothing of a request but method and path ever gets into it."""
    level = os.environ.get("LOG_LEVEL", "").upper()
    logging.basicConfig(
        level=level if level in logging.getLevelNamesMapping() else "INFO",
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulators",
        description="Local stand-ins of the GPU clouds' APIs, on 127.0.0.1 only. See docs/emulators.md.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--folder",
        help=f"folder for state, log and addresses (default: ${EMULATOR_DIR} or .gpuplane/emulators)",
    )
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("--port", type=int, help="port (default: that of the last run, or any)")
    running.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="CLOUD.SETTING=VALUE",
        help="a setting, such as runpod.mode=specified; kept over restarts; may be repeated",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="start|stop|status|serve")
    commands.add_parser(
        "start", parents=[common, running], help="start in the background, wait until they answer"
    )
    commands.add_parser("stop", parents=[common], help="stop them; state stays")
    commands.add_parser("status", parents=[common], help="say where they are; exit code 3 if nowhere")
    commands.add_parser("serve", parents=[common, running], help="run in the foreground")
    return parser


if __name__ == "__main__":
    sys.exit(main())
