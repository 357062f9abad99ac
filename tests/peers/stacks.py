"""A stack of the real program on the real server, as the tests of stacks use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_clouds.skypilot.client import SkyPilotClient
from tests.engine.harness import REPOSITORY, STACK, Result, Running, Stack
from tests.peers.processes import until
from tests.peers.slurm import Slurm

SLOW_S = 900.0
CANARY = "canary-77b1e0"
"""Part of every secret: no state, output or log may have it in clear text."""


def machines(slurm: Slurm, stack_id: str) -> dict[str, str]:
    """Jobs of Slurm that are machines of a stack: name -> state."""
    states = slurm.job_states()
    return {name: state for name, state in states.items() if name.startswith(f"gp-p-{stack_id}-")}


def none_left(slurm: Slurm, stack_id: str, client: SkyPilotClient | None = None) -> bool:
    """Whether a stack has left nothing, on Slurm and at the server."""
    gone = until(lambda: not machines(slurm, stack_id), 30.0, 0.2)
    known = [] if client is None else [record.name for record in client.status()]
    return gone and not [name for name in known if name.startswith(f"gp-p-{stack_id}-")]


class PeerStack:
    """One stack.

    Args:
        root: Folder for everything.
        stack_id: Its id; each test has its own, because several run at the same time on one cluster.
        config: Keys of the namespace `gpuplane`.
        before: Text of a program that runs before the real one.
    """

    def __init__(self, root: Path, stack_id: str, config: Mapping[str, Any], before: str = "") -> None:
        self.folder = root / "gpuplane-state"
        self.stack = Stack(
            root / "stack",
            before + (REPOSITORY / "__main__.py").read_text(),
            env={"PYTHONPATH": str(REPOSITORY), "GPUPLANE_STATE_DIR": str(self.folder)},
        )
        self.config: dict[str, Any] = {"stackId": stack_id, "settings": {"settleS": 5}, **config}
        self._secrets: dict[str, str] = {}
        self.stack.set_config(self.config)

    def set_secret(self, path: str, value: str) -> None:
        """Sets an encrypted value below a key of `gpuplane`: `skypilotClusters.one.envs.TOKEN`."""
        self._secrets[path] = value
        self._seal()

    def _seal(self) -> None:
        for path, value in self._secrets.items():
            self.stack.run(
                "config", "set", "--secret", "--path", f"gpuplane:{path}", value, "--stack", STACK
            ).expect_ok()

    def set_cluster(self, name: str, **values: Any) -> None:
        """Declares a SkyPilot cluster, or changes keys of one; a key that is None is removed."""
        clusters = self.config.setdefault("skypilotClusters", {})
        merged = {**clusters.get(name, {}), **values}
        clusters[name] = {key: value for key, value in merged.items() if value is not None}
        self.stack.set_config({"skypilotClusters": clusters})
        self._seal()

    def drop_cluster(self, name: str) -> None:
        """Declares a cluster no more."""
        del self.config["skypilotClusters"][name]
        self.stack.set_config({"skypilotClusters": self.config["skypilotClusters"]})

    def start(self, operation: str, *arguments: str) -> Running:
        """Begins an operation."""
        return self.stack.start_operation(operation, *arguments)

    def run(self, operation: str, *arguments: str) -> Result:
        """Runs an operation to its end."""
        return self.start(operation, *arguments).wait(SLOW_S)

    def outputs(self, name: str) -> dict[str, Any]:
        """Outputs of a resource in the state."""
        outputs: dict[str, Any] = self.stack.resources()[name]["outputs"]
        return outputs

    def files(self) -> str:
        """The text of the state with its history, of what was printed, and of the events."""
        printed = [path.read_text(errors="replace") for path in self.stack.root.glob("*.txt")]
        events = [path.read_text(errors="replace") for path in self.stack.root.glob("events-*.jsonl")]
        return "\n".join([self.stack.state_text(), *printed, *events])
