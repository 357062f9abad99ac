"""`python -m engine kubernetes …`: the cluster of this checkout, in `.gpuplane/kubernetes`."""

import argparse
import sys
from pathlib import Path

from engine.errors import EngineError
from engine.kubernetes_api import cluster, nodes, processes
from engine.kubernetes_api.programs import KUBERNETES, ensure

_CHECKOUT = Path(__file__).resolve().parents[2]


def default_folder() -> Path:
    """The folder of this checkout's cluster."""
    return _CHECKOUT / ".gpuplane" / "kubernetes"


def main(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: what follows `kubernetes`.

    Returns:
        The exit status: 0, 1 when there is no cluster, 2 when the command is unknown.

    Raises:
        EngineError: something failed; the message is one line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m engine kubernetes", description="A real Kubernetes API on this machine, for tests."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start it, or say where it runs")
    up.add_argument("--gpu-nodes", type=int, default=2, help=f"fake nodes with {nodes.GPUS} GPUs each (2)")
    commands.add_parser("down", help="stop it and remove its folder")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("kubeconfig", help="print the path of its kubeconfig")
    commands.add_parser("build", help="only build and fetch the programs")
    try:
        chosen = parser.parse_args(arguments)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    if chosen.command == "build":
        print(f"kubernetes: programs of {KUBERNETES} in {Path(ensure()['kube-apiserver']).parents[1]}")
        return 0
    if chosen.command == "up":
        return _up(chosen.gpu_nodes)
    if chosen.command == "down":
        return _down()
    return _told(chosen.command)


def _up(gpu_nodes: int) -> int:
    programs = ensure()
    running = cluster.start(default_folder(), programs)
    names = [f"gpu-{number}" for number in range(gpu_nodes)]
    for name in names:
        nodes.add(running.api, nodes.node(name))
    nodes.add(running.api, nodes.node("cpu-0", 0))
    ready = processes.wait_until(
        lambda: all(nodes.is_ready(running.api, name) for name in [*names, "cpu-0"]), cluster.START_S
    )
    if not ready:
        raise EngineError(f"kubernetes: the nodes did not become ready; logs: {running.layout.folder}")
    gpus = f"{gpu_nodes} fake nodes with {nodes.GPUS} GPUs" if gpu_nodes else "no GPUs"
    print(
        f"kubernetes: {KUBERNETES} on {running.api.url}, {gpus}; kubectl: {programs['kubectl']}",
        file=sys.stderr,
    )
    print(running.kubeconfig)
    return 0


def _down() -> int:
    folder = default_folder()
    there = folder.is_dir()
    killed = cluster.stop(folder)
    words = f" ({', '.join(killed)} did not end and had to be killed)" if killed else ""
    print(f"kubernetes: stopped{words}" if there else "kubernetes: nothing runs")
    return 0


def _told(command: str) -> int:
    running = cluster.find(default_folder())
    if running is None:
        print("kubernetes: nothing runs (make kubernetes-up starts it)", file=sys.stderr)
        return 1
    if command == "kubeconfig":
        print(running.kubeconfig)
        return 0
    ready = "ready" if running.api.answers("/readyz") else "NOT ready"
    print(f"kubernetes: {KUBERNETES} on {running.api.url}, {ready}")
    for process in running.processes:
        print(f"  {process.name} (pid {process.pid})")
    return 0
