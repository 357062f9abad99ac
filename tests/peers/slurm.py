"""A real Slurm cluster on this machine, without systemd: munged, slurmctld, two slurmd and a private sshd."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import slurm_files as files
from tests.peers.machine import LANE, NODES, ROOT, USER, program
from tests.peers.processes import (
    PeerError,
    Process,
    Record,
    free_ports,
    kill,
    last_words,
    pids_of_user,
    start,
    stop,
    until,
)

#: The cluster's name for SkyPilot: `infra: slurm/fake`.
CLUSTER = "fake"
#: Begin of the names of an operator's jobs, other ones in each lane of the tests.
OPERATOR = f"operator-{LANE}-"
_DAEMONS = ("munged", "slurmctld", *(f"slurmd-{node}" for node in NODES), "sshd")


class Slurm:
    """The cluster of this machine; there is one, whichever process started it.

    Everything of it is below one folder. It is adopted when it runs already.

    Args:
        root: the folder, on a path that the users `munge`, `slurm` and `skyslurm` may enter.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._record = Record(root / "processes.json")

    @property
    def client_config(self) -> Path:
        """The file that a SkyPilot server must find as ~/.slurm/config."""
        return self.root / "ssh" / "client_config"

    def running(self) -> dict[str, Process]:
        """The daemons that run, by name."""
        return {name: item for name, item in self._record.read().items() if name in _DAEMONS and item.alive}

    def up(self, uv: Path, wait_s: float = 60.0) -> bool:
        """Starts what does not run, and waits until both nodes are idle or at work.

        Args:
            uv: a program `uv`; the nodes install their packages by it.
            wait_s: real seconds for each daemon.

        Returns:
            Whether anything had to be started.

        Raises:
            PeerError: a daemon did not start; with the last lines of its log.
        """
        with self._locked():
            if set(self.running()) == set(_DAEMONS):
                return False
            self._stop_daemons()
            self._write_files(uv)
            root, slurm_conf = self.root, self.root / "slurm.conf"
            munge = pwd.getpwnam("munge")
            self._start(
                "munged",
                [program("setpriv"), f"--reuid={munge.pw_uid}", f"--regid={munge.pw_gid}", "--clear-groups",
                 program("munged"), "--foreground", "--force", f"--key-file={root}/munge/key",
                 f"--socket={root}/munge/socket", f"--pid-file={root}/munge/munged.pid",
                 f"--log-file={root}/munge/munged.log", f"--seed-file={root}/munge/seed"],
                wait_s,
                lambda: (root / "munge" / "socket").exists(),
            )  # fmt: skip
            self._start("slurmctld", [program("slurmctld"), "-D", "-f", slurm_conf], wait_s, self._answers)
            for node in NODES:
                self._start(f"slurmd-{node}", [program("slurmd"), "-D", "-N", node, "-f", slurm_conf], wait_s)
            # The folder that sshd gives its processes without rights.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
            self._start(
                "sshd",
                [root / "ssh" / files.SSHD, "-D", "-e", "-f", root / "ssh" / "sshd_config"],
                wait_s,
                lambda: self._ssh("true").returncode == 0,
            )
            if not until(self._nodes_ready, wait_s):
                raise PeerError(f"the nodes of the cluster don't come up: {self.nodes()}")
            return True

    def down(self) -> None:
        """Ends every job and every process of the cluster's user, then the daemons."""
        with self._locked():
            self._stop_daemons()

    def command(self, *words: str, wait_s: float = 60.0) -> str:
        """Runs a command of Slurm (`squeue`, `scancel`, `sinfo`) and returns what it printed.

        Raises:
            PeerError: it failed.
        """
        done = subprocess.run(
            [program(words[0]), *words[1:]],
            capture_output=True,
            text=True,
            env={**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")},
            timeout=wait_s,
            check=False,
        )
        if done.returncode != 0:
            raise PeerError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Every job that is not over: id -> name."""
        lines = self.command("squeue", "--noheader", "--format=%i %j").splitlines()
        return dict(line.split(None, 1) for line in lines if line.strip())

    def job_states(self) -> dict[str, str]:
        """Every job that is not over: name -> state, for example RUNNING or PENDING."""
        lines = self.command("squeue", "--noheader", "--format=%j %T").splitlines()
        return dict(line.rsplit(None, 1) for line in lines if line.strip())

    def cancel(self, *names: str) -> None:
        """Preempts the jobs of these names as an operator would: `scancel`."""
        for job, name in self.jobs().items():
            if name in names:
                self.command("scancel", job)

    def cancel_all(self) -> None:
        """Cancels every job, whosever it is."""
        for job in self.jobs():
            self.command("scancel", job)

    def empty(self, wait_s: float = 0.0) -> bool:
        """Whether no job is left, within `wait_s` real seconds."""
        return until(lambda: not self.jobs(), wait_s, 0.2)

    def nodes(self) -> str:
        """What Slurm says of the nodes, on one line."""
        try:
            return "; ".join(
                self.command("sinfo", "--noheader", "-N", "--format=%N %T %G").strip().splitlines()
            )
        except (PeerError, subprocess.TimeoutExpired) as error:
            return str(error)

    def occupy(self, gpus: str) -> str:
        """Takes GPUs with a job of an operator that runs until it is cancelled.

        Args:
            gpus: for example `H100:8`.

        Returns:
            The job's name, for `cancel`.
        """
        name = f"{OPERATOR}{time.time_ns()}"
        # As the cluster's user: root's jobs would need a folder that every node can write.
        done = self._ssh(
            f"sbatch --job-name={name} --gres=gpu:{gpus} --output=/dev/null --wrap='sleep 100000'"
        )
        if done.returncode != 0:
            raise PeerError(f"sbatch: {done.stderr.strip()}")
        if not until(lambda: self.job_states().get(name) == "RUNNING", 60.0):
            raise PeerError(f"the job that should take {gpus} does not start: {self.job_states()}")
        return name

    def _ssh(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("ssh"), "-F", str(self.client_config), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10",
             CLUSTER, f"bash --login -c {shlex.quote(text)}"],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _answers(self) -> bool:
        with contextlib.suppress(PeerError, subprocess.TimeoutExpired):
            self.command("sinfo", "--noheader", wait_s=5.0)
            return True
        return False

    def _nodes_ready(self) -> bool:
        states = self.command("sinfo", "--noheader", "-N", "--format=%T").split()
        return len(states) == len(NODES) and set(states) <= {"idle", "mixed", "allocated", "completing"}

    def _start(
        self,
        name: str,
        command: list[str | Path],
        wait_s: float,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        log = self.root / "log" / f"{name}.out"
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "SLURM_CONF": str(self.root / "slurm.conf"),
            "LC_ALL": "C.UTF-8",
        }
        process = start(command, log, env, cwd=self.root)
        self._record.add(name, process)
        if ready is not None and not until(lambda: ready() or not process.alive, wait_s):
            raise PeerError(f"{name} does not answer within {wait_s:g} s: {last_words(log)}")
        if not process.alive:
            raise PeerError(f"{name} ended at once: {last_words(log)}")

    def _stop_daemons(self) -> None:
        running = self.running()
        if "slurmctld" in running and "munged" in running:
            with contextlib.suppress(PeerError, subprocess.TimeoutExpired):
                self.cancel_all()
                self.empty(20.0)
        for name in reversed(_DAEMONS):
            if name in running:
                stop(running[name])
            self._record.remove(name)
        # What is left is of the cluster's own user: steps whose slurmd has ended, sessions, skylets.
        uid = pwd.getpwnam(USER).pw_uid
        kill(pids_of_user(uid))
        until(lambda: not pids_of_user(uid), 5.0)
        # SkyPilot's runtime of clusters that were preempted; nobody else removes it.
        for path in Path("/tmp").iterdir():
            with contextlib.suppress(OSError):
                if path.lstat().st_uid == uid and path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)

    def _write_files(self, uv: Path) -> None:
        root = self.root
        controller, first, second, ssh = free_ports(4)
        ports = files.Ports(controller, (first, second), ssh)
        for folder in ("munge", "slurm/state", "log", "gpu", "ssh", "uv-cache", "home/bin"):
            (root / folder).mkdir(mode=0o755, parents=True, exist_ok=True)
        for stale in (root / "munge" / "socket", root / "munge" / "munged.pid"):
            stale.unlink(missing_ok=True)
        # Jobs of a cluster that was ended: it starts empty, whatever was queued.
        shutil.rmtree(root / "slurm")
        (root / "slurm" / "state").mkdir(parents=True)

        if not (root / "munge" / "key").exists():
            (root / "munge" / "key").write_bytes(os.urandom(1024))
        (root / "munge" / "key").chmod(0o400)
        for node in range(len(NODES)):
            for gpu in range(files.GPUS_PER_NODE):
                device = files.gpu_device(root, node, gpu)
                if not device.exists():
                    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null
        for key in ("host", "id"):
            if not (root / "ssh" / key).exists():
                subprocess.run(
                    [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "gpuplane-peers",
                     "-f", str(root / "ssh" / key)],
                    check=True,
                )  # fmt: skip
        shutil.copyfile(root / "ssh" / "id.pub", root / "ssh" / "authorized")
        (root / "ssh" / files.SSHD).unlink(missing_ok=True)
        (root / "ssh" / files.SSHD).symlink_to(program("sshd"))
        (root / "slurm.conf").write_text(files.slurm_conf(root, ports))
        (root / "gres.conf").write_text(files.gres_conf(root))
        (root / "ssh" / "sshd_config").write_text(files.sshd_config(root, ports.ssh))
        self.client_config.write_text(files.ssh_client_config(root, CLUSTER, ports.ssh))
        shutil.copyfile(uv, root / "uv")
        (root / "uv").chmod(0o755)
        home = root / "home"
        (home / ".bash_profile").write_text(files.login_profile(root))
        for name, text in (
            ("curl", files.curl_stand_in(root)),
            ("uv", files.uv_stand_in(root, _python_of_nodes())),
        ):
            (home / "bin" / name).write_text(text)
            (home / "bin" / name).chmod(0o700)
        _own(USER, home, home / "bin", home / ".bash_profile", *(home / "bin").iterdir(), root / "uv-cache")
        _own("munge", root / "munge", root / "munge" / "key")
        _own("slurm", root / "slurm", root / "slurm" / "state", root / "log")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _python_of_nodes() -> str:
    """A Python that every user may run; the one that runs this can be in a private folder."""
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        path = Path("/usr/bin") / name
        if path.exists():
            return str(path)
    raise PeerError("the nodes need a Python in /usr/bin: install the Debian package python3")


def _own(user: str, *paths: Path) -> None:
    entry = pwd.getpwnam(user)
    for path in paths:
        os.chown(path, entry.pw_uid, entry.pw_gid)
