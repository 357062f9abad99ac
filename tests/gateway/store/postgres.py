"""A PostgreSQL of its own for tests: the system's package, on loopback, in a folder that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

USER = "gateway"
START_S = 60.0


def binary(name: str) -> str:
    """One of PostgreSQL's programs; Debian keeps them out of the search path."""
    found = [*sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]
    path = str(found[0]) if found else shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"PostgreSQL's {name} is not here: apt-get install postgresql")
    return path


class Postgres:
    """A server that can be stopped, killed and started again on the same port and data."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        # The server refuses to run as root.
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "postgres"
            entry = pwd.getpwnam(self._user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._server: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._run("initdb", "-D", str(self.folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8", "-N")
        self.start()

    def url(self, name: str) -> str:
        """URL of one of its databases, for the gateway."""
        return f"postgresql+asyncpg://{USER}:unused-password@127.0.0.1:{self.port}/{name}"

    def create(self, name: str) -> str:
        """Makes a database; returns its URL."""
        self.sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def sql(self, statement: str, name: str = "postgres") -> str:
        """What psql prints for a statement, bare."""
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", name]
        return self._run("psql", *place, "-v", "ON_ERROR_STOP=1", "-XAtc", statement)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "40",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [binary("postgres"), "-D", str(self.folder / "data"), *arguments],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.sql("SELECT 1")
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text(errors="replace")[-4000:]) from None
                time.sleep(0.1)

    def stop(self) -> None:
        """Ends it at once and in order: open connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(number)
            self._server.wait(START_S)
            self._server = None

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Postgres:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [binary(name), *arguments],
            capture_output=True,
            text=True,
            check=True,
            user=self._user,
            cwd=self.folder,
        )
        return done.stdout.strip()
