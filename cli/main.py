"""The `gpuplane` command. Each command is one file and imports what it needs only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from cli import (
    ci,
    config_docs,
    config_schema,
    cost,
    dev,
    doctor,
    init,
    key,
    logs,
    new_cloud,
    offers,
    orphans,
    policies,
    preview_report,
    recover,
    spend,
    ssh,
    up,
)
from cli.errors import CliError, Ended

app = typer.Typer(
    name="gpuplane",
    help="Declares, prices, brings up and tears down GPU inference infrastructure from one stack file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(init.command)
app.command("up", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(up.command)
app.command("recover")(recover.command)
app.command("cost")(cost.command)
app.command("spend")(spend.command)
app.command("policies")(policies.command)
app.command("preview-report")(preview_report.command)
app.command("key")(key.command)
app.command("offers")(offers.command)
app.command("orphans")(orphans.command)
app.command("doctor")(doctor.command)
app.command("new-cloud")(new_cloud.command)
app.command("ssh", context_settings={"allow_extra_args": True})(ssh.command)
app.command("logs")(logs.command)
app.command("config-docs")(config_docs.command)
app.command("config-schema")(config_schema.command)
app.add_typer(ci.app, name="ci")
app.add_typer(dev.app, name="dev")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    Args:
        arguments: By default those of the process.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs the command line; every mistake of a person ends as one message, never as a traceback.

    Args:
        arguments: What follows the command's name.

    Returns:
        The exit code: 0; 1 for a failure; 2 for something refused or a wrong call; else that of the engine.
    """
    try:
        app(list(arguments), standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Ended as end:
        return end.code
    except CliError as error:
        return _say(error.message, error.code)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except BrokenPipeError:
        return 1
    except Exception as error:
        if not _is_known(error):
            raise
        return _say(str(error), 1)
    return 0


def _is_known(error: Exception) -> bool:
    """Whether an error is written for a person; asked of the module, so that no room is imported for it."""
    known = ("stack_config.errors", "gpu_clouds.errors", "engine.errors")
    return any(kind.__module__ in known for kind in type(error).__mro__)


def _say(message: str, code: int) -> int:
    print(f"gpuplane: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
