"""The startup script that a machine boots with: keys, environment, the user's own script, a container."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass

from gpu_clouds import node_tls
from gpu_clouds.marker import Marker
from gpu_clouds.models import InstanceTemplate

_NAME = re.compile(r"(?P<marker>.+)\.(?P<at>\d{1,12})\.(?P<ports>(?:\d{1,5}[ht](?:-\d{1,5}[ht])*)?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SSH_PORT = 22
_TLS_FILE = "/var/lib/gpuplane/tls.pem"
"""Where the machine has what its container finds at `node_tls.FILE`."""
_LETTERS = {"http": "h", "tcp": "t"}
_PROTOCOLS = {letter: protocol for protocol, letter in _LETTERS.items()}

Port = tuple[int, str]
"""Number, and `http` or `tcp`."""


@dataclass(frozen=True, slots=True)
class ScriptName:
    """The name of a script of ours, which carries what a machine can't: when it was launched, and its ports.

    The time is `Clock.time()`, which all processes of a run share: the cloud's own time stamps may be skewed.

    Args:
        marker: Name of the machine.
        at: When its launch began, seconds.
        ports: The ports that were asked for.
    """

    marker: str
    at: int
    ports: tuple[Port, ...] = ()

    def __str__(self) -> str:
        ports = "-".join(f"{number}{_LETTERS[protocol]}" for number, protocol in self.ports)
        return f"{self.marker}.{self.at}.{ports}"

    @classmethod
    def parse(cls, name: str) -> ScriptName | None:
        """Reads a name; None where it is somebody else's script."""
        found = _NAME.fullmatch(name)
        if found is None or Marker.parse(found["marker"]) is None:
            return None
        ports = tuple((int(part[:-1]), _PROTOCOLS[part[-1]]) for part in found["ports"].split("-") if part)
        return cls(found["marker"], int(found["at"]), ports)


def ports_of(template: InstanceTemplate) -> tuple[Port, ...]:
    """The ports asked for, once `script_problem` has found none."""
    split = (port.partition("/") for port in template.ports)
    return tuple((int(number), protocol) for number, _, protocol in split)


def startup_script(template: InstanceTemplate) -> str:
    """What the machine runs as root at its first boot; empty where there is nothing to run or to remember.

    The environment comes as `export NAME='value'` lines, is visible to the user's script, and is handed to
    the container by name, so that no value is in its command line.
    """
    if not (template.image or template.startup or template.ssh_public_keys or template.env or template.ports):
        return ""
    parts = ["#!/bin/bash", "# written by gpuplane"]
    parts += [f"export {name}={shlex.quote(value)}" for name, value in sorted(template.env.items())]
    if template.ssh_public_keys:
        parts += _keys(template)
    if template.startup:
        parts += _own_script(template.startup)
    if template.image:
        parts += _container(template)
    return "\n".join(parts) + "\n"


def script_problem(template: InstanceTemplate) -> str:
    """Why no startup script can be made of the template; empty where one can."""
    for name in template.env:
        if not _VARIABLE.fullmatch(name):
            return f"env: {name!r} is not a name that a shell can set"
        if "\0" in template.env[name]:
            return f"env: the value of {name} has a zero byte in it"
    for port in template.ports:
        number, _, protocol = port.partition("/")
        if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536 and protocol in _LETTERS):
            return f"port {port!r} is not like 8000/http or 22/tcp"
    try:
        shlex.split(template.args)
    except ValueError as error:
        return f"args can't be split into words: {error}"
    return ""


def _keys(template: InstanceTemplate) -> list[str]:
    lines = "\n".join(key.strip() for key in template.ssh_public_keys)
    return [
        "install -d -m 700 -o paperspace -g paperspace /home/paperspace/.ssh",
        f"printf '%s\\n' {shlex.quote(lines)} >> /home/paperspace/.ssh/authorized_keys",
        "chown paperspace:paperspace /home/paperspace/.ssh/authorized_keys",
        "chmod 600 /home/paperspace/.ssh/authorized_keys",
    ]


def _own_script(text: str) -> list[str]:
    """The user's script as a file of its own, so that it may be written in any language and may exit."""
    if not text.startswith("#!"):
        text = f"#!/bin/bash\n{text}"
    end = "END_" + hashlib.sha256(text.encode()).hexdigest()[:16]
    return [
        "install -d -m 700 /var/lib/gpuplane",
        f"cat > /var/lib/gpuplane/startup <<'{end}'",
        text.removesuffix("\n"),
        end,
        "chmod 700 /var/lib/gpuplane/startup",
        "/var/lib/gpuplane/startup > /var/log/gpuplane-startup.log 2>&1",
    ]


def _container(template: InstanceTemplate) -> list[str]:
    command = ["docker", "run", "--detach", "--name", "gpuplane", "--restart", "unless-stopped"]
    command += ["--gpus", "all", "--ipc", "host"]
    for number in dict.fromkeys(number for number, _ in ports_of(template)):
        if number != _SSH_PORT:  # the machine itself answers there
            command += ["--publish", f"{number}:{number}"]
    for name in sorted(template.env):
        if name != node_tls.VARIABLE:
            command += ["--env", name]
    if template.volume_gb:
        command += ["--volume", f"{template.volume_path}:{template.volume_path}"]
    tls: list[str] = []
    if node_tls.VARIABLE in template.env:
        tls = [*node_tls.writing(_TLS_FILE), f"unset {node_tls.VARIABLE}"]
        command += ["--volume", f"{_TLS_FILE}:{node_tls.FILE}:ro"]
    return [
        *tls,
        "command -v docker > /dev/null || curl -fsSL https://get.docker.com | sh",
        shlex.join([*command, template.image, *shlex.split(template.args)]),
    ]
