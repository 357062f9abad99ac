"""What a machine does at its first boot, as cloud-init user data.

A Lambda instance is a virtual machine, so `image` is a container image that the machine runs with Docker.
Three files, readable by root alone, carry everything: the environment, the user's startup script, and the
commands. The environment reaches the container by name (`--env NAME`), so no value stands in a command line,
in the list of processes or in cloud-init's log. Root on the machine can read all of it; so can whoever may
read user data.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from gpu_clouds.errors import ValidationError
from gpu_clouds.models import CacheMount, InstanceTemplate

FOLDER = "/etc/gpuplane"
CONTAINER = "gpuplane"
SHARED = "/lambda/nfs"
"""Below it the machine mounts file systems by their names."""
LONGEST_BYTES = 1_000_000
"""Lambda takes 1 MB."""
_SSH_PORT = 22
_HOST_VOLUME = "/var/lib/gpuplane/volume"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READ_ONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})

_RUN = """\
#!/bin/bash
# Never trace this script: its environment is secret.
set -euo pipefail
umask 077
exec >>/var/log/gpuplane.log 2>&1
"""
# Without a container the machine itself finds the file system at the path that was asked for.
_LINK = """\
mkdir -p {folder} && ln -sfn {source} {path}
"""
_STARTUP = """\
(set -a; . {folder}/env.sh; exec /bin/bash {folder}/startup.sh)
echo "gpuplane: startup script done"
"""
# The daemon is named, and the program found beforehand, so that no variable of the container can turn them.
_CONTAINER = """\
docker=$(command -v docker) || {{ echo "gpuplane: this machine has no Docker"; exit 1; }}
for attempt in 1 2 3 4 5; do
  "$docker" pull {image} && break
  echo "gpuplane: pull failed, attempt $attempt"
  sleep 10
done
"$docker" rm --force {name} 2>/dev/null || true
(set -a; . {folder}/env.sh; exec "$docker" --host unix:///var/run/docker.sock run {arguments})
echo "gpuplane: container started"
"""


def ports_of(template: InstanceTemplate) -> tuple[tuple[int, str], ...]:
    """The ports asked for as (number, `http` or `tcp`).

    Raises:
        ValidationError: A port does not look like `8000/http`.
    """
    found = []
    for text in template.ports:
        number, _, protocol = text.partition("/")
        if not (
            number.isascii() and number.isdigit() and 0 < int(number) < 65536 and protocol in ("http", "tcp")
        ):
            raise ValidationError(f"Lambda: port {text!r} must look like 8000/http or 22/tcp", cloud="lambda")
        found.append((int(number), protocol))
    return tuple(found)


def user_data(
    template: InstanceTemplate, further_keys: Sequence[str] = (), cache: CacheMount | None = None
) -> str:
    """The user data of a launch; empty where the machine has nothing to do.

    Args:
        template: What runs on the node.
        further_keys: Public keys that may log in besides the one that the launch names.
        cache: The weights cache that the launch mounts on the machine.

    Raises:
        ValidationError: The environment, the arguments or the size can not be passed on.
    """
    config: dict[str, object] = {}
    if further_keys:
        config["ssh_authorized_keys"] = list(further_keys)
    if template.image or template.startup or cache:
        config["write_files"] = [
            _file("env.sh", _exports(template), "0600"),
            *([_file("startup.sh", template.startup, "0700")] if template.startup else []),
            _file("run.sh", _script(template, cache), "0700"),
        ]
        config["runcmd"] = [["bash", f"{FOLDER}/run.sh"]]
    if not config:
        return ""
    # JSON of plain characters is YAML too.
    text = "#cloud-config\n" + json.dumps(config, indent=1, ensure_ascii=True) + "\n"
    if len(text) > LONGEST_BYTES:
        raise ValidationError(
            f"Lambda: startup script and environment make {len(text) / 1e6:.1f} MB of user data, and 1 MB is "
            "the most: put large files into the image, or fetch them at startup",
            cloud="lambda",
        )
    return text


def _file(name: str, content: str, permissions: str) -> dict[str, str]:
    file = {"path": f"{FOLDER}/{name}", "owner": "root:root", "permissions": permissions}
    if content.isascii() and all(letter.isprintable() or letter in "\n\t" for letter in content):
        return {**file, "content": content}
    # YAML refuses some characters, and JSON writes others in a way that YAML reads differently.
    return {**file, "encoding": "b64", "content": base64.b64encode(content.encode()).decode()}


def _exports(template: InstanceTemplate) -> str:
    """One `NAME='value'` for each variable; the shell reads back exactly these values."""
    for name, value in template.env.items():
        if not _NAME.fullmatch(name):
            raise ValidationError(
                f"Lambda: the environment variable {name!r} can not be set by a shell: letters, digits and "
                "_ only",
                cloud="lambda",
            )
        if name in _READ_ONLY:
            raise ValidationError(f"Lambda: {name} belongs to the shell; use another name", cloud="lambda")
        if "\0" in value:
            raise ValidationError(f"Lambda: the value of {name} has a zero byte in it", cloud="lambda")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in template.env.items())


def _script(template: InstanceTemplate, cache: CacheMount | None) -> str:
    parts = [_RUN.format(folder=FOLDER)]
    if cache and not template.image:
        path = shlex.quote(cache.path)
        parts.append(
            _LINK.format(
                folder=shlex.quote(str(PurePosixPath(cache.path).parent)), source=_shared(cache), path=path
            )
        )
    if template.startup:
        parts.append(_STARTUP.format(folder=FOLDER))
    if template.image:
        parts.append(
            _CONTAINER.format(
                folder=FOLDER,
                image=shlex.quote(template.image),
                name=CONTAINER,
                arguments=shlex.join(_docker_arguments(template, cache)),
            )
        )
    return "".join(parts)


def _shared(cache: CacheMount) -> str:
    """Where the machine mounts a file system that a launch names."""
    return f"{SHARED}/{cache.volume.name}"


def _docker_arguments(template: InstanceTemplate, cache: CacheMount | None) -> list[str]:
    arguments = [
        "--detach",
        "--name",
        CONTAINER,
        "--restart",
        "unless-stopped",
        "--gpus",
        "all",
        "--ipc",
        "host",
    ]
    arguments += ["--log-opt", "max-size=50m", "--log-opt", "max-file=3"]
    for name in template.env:
        arguments += ["--env", name]
    for port in dict.fromkeys(port for port, _ in ports_of(template)):
        if port != _SSH_PORT:  # the machine's own SSH server has it
            arguments += ["--publish", f"{port}:{port}"]
    if template.volume_gb:
        arguments += ["--volume", f"{_HOST_VOLUME}:{template.volume_path}"]
    if cache:
        arguments += ["--volume", f"{_shared(cache)}:{cache.path}"]
    try:
        own = shlex.split(template.args)
    except ValueError as error:
        raise ValidationError(f"Lambda: args can not be split into words: {error}", cloud="lambda") from None
    return [*arguments, template.image, *own]
