"""`gpuplane dev`: the embedded stack, with emulated clouds on this machine; what `make up` calls."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="dev",
    help="The embedded dev stack: everything on this machine, emulated clouds, no account.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("up")
def up() -> None:
    """Starts the emulated clouds, brings the dev stack up, and shows its cost and a request to try."""
    from cli.clear_text import refuse_clear_text
    from cli.cost_table import as_table
    from cli.dev_stack import DevStack
    from cli.policy_pack import pack_arguments, refuse_broken
    from cli.recovery import recover
    from cli.request_example import example
    from cli.state import nodes_in

    dev = DevStack.open(typer.echo)
    refuse_clear_text(dev.pulumi)
    dev.start_emulators()
    dev.select()
    for line in recover(dev.pulumi).lines():
        typer.echo(line)
    pack = pack_arguments(dev.pulumi)
    refuse_broken(dev.pulumi, pack)
    dev.pulumi.stream("up", *pack, "--yes", "--skip-preview", "--suppress-outputs")
    nodes = nodes_in(dev.pulumi.export())
    typer.echo("\n" + as_table(dev.pulumi.stack, nodes))
    shown = example(dev.pulumi, nodes)
    if shown:
        typer.echo("\n" + shown)


@app.command("preview")
def preview() -> None:
    """Shows what would be made, what it would cost and which policies it breaks; makes nothing."""
    from cli.dev_stack import DevStack
    from cli.policy_pack import pack_arguments
    from cli.recovery import recover

    dev = DevStack.open(typer.echo)
    dev.start_emulators()
    dev.select()
    for line in recover(dev.pulumi).lines():
        typer.echo(line)
    dev.pulumi.stream("preview", *pack_arguments(dev.pulumi))


@app.command("down")
def down() -> None:
    """Destroys the dev stack, checks that no node is left, removes it and stops the emulated clouds."""
    from cli.dev_stack import DevStack
    from cli.recovery import recover

    dev = DevStack.open(typer.echo)
    if dev.ever_started():
        # Destroy and check talk to the clouds; where somebody stopped them, their state is still there.
        dev.start_emulators()
    if dev.exists():
        for line in recover(dev.pulumi).lines():
            typer.echo(line)
        dev.pulumi.stream("destroy", "--yes", "--skip-preview", "--suppress-outputs")
    dev.refuse_leftovers()
    dev.remove()
    dev.stop_emulators()
    typer.echo("dev stack: no node, no resource, no process left")
