"""Ports of this machine: whether one is free, and who has it."""

from __future__ import annotations

import os
import socket

import psutil

from gpu_clouds.redaction import redact
from local_services.processes import command_of

SHOWN_COMMAND = 120


def is_free(port: int) -> bool:
    """Whether a server on 127.0.0.1 could take this port now."""
    with socket.socket() as client:
        client.settimeout(1.0)
        try:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return False
        except TimeoutError:
            return False
    with socket.socket() as server:
        # As servers do it: what is left of closed connections does not hold a port.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except PermissionError:
            return True  # below 1024: whether the service itself may have it is not known here
        except OSError:
            return False
    return True


def holder(port: int) -> tuple[int, str] | None:
    """Pid and command line of who listens on a port; None where that can't be read."""
    try:
        listening = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    for connection in listening:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
            if connection.pid is None:
                return None
            command = redact(command_of(connection.pid))
            if len(command) > SHOWN_COMMAND:
                command = command[:SHOWN_COMMAND] + " …"
            return connection.pid, command
    return None


def told_holder(port: int) -> str:
    """Who has the port, in words."""
    found = holder(port)
    if found is None:
        who = "another user's process" if os.geteuid() != 0 else "a process that can't be read"
        return f"port {port} is held by {who}"
    pid, command = found
    return f"port {port} is held by process {pid}" + (f" ({command})" if command else "")
