"""The real SkyPilot API server, started, adopted, killed and stopped as one process group."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.skypilot_server import server_python
from tests.peers.machine import program
from tests.peers.processes import (
    PeerError,
    Process,
    Record,
    free_ports,
    is_free,
    kill,
    last_words,
    listens,
    session_members,
    start,
    until,
)
from tests.peers.slurm import CLUSTER

#: USD per hour of one GPU, as the server is told; what previews and cost reports must show.
PRICES = {"H100": 2.5, "A100": 1.5}

_DEFAULT_PORT, _QUEUE_PORT = 46580, 50011
_ATTEMPTS = 4

_CONFIG = f"""\
# Others would be asked for at every start, and there is no network for them here.
allowed_clouds: [slurm]
slurm:
  pricing:
    accelerators: {{{", ".join(f"{name}: {usd}" for name, usd in PRICES.items())}}}
  provision_timeout: 600
"""

# Without it the server fetches its catalog from the network at the first launch.
_CATALOG = """AcceleratorName,Clouds
H100,"['AWS']"
A100,"['AWS']"
B200,"['AWS']"
"""


@dataclass(frozen=True)
class Auth:
    """Who may use a server: basic authentication of one administrator, and service accounts."""

    user: str
    password: str


@dataclass
class SkyPilotServer:
    """A server with a home folder of its own.

    Args:
        folder: its home, state and logs.
        slurm_config: becomes ~/.slurm/config.
        auth: asks for credentials; nobody needs any when None. The server never asks a request from this
            machine, unless it says that it was forwarded: see `tests.peers.forwarder`.
        variables: further environment variables.
    """

    folder: Path
    slurm_config: Path | None = None
    auth: Auth | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    took_s: float = field(default=0.0, init=False)  # of the last start, seconds

    @property
    def _record(self) -> Record:
        return Record(self.folder / "processes.json")

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.folder / "server.log"

    @property
    def port(self) -> int:
        """The port that it has, or had when it last ran.

        Raises:
            PeerError: it was never started.
        """
        try:
            return int(json.loads((self.folder / "port.json").read_text()))
        except (OSError, ValueError) as error:
            raise PeerError(f"no server was started in {self.folder}") from error

    @property
    def url(self) -> str:
        """For example http://127.0.0.1:46580."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> Process | None:
        """Its first process, when that runs."""
        process = self._record.read().get("server")
        return process if process is not None and process.alive else None

    def up(self, wait_s: float = 240.0) -> bool:
        """Starts the server unless it runs, and waits until it is healthy.

        Args:
            wait_s: real seconds.

        Returns:
            Whether it had to be started.

        Raises:
            PeerError: it did not come up; with the last lines of its log.
        """
        if self.process is not None and self.health() is not None:
            return False
        self.kill()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_home()
        begin = time.monotonic()
        # The same port again, so that clients find a server that was restarted.
        known = self.port if (self.folder / "port.json").exists() else None
        for attempt in range(1, _ATTEMPTS + 1):
            reason = self._start(known or _free_port(), wait_s)
            if reason is None:
                break
            # The port of its queue is one of those that outgoing connections get too.
            if "already in use" not in reason or attempt == _ATTEMPTS:
                raise PeerError(f"the SkyPilot server did not come up in {self.folder}: {reason}")
            time.sleep(1.0)
        self.took_s = time.monotonic() - begin
        return True

    def _start(self, port: int, wait_s: float) -> str | None:
        """Starts it at a port; None when it is healthy, else the last words of its log."""
        (self.folder / "port.json").write_text(json.dumps(port))
        command: list[str | Path] = [server_python(), "-m", "sky.server.server", "--host=127.0.0.1"]
        process = start([*command, f"--port={port}"], self.log, self._environment(port), cwd=self.folder)
        self._record.add("server", process)
        until(lambda: self.health() is not None or not process.alive, wait_s, 0.25)
        if process.alive and self.health() is not None:
            return None
        reason = last_words(self.log)
        self.kill()
        return reason

    def health(self) -> dict[str, Any] | None:
        """What /api/health answers; None when it doesn't."""
        with contextlib.suppress(OSError, ValueError, PeerError):
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=5) as answer:
                content = json.load(answer)
            if content.get("status") == "healthy":
                return dict(content)
        return None

    def settle(self, wait_s: float = 240.0) -> None:
        """Waits until the server has looked at its clouds, as after each start; it is slow until then.

        Args:
            wait_s: real seconds; it is no error when it takes longer.
        """
        url = f"{self.url}/api/status?request_ids=skypilot-server-on-boot-check"

        def over() -> bool:
            with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=10) as answer:
                return any(row.get("finished_at") for row in json.load(answer))
            return False

        until(over, wait_s, 0.5)

    def kill(self, wait_s: float = 20.0) -> None:
        """Kills the server with everything that it has started, as a crash of its machine would.

        The first process alone would leave workers behind that keep the port of its queue.

        Raises:
            PeerError: something of it is left.
        """
        process = self._record.read().get("server")
        if process is None:
            return
        left = session_members(process.pid)
        if not process.alive and left and not _is_ours(left[0]):
            left = []  # the number of the session was given to somebody else meanwhile
        kill(left)
        if left and not until(lambda: not session_members(process.pid), wait_s):
            raise PeerError(f"processes of the SkyPilot server are left: {session_members(process.pid)}")
        self._record.remove("server")
        if not until(lambda: not listens(self.port) and not listens(_queue_port(self.port)), wait_s):
            raise PeerError(f"the port {self.port} of the SkyPilot server or of its queue is still in use")

    def owns(self, job: str) -> bool:
        """Whether a job of this name is a cluster that this server has or has had; it need not run."""
        state = self.folder / ".sky" / "state.db"
        if not state.exists():
            return False
        known = "SELECT name FROM clusters UNION SELECT name FROM cluster_history"
        with contextlib.closing(sqlite3.connect(f"{state.as_uri()}?mode=ro", uri=True)) as database:
            try:
                # A job has the cluster's name, and behind it the id of the user.
                return any(job.rpartition("-")[0] == str(name) for (name,) in database.execute(known))
            except sqlite3.Error:  # it was killed before it had made its tables
                return False

    def remove(self) -> None:
        """Stops the server and removes its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self, port: int) -> dict[str, str]:
        kept = ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "TMPDIR")
        variables = {name: os.environ[name] for name in kept if name in os.environ}
        variables.update(
            {
                "HOME": str(self.folder),
                "PATH": f"{server_python().parent}:{variables.get('PATH', os.defpath)}:/usr/sbin:/sbin",
                "IS_SKYPILOT_SERVER": "true",
                "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
                # Moves the port of its queue too, so that several servers can run on one machine.
                "SKYPILOT_API_SERVER_LOCAL_PORT": str(port),
            }
        )
        if self.auth is not None:
            variables.update(
                {
                    "ENABLE_BASIC_AUTH": "true",
                    "ENABLE_SERVICE_ACCOUNTS": "true",
                    "SKYPILOT_INITIAL_BASIC_AUTH": f"{self.auth.user}:{_apr1(self.auth.password)}",
                }
            )
        return {**variables, **self.variables}

    def _write_home(self) -> None:
        sky = self.folder / ".sky"
        catalog = sky / "catalogs" / "v8" / "common"
        catalog.mkdir(parents=True, exist_ok=True)
        if not (sky / "config.yaml").exists():  # workspaces are kept in it
            (sky / "config.yaml").write_text(_CONFIG)
        (catalog / "accelerators.csv").write_text(_CATALOG)
        if self.slurm_config is not None:
            (self.folder / ".slurm").mkdir(mode=0o700, exist_ok=True)
            # A link, because the cluster's ports are others after it was started again.
            config = self.folder / ".slurm" / "config"
            config.unlink(missing_ok=True)
            config.symlink_to(self.slurm_config)


def _is_ours(pid: int) -> bool:
    """Whether a process is of a SkyPilot server; its workers rename themselves."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        program_path = Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return False
    return b"SkyPilot" in text or b"sky.server" in text or str(program_path).startswith(str(server_python()))


def _free_port() -> int:
    """Never the usual port, which is for the server of the person who works on this machine."""
    for port in free_ports(20):
        if port != _DEFAULT_PORT and is_free(_queue_port(port)):
            return port
    raise PeerError("no free port for the SkyPilot server")


def _queue_port(port: int) -> int:
    """Port of the server's queue of requests, which follows the server's own."""
    return 50000 + (_QUEUE_PORT - 50000 + port - _DEFAULT_PORT) % 10000


def _apr1(password: str) -> str:
    """The hash of a password in the form of `htpasswd`."""
    done = subprocess.run(
        [program("openssl"), "passwd", "-apr1", "-stdin"],
        input=password,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def home_of(name: str, root: Path) -> Path:
    """The folder of a server that is shared by the tests.

    Args:
        name: for example `open` or `auth`.
        root: the peers' folder.
    """
    return root / f"server-{name}"


#: How a stack names the cluster.
INFRA = f"slurm/{CLUSTER}"
