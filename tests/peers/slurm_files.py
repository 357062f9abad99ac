"""The configuration files of the Slurm cluster: two nodes with eight fake GPUs each, on one machine."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.peers.machine import NODES, USER

#: GPU type of each node, and how many it has.
GPUS = {NODES[0]: "H100", NODES[1]: "A100"}
GPUS_PER_NODE = 8
CPUS_PER_NODE = 64
MEMORY_MB = 256_000

#: What the sshd is called here. A node isn't idle while a session below an `sshd` lasts; here the way in to
#: the cluster is on the same machine as the nodes, and everybody's sessions would count.
SSHD = "peers-way-in"

#: Variables that a package index, a proxy or a certificate store may be named by; nodes install packages too.
INSTALLER_VARIABLES = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL",
)  # fmt: skip


@dataclass(frozen=True)
class Ports:
    """The ports of the cluster's daemons, all on 127.0.0.1."""

    controller: int
    nodes: tuple[int, int]
    ssh: int


def slurm_conf(root: Path, ports: Ports) -> str:
    """Text of slurm.conf. Every job's processes are tracked without cgroups, which need systemd here."""
    nodes = "\n".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CPUS_PER_NODE}"
        f" RealMemory={MEMORY_MB} Gres=gpu:{GPUS[name]}:{GPUS_PER_NODE} State=UNKNOWN"
        for name, port in zip(NODES, ports.nodes, strict=True)
    )
    # MaxTime must be set, because SkyPilot asks for it; KillWait is most of what ending a job takes.
    return f"""\
ClusterName=fake
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports.controller}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
StateSaveLocation={root}/slurm/state
SlurmdSpoolDir={root}/slurm/spool-%n
SlurmctldPidFile={root}/slurm/slurmctld.pid
SlurmdPidFile={root}/slurm/slurmd-%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=200000
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=2
MinJobAge=300
SlurmctldTimeout=60
SlurmdTimeout=120
GresTypes=gpu
{nodes}
PartitionName=gpu Nodes={",".join(NODES)} Default=YES MaxTime=1-00:00:00 State=UP
"""


def gpu_device(root: Path, node: int, gpu: int) -> Path:
    """The device file of a fake GPU."""
    return root / "gpu" / f"g{node * GPUS_PER_NODE + gpu}"


def gres_conf(root: Path) -> str:
    """Text of gres.conf: which device files are which GPUs."""
    return "".join(
        f"NodeName={name} Name=gpu Type={GPUS[name]} "
        f"File={root}/gpu/g[{index * GPUS_PER_NODE}-{(index + 1) * GPUS_PER_NODE - 1}]\n"
        for index, name in enumerate(NODES)
    )


def sshd_config(root: Path, port: int) -> str:
    """Text of the private sshd's configuration: one user, one key, this machine only."""
    return f"""\
ListenAddress 127.0.0.1
Port {port}
HostKey {root}/ssh/host
PidFile {root}/ssh/sshd.pid
AuthorizedKeysFile {root}/ssh/authorized .ssh/authorized_keys
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
MaxSessions 200
MaxStartups 200
AllowTcpForwarding yes
AllowUsers {USER}
SetEnv SLURM_CONF={root}/slurm.conf
Subsystem sftp internal-sftp
"""


def login_profile(root: Path) -> str:
    """Text of the user's .bash_profile: SkyPilot logs in, and a login shell sets PATH anew."""
    return f"""\
export PATH="$HOME/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
export SLURM_CONF={root}/slurm.conf
[ -f ~/.bashrc ] && . ~/.bashrc
"""


def curl_stand_in(root: Path) -> str:
    """Text of the nodes' `curl`: the installer of uv, which they ask for by its address, is already here.

    Args:
        root: the peers' folder. Named in full: HOME of a job is a folder of its cluster.
    """
    return f"""\
#!/bin/bash
case "$*" in
*astral.sh/uv/install.sh*)
  echo 'to="${{UV_INSTALL_DIR:-$HOME/.local/bin}}"; mkdir -p "$to"; ln -sf {root}/home/bin/uv "$to/uv"'
  ;;
*) exec /usr/bin/curl "$@" ;;
esac
"""


def uv_stand_in(root: Path, python: str) -> str:
    """Text of the nodes' `uv`: takes the Python of this machine instead of one from the network.

    The nodes of one cluster share a runtime here, as they share the machine: what the first one has installed
    is there for the second, which must not take it away while the first one imports it.

    Args:
        root: the peers' folder.
        python: path of the Python to use where SkyPilot asks for 3.10.
    """
    exports = {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_CACHE_DIR": f"{root}/uv-cache",
        "UV_LINK_MODE": "hardlink",
        **{name: os.environ[name] for name in INSTALLER_VARIABLES if os.environ.get(name)},
    }
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items())
    return f"""\
#!/bin/bash
{lines}words=()
for word in "$@"; do [ "$word" = 3.10 ] && word={shlex.quote(python)}; words+=("$word"); done
case "$1 $2" in
"venv --seed" | "pip install" | "pip uninstall")
  exec 9> "$HOME/.uv.lock"
  flock 9
  ;;
esac
installed="$VIRTUAL_ENV/installed"
case "$1 $2 $3" in
"venv --seed /"*)
  [ -x "$3/bin/python" ] && exit 0
  # A cluster without this file takes every skylet of the machine for its own old one, and ends it.
  mkdir -p "${{3%/*}}/.sky"
  [ -e "${{3%/*}}/.sky/skylet_pid" ] || echo 2147483647 > "${{3%/*}}/.sky/skylet_pid"
  ;;
"pip uninstall "*) [ -e "$installed" ] && exit 0 ;;
"pip install "*)
  [ "$(cat "$installed" 2> /dev/null)" = "$*" ] && exit 0
  {root}/uv "${{words[@]}}" 9>&- || exit 1
  printf %s "$*" > "$installed"
  exit 0
  ;;
esac
exec {root}/uv "${{words[@]}}"
"""


def ssh_client_config(root: Path, cluster: str, port: int) -> str:
    """Text of ~/.slurm/config, by which a SkyPilot server knows the cluster."""
    return f"""\
Host {cluster}
  HostName 127.0.0.1
  Port {port}
  User {USER}
  IdentityFile {root}/ssh/id
  IdentitiesOnly yes
"""
