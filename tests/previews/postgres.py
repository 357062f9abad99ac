"""A real PostgreSQL as the backend that keeps stacks' state: on 127.0.0.1, ended with the test by its pid.

with StateServer() as server:
    url = server.backend()  # postgres://…, for PULUMI_BACKEND_URL: a database that is empty yet
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pytest

from tests.gateway.store.postgres import USER, Postgres, binary
from tests.peers.machine import allowed

PASSWORD = "canary-9b2e64"
"""Of every URL: it must show up in no output, no file and no list of processes."""
PACKAGE = "postgresql"

_numbers = itertools.count(1)


class StateServer(Postgres):
    """A PostgreSQL that keeps state; can be stopped, killed and started again on the same port and data."""

    def __enter__(self) -> Self:
        return self

    def backend(self, name: str = "") -> str:
        """Makes an empty database and returns the URL of the backend in it.

        Args:
            name: Of the database; a new one where empty.
        """
        name = name or f"state{next(_numbers)}"
        self.create(name)
        return self.backend_url(name)

    def backend_url(self, name: str) -> str:
        """The URL of the backend in an existing database."""
        return f"postgres://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}?sslmode=disable"


@contextmanager
def state_server() -> Iterator[StateServer]:
    """A server; PostgreSQL is first installed where it is missing and that may be done (CI, as root).

    Skips the test where PostgreSQL can't be had.
    """
    if not _here() and allowed() and os.geteuid() == 0:
        command = ["apt-get", "-qq", "--yes", "-o", "DPkg::Lock::Timeout=300", "install", PACKAGE]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=environment, check=True, capture_output=True)
    if not _here():
        pytest.skip(f"PostgreSQL is not installed: apt-get install {PACKAGE}, or CI=true as root")
    with StateServer() as server:
        yield server


def _here() -> bool:
    try:
        return bool(binary("initdb"))
    except FileNotFoundError:
        return False
