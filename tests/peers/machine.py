"""What the peers change outside the project's folder: packages, a user, a line of /etc/hosts, one folder."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.peers.processes import PeerError

#: Everything of the peers on this machine. Not below a home folder: daemons of three users must reach it.
ROOT = Path(os.environ.get("GPUPLANE_PEERS_DIR", "/var/lib/gpuplane-peers"))

#: Which part of the tests this is, of those that run at the same time on the one cluster.
LANE = os.environ.get("GPUPLANE_PEERS_LANE", "all")

USER = "skyslurm"
NODES = ("gpu-h100", "gpu-a100")
HOSTS = Path("/etc/hosts")
HOSTS_LINE = f"127.0.0.1 {' '.join(NODES)} # gpuplane-peers"

#: Debian packages, each with a program that shows that it is there.
PACKAGES = {
    "slurm-wlm": "slurmctld",
    "munge": "munged",
    "openssh-server": "sshd",
    "openssh-client": "ssh",
    "rsync": "rsync",
    "netcat-openbsd": "nc",
    "socat": "socat",
    "psmisc": "fuser",
    "lsof": "lsof",
    "curl": "curl",
    "openssl": "openssl",
}
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/bin:/bin"


def program(name: str) -> str:
    """The full path of a program, /usr/sbin included.

    Raises:
        PeerError: it is not installed.
    """
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise PeerError(f"{name} is not installed: run `python -m tests.peers up --yes`")
    return found


def allowed(yes: bool = False) -> bool:
    """Whether this machine may be changed: asked for with `--yes`, or a machine of CI."""
    return yes or os.environ.get("CI", "").lower() in ("1", "true", "yes")


def missing_packages() -> list[str]:
    """The Debian packages that are not installed."""
    return [package for package, name in PACKAGES.items() if shutil.which(name, path=_PATH) is None]


def user_exists() -> bool:
    """Whether the cluster's user is there."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


def changes_needed() -> list[str]:
    """What has to be changed on this machine before the peers can start; empty when it has been done."""
    needed = []
    if packages := missing_packages():
        needed.append(f"the Debian packages {' '.join(packages)}")
    if not user_exists():
        needed.append(f"a user {USER}")
    if not _hosts_named():
        needed.append(f"the host names {' and '.join(NODES)} in {HOSTS}")
    if not ROOT.is_dir():
        needed.append(f"the folder {ROOT}")
    return needed


def why_not(yes: bool = False) -> str | None:
    """Why the peers can't run here, as one line; None when they can."""
    if not Path("/proc/self/stat").exists():
        return "the peers need Linux"
    if os.geteuid() != 0:
        return "the peers need root: Slurm, munge and sshd run as users of their own"
    needed = changes_needed()
    if needed and not allowed(yes):
        return (
            "the peers would change this machine outside the project's folder"
            f" ({'; '.join(needed)}): allow it once with `python -m tests.peers up --yes`"
        )
    if missing_packages() and shutil.which("apt-get") is None:
        return f"the peers need the Debian packages {' '.join(missing_packages())}, and there is no apt-get"
    return None


def prepare(yes: bool = False) -> list[str]:
    """Changes what is missing; returns it.

    Args:
        yes: whether the person who runs this has allowed it. CI=true allows it too.

    Raises:
        PeerError: it is not allowed, or it failed.
    """
    reason = why_not(yes)
    if reason is not None:
        raise PeerError(reason)
    # Who comes second waits, and finds it done. The peers' own folder may not be there yet.
    with (Path(tempfile.gettempdir()) / "gpuplane-peers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _prepare()


def _prepare() -> list[str]:
    needed = changes_needed()
    if packages := missing_packages():
        _install(packages)
    ROOT.mkdir(mode=0o755, exist_ok=True)
    if not user_exists():
        _run(["useradd", "--create-home", "--home-dir", str(ROOT / "home"), "--shell", "/bin/bash", USER])
    # A locked account ("!") is refused by an sshd without PAM; "*" only has no password.
    _run(["usermod", "--password", "*", USER])
    if not _hosts_named():
        with HOSTS.open("a") as hosts:
            hosts.write(f"{HOSTS_LINE}\n")
    return needed


def restore() -> None:
    """Takes back the user, the host names and the folder; installed packages stay.

    Raises:
        PeerError: it failed.
    """
    if user_exists():
        _run(["userdel", USER])
    kept = [line for line in HOSTS.read_text().splitlines() if line != HOSTS_LINE]
    if _hosts_named() and len(kept) != len(HOSTS.read_text().splitlines()):
        # Written in place: in a container /etc/hosts can't be replaced by another file.
        HOSTS.write_text("".join(f"{line}\n" for line in kept))
    shutil.rmtree(ROOT, ignore_errors=True)


def _hosts_named() -> bool:
    named = {
        word
        for line in HOSTS.read_text().splitlines()
        if line.startswith("127.")
        for word in line.split("#")[0].split()[1:]
    }
    return set(NODES) <= named


def _install(packages: list[str]) -> None:
    apt = ["apt-get", "-qq", "--yes", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    _run([*apt, "update"])
    _run([*apt, "install", "--no-install-recommends", *packages])


def _run(command: list[str]) -> None:
    done = subprocess.run(
        [program(command[0]), *command[1:]],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        check=False,
    )
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())
        raise PeerError(f"{command[0]} failed: {words[-400:]}")
