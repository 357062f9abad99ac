"""Runs a script on a node with the `ssh` of this machine.

Nothing of the script is ever an argument, here or there: it goes through the standard input. The user's own
ssh configuration is not read, so a probe does the same on every machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gpu_clouds.errors import CancelledError, ValidationError
from gpu_clouds.models import Instance

OWN_KEY = "id_ed25519"
"""The stack's own key in its folder `ssh`; Lambda's client makes one where the user names none."""

_ADDRESS = re.compile(
    r"(?P<user>[A-Za-z0-9_][\w.-]*)@(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9][\w.-]*)):(?P<port>\d{1,5})"
)
_TCP = re.compile(r"tcp://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9][\w.-]*)):(?P<port>\d{1,5})")
_BEGAN = "gpuplane-probe-began"
# Reads the script whole before it runs any of it, so that no command in it can eat the rest.
_REMOTE = f"sh -c 'script=$(cat); exec </dev/null; echo {_BEGAN}; eval \"$script\"'"
_CONNECT_S = 10
_LOOK_S = 0.05
_MOST_OUTPUT = 1_000_000
_KEPT_ENVIRONMENT = ("HOME", "LANG", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TMPDIR", "USER")


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where to log in."""

    user: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SshAnswer:
    """What came of a script.

    Attributes:
        began: It ran; otherwise nobody could log in.
        status: Its exit status; None where it did not end in time.
        output: What it wrote, both streams.
        problem: Why nobody could log in, in ssh's words.
    """

    began: bool
    status: int | None
    output: str
    problem: str


def ssh_program() -> str:
    """Path of this machine's ssh client.

    Raises:
        ValidationError: There is none.
    """
    found = shutil.which("ssh")
    if found is None:
        raise ValidationError(
            "readiness logs in to the nodes, and this machine has no `ssh`: install OpenSSH's client, or use "
            "readiness kind http or tcp without gpu"
        )
    return found


def ssh_address(instance: Instance) -> SshAddress | None:
    """How to log in to a node; None while that is not known.

    A public address of port 22 is preferred to what else the cloud calls a way in: a relay may take
    terminals only.
    """
    told = _ADDRESS.fullmatch(instance.ssh)
    direct = next((e for e in instance.endpoints if (e.port, e.protocol) == (22, "tcp")), None)
    if direct is not None and (found := _TCP.fullmatch(direct.url)):
        return SshAddress(told["user"] if told else "root", found["v6"] or found["host"], int(found["port"]))
    return SshAddress(told["user"], told["v6"] or told["host"], int(told["port"])) if told else None


class NodeSsh:
    """Logs in to the nodes of one stack.

    Args:
        folder: The stack's folder `ssh`: its own key, and the nodes' host keys. A host key is accepted when a
            node is seen for the first time, and has to stay the same.
        cancel: Ends a script that runs.
    """

    def __init__(self, folder: Path, cancel: threading.Event) -> None:
        self._folder = folder
        self._cancel = cancel
        self._program = ""

    def run(
        self, instance: Instance, address: SshAddress, script: str, *, key: str, key_file: str, limit_s: float
    ) -> SshAnswer:
        """Runs a script in the node's `sh`.

        Args:
            instance: The node.
            address: Where to log in.
            script: The script; no part of it is seen by a shell of this machine.
            key: Private key, its text; empty for `key_file`.
            key_file: Path of a private key here. Empty as well: the stack's own key where there is one, then
                ssh's agent and the user's usual keys.
            limit_s: After so long it is given up, seconds.

        Raises:
            ValidationError: This machine has no ssh, or no such key.
            CancelledError: Cancelled meanwhile.
        """
        self._program = self._program or ssh_program()
        with _key_path(key, key_file) as given:
            own = self._folder / OWN_KEY
            ways = [given] if given else [str(own), ""] if own.exists() else [""]
            for way in ways:
                answer = self._once(self._words(instance, address, way), script, limit_s)
                if answer.began or "permission denied" not in answer.problem.lower():
                    break
        return answer

    def forget(self, instance_id: str) -> None:
        """Accepts another host key of this node: it has been started anew, and a container then makes one."""
        self._known_hosts(instance_id).unlink(missing_ok=True)

    def _known_hosts(self, instance_id: str) -> Path:
        """A file for each node: addresses go from one node to the next, and one file needs no lock."""
        return self._folder / "known_hosts" / ("gpuplane-" + re.sub(r"[^\w.-]", "-", instance_id))

    def _words(self, instance: Instance, address: SshAddress, key: str) -> list[str]:
        known = self._known_hosts(instance.id)
        known.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": _quoted(str(known)),
            "GlobalKnownHostsFile": "none",
            "HostKeyAlias": known.name,
            "ConnectTimeout": str(_CONNECT_S),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "UpdateHostKeys": "no",
            "LogLevel": "ERROR",
        }
        if key:
            options |= {"IdentitiesOnly": "yes", "IdentityFile": _quoted(key)}
        words = [self._program, "-F", "none", "-T", "-x", "-a", "-p", str(address.port)]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return [*words, "--", f"{address.user}@{address.host}", _REMOTE]

    def _once(self, words: list[str], script: str, limit_s: float) -> SshAnswer:
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        with (
            tempfile.TemporaryFile() as sent,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            sent.write(script.encode())
            sent.seek(0)
            process = subprocess.Popen(words, stdin=sent, stdout=out, stderr=err, env=environment)
            try:
                status = self._wait(process, out, limit_s)
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
            output, said = _read(out), _read(err)
        _, began, rest = output.rpartition(f"{_BEGAN}\n")
        if began:
            return SshAnswer(True, status, f"{rest}\n{said}".strip(), "")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return SshAnswer(
            False, status, "", lines[-1] if lines else "no answer in time" if status is None else ""
        )

    def _wait(self, process: subprocess.Popen[bytes], out: IO[bytes], limit_s: float) -> int | None:
        """The exit status; None where the time is over, or it writes without end."""
        # The node and this process live in real time, whatever clock the cloud is looked at with.
        until = time.monotonic() + limit_s
        while True:
            try:
                return process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                if self._cancel.is_set():
                    raise CancelledError("cancelled while probing a node") from None
            if time.monotonic() >= until or os.fstat(out.fileno()).st_size > _MOST_OUTPUT:
                return None


@contextmanager
def _key_path(key: str, key_file: str) -> Iterator[str]:
    """A path under which ssh can read the key; empty where none is given.

    On Linux a key that is given as text is in memory only, so that no kill can leave it on a disk.
    """
    if not key:
        yield existing_key(key_file) if key_file else ""
        return
    text = f"{key.strip()}\n".encode()
    if sys.platform == "linux":
        descriptor = os.memfd_create("gpuplane-key", os.MFD_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, text)
            yield f"/proc/{os.getpid()}/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()
            yield file.name


def existing_key(key_file: str) -> str:
    """Full path of a key on this machine.

    Raises:
        ValidationError: There is no such file.
    """
    path = Path(key_file).expanduser()
    if not path.is_file():
        raise ValidationError(
            f"readiness.sshKeyFile: this machine has no file {key_file}; give the private key whose public "
            "half is among sshPublicKeys"
        )
    return str(path.resolve())


def _quoted(path: str) -> str:
    """A path as ssh's options take it: its words may have spaces, and % begins a token."""
    return '"' + path.replace("%", "%%") + '"'


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_MOST_OUTPUT).decode("utf-8", "replace")
