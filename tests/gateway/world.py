"""Stand-in nodes and the real gateway as processes on free ports of 127.0.0.1.

with World(tmp_path) as world:
    world.node("a")
    world.start()
    httpx.post(f"{world.gateway.url}/v1/chat/completions", headers=world.headers, ...)
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from benchmarks.gateway_parts.build import standin
from tests.gateway.process import Process, free_port, until

MODEL = "standin"
REPOSITORY = Path(__file__).resolve().parents[2]
ADMIN_TOKEN = "admin-" + secrets.token_hex(16)
#: How long a gateway may take to start on a busy machine, seconds.
START_S = 60.0


class Node:
    """A stand-in of a vLLM node; what it counted outlives it in a file.

    Args:
        root: Folder for its files.
        name: Its name.
        flags: Further flags of `standin vllm`, such as `-tokens 50`.
        cores: The cores that it may use; all where None.
        counts_file: Whether it writes down each token that it counted, so that this outlives it.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        flags: Iterable[str] = (),
        cores: set[int] | None = None,
        counts_file: bool = True,
    ) -> None:
        self.name = name
        self.key = f"node-{secrets.token_hex(16)}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._flags, self._cores = list(flags), cores
        self._log = root / f"{name}.log"
        self._counts = root / f"{name}.counts" if counts_file else None
        self.process: Process | None = None
        self.most = 0
        """Requests at the same time that the gateway may give it; 0: no limit."""

    def start(self) -> Self:
        """Starts it, again where it was killed."""
        command: list[str | Path] = [
            standin(),
            "vllm",
            "-listen",
            f"127.0.0.1:{self.port}",
            "-name",
            self.name,
            "-key",
            self.key,
        ]
        command += ["-models", MODEL, *self._flags]
        if self._counts is not None:
            command += ["-counts-file", self._counts]
        self.process = Process(command, self._log, cores=self._cores)
        until(self._answers, f"node {self.name}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None and self.process.alive, self._log.read_text()
        try:
            return httpx.get(f"{self.url}/health", timeout=5.0).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Kills it (-9)."""
        assert self.process is not None
        self.process.kill()

    def faults(self, *planned: Mapping[str, Any]) -> None:
        """Plans what it does wrong from now on, and forgets what was planned before."""
        answer = httpx.put(f"{self.url}/standin/faults", json=[dict(fault) for fault in planned])
        answer.raise_for_status()

    def report(self) -> dict[str, Any]:
        """What it has seen since it was started."""
        found: dict[str, Any] = httpx.get(f"{self.url}/standin/counts", timeout=30.0).json()
        return found

    def counted(self) -> Counter[tuple[str, str]]:
        """Tokens that it counted in all its lives: (request id, prompt or completion) -> tokens."""
        found: Counter[tuple[str, str]] = Counter()
        if self._counts is not None and self._counts.exists():
            for line in self._counts.read_text().splitlines():
                request, prompt, completion = line.split(" ")
                found[request, "prompt"] += int(prompt)
                found[request, "completion"] += int(completion)
        return found

    def declared(self) -> dict[str, Any]:
        """The node as the gateway's seed has it."""
        return {
            "name": self.name,
            "url": self.url,
            "models": [MODEL],
            "apiKey": self.key,
            "maxInFlight": self.most,
        }


@dataclass
class Key:
    """A client's key: the secret, and as the seed has it."""

    tenant: str = "team"
    limits: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: f"sk-{secrets.token_urlsafe(32)}", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """For a request with it."""
        return {"authorization": f"Bearer {self.secret}"}

    def declared(self) -> dict[str, Any]:
        """Without the secret."""
        digest = hashlib.sha256(self.secret.encode()).hexdigest()
        return {
            "id": f"key-{digest[:8]}",
            "tenant": self.tenant,
            "sha256": digest,
            "prefix": self.secret[:8],
            "limits": dict(self.limits),
            **self.more,
        }


class Gateway:
    """The gateway's process.

    Args:
        root: Folder for its data and its log.
        seed: Its seed file.
        env: Further settings.
        cores: The cores that it may use; all where None.
    """

    def __init__(
        self, root: Path, seed: Path, env: Mapping[str, str] | None = None, cores: set[int] | None = None
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = root / "data"
        self._log, self._cores = root / "gateway.log", cores
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OTEL_"))
        }
        for name in ("DATABASE_URL", "REDIS_URL", "CONTROL_PLANE_URL", "LOG_LEVEL"):
            kept.pop(name, None)
        self._env = {
            **kept,
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_DATA_DIR": str(self.data),
            "GATEWAY_SEED": str(seed),
            "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
            **(env or {}),
        }
        self.process: Process | None = None
        self._admin = httpx.Client(
            base_url=f"{self.url}/admin/v1", headers={"authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=60.0
        )

    def start(self, ready: bool = True) -> Self:
        """Starts it, again where it was killed, and waits until it is ready, or only until it is alive."""
        command = [sys.executable, "-m", "control_plane.gateway"]
        self.process = Process(command, self._log, env=self._env, cores=self._cores)
        path = "/ready" if ready else "/health"
        until(lambda: self._answers(path), f"{path} of the gateway", START_S, pause_s=0.02)
        return self

    def _answers(self, path: str) -> bool:
        assert self.process is not None and self.process.alive, self.output()[-3000:]
        try:
            return httpx.get(f"{self.url}{path}", timeout=5.0).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Kills it (-9)."""
        assert self.process is not None
        self.process.kill()

    def stop(self) -> None:
        """Ends it; its data stay."""
        self._admin.close()
        if self.process is not None:
            self.process.stop()

    def output(self) -> str:
        """What it has logged in all its lives."""
        return self._log.read_text(errors="replace")

    def admin(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Asks the admin endpoint."""
        return self._admin.request(method, path, json=body)

    def ledger(self) -> list[dict[str, Any]]:
        """All rows of the ledger so far."""
        answer = self.admin("GET", "/ledger?format=json")
        answer.raise_for_status()
        found = answer.json()
        rows: list[dict[str, Any]] = found if isinstance(found, list) else found["data"]
        return rows

    def settled_ledger(self, rows: int) -> list[dict[str, Any]]:
        """All rows, once there are so many."""

        def look() -> list[dict[str, Any]] | None:
            found = self.ledger()
            return found if len(found) >= rows else None

        return until(look, f"{rows} rows in the ledger", 60.0, pause_s=0.2)

    def metrics(self) -> dict[str, float]:
        """Metrics: name with labels -> value."""
        text = httpx.get(f"{self.url}/metrics", timeout=30.0).text
        found = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found


def write_seed(file: Path, keys: Iterable[Key], nodes: Iterable[Node], more: Mapping[str, Any]) -> None:
    """Writes a seed.

    Args:
        file: Where to.
        keys: Of clients; each one's tenant is declared, too.
        nodes: Upstreams.
        more: Further parts in the form of `control_plane.gateway.declared`; they replace those from here.
    """
    keys = list(keys)
    declared = {
        "tenants": [{"name": name} for name in dict.fromkeys(key.tenant for key in keys)],
        "keys": [key.declared() for key in keys],
        "nodes": [node.declared() for node in nodes],
        **more,
    }
    file.write_text(json.dumps(declared))


class World:
    """Nodes, keys and one gateway, ended together.

    Args:
        root: Folder for everything.
        env: Further settings of the gateway.
        seed: Further parts of the seed, in the form of `control_plane.gateway.declared`.
        cores: The cores that the gateway may use; all where None.
        others: The cores of everything else; all where None.
    """

    def __init__(
        self,
        root: Path,
        env: Mapping[str, str] | None = None,
        seed: Mapping[str, Any] | None = None,
        cores: set[int] | None = None,
        others: set[int] | None = None,
    ) -> None:
        self.root = root
        self.nodes: list[Node] = []
        self.key = Key()
        self.keys = [self.key]
        self._seed = dict(seed or {})
        self._others = others
        self.seed_file = root / "seed.json"
        self.gateways = [Gateway(root / "gateway", self.seed_file, env, cores)]

    @property
    def gateway(self) -> Gateway:
        """The first gateway."""
        return self.gateways[0]

    @property
    def headers(self) -> dict[str, str]:
        """For a request with the usual key."""
        return self.key.headers

    def node(self, name: str, *flags: str) -> Node:
        """Starts another node."""
        made = Node(self.root, name, flags, self._others)
        self.nodes.append(made)
        return made.start()

    def write_seed(self) -> None:
        """Writes nodes, tenants and keys for the gateway."""
        write_seed(self.seed_file, self.keys, self.nodes, self._seed)

    def start(self) -> Self:
        """Writes the seed and starts the gateways."""
        self.write_seed()
        for gateway in self.gateways:
            gateway.start()
        return self

    def counted(self) -> Counter[tuple[str, str]]:
        """What all nodes counted in all their lives."""
        total: Counter[tuple[str, str]] = Counter()
        for node in self.nodes:
            total.update(node.counted())
        return total

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for gateway in self.gateways:
            gateway.stop()
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()
