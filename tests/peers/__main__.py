"""`python -m tests.peers up | down | status | remove`: the Slurm cluster and the SkyPilot server by hand."""

from __future__ import annotations

import argparse
import sys

from tests.peers import machine, together
from tests.peers.processes import PeerError, let_go
from tests.peers.skypilot_server import INFRA, SkyPilotServer, home_of
from tests.peers.slurm import Slurm


def _up(yes: bool) -> str:
    peers = together.up(yes=yes)
    let_go()
    return (
        f"Slurm cluster: {peers.slurm.nodes()}\n"
        f"  to look at it: SLURM_CONF={peers.slurm.root}/slurm.conf squeue\n"
        f"  a SkyPilot server of your own finds it by {peers.slurm.client_config} as its ~/.slurm/config\n"
        f"SkyPilot server: {peers.server.url}, which calls the cluster {INFRA}; log: {peers.server.log}"
    )


def _status() -> str:
    slurm = Slurm()
    running = slurm.running()
    lines = [f"Slurm cluster: {slurm.nodes() if 'slurmctld' in running else 'stopped'}"]
    lines += [f"  {name}: process {process.pid}" for name, process in sorted(running.items())]
    lines += [
        f"  job {job}: {name}" for job, name in (slurm.jobs() if "slurmctld" in running else {}).items()
    ]
    server = SkyPilotServer(home_of("open", machine.ROOT))
    process = server.process
    where = f"{server.url}, process {process.pid}" if process is not None else "stopped"
    return "\n".join([*lines, f"SkyPilot server: {where}"])


def main(arguments: list[str]) -> int:
    """Runs one command; 1 with one line when it can't be done."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    parser.add_argument(
        "command",
        choices=["up", "down", "status", "remove"],
        help="remove: stop all and take back the user, the host names and the folder; packages stay",
    )
    parser.add_argument("--yes", action="store_true", help="allow changes outside the project's folder")
    options = parser.parse_args(arguments)
    try:
        if options.command == "up":
            print(_up(options.yes))
        elif options.command == "status":
            print(_status())
        else:
            if options.command == "remove" and not machine.allowed(options.yes):
                raise PeerError(f"this removes the user {machine.USER} and {machine.ROOT}: add --yes")
            together.down()
            if options.command == "remove":
                machine.restore()
            print("stopped" if options.command == "down" else "removed")
    except PeerError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
