"""Starts, finds and stops a cluster."""

import base64
import fcntl
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.kubernetes_api import processes
from engine.kubernetes_api.api import Api
from engine.kubernetes_api.layout import SERVERS, Layout, Ports, kubeconfig_text
from engine.kubernetes_api.programs import Programs

#: For each step of a start. Alone on two cores a whole start takes 5 s; a busy machine needs many times that.
START_S = 180.0
#: Between SIGTERM and SIGKILL.
STOP_S = 8.0
#: Another process may take a port between the look for a free one and the server's start.
_TRIES = 3

_STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "kwok-volume",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "kwok.x-k8s.io/volume",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        layout: its files.
        api: its API server.
        processes: its servers.
    """

    layout: Layout
    api: Api
    processes: tuple[processes.Process, ...]

    @property
    def kubeconfig(self) -> Path:
        """A file with everything that a client needs, also when its text is taken elsewhere."""
        return self.layout.kubeconfig


def start(folder: Path, programs: Programs, seconds: float = START_S) -> Cluster:
    """Starts a cluster, or returns the one that runs in this folder. It lives on when this process ends.

    Args:
        folder: for everything that it writes; what is in it is removed.
        programs: from `engine.kubernetes_api.programs.ensure`.
        seconds: for each step.

    Raises:
        EngineError: a server ended or did not become ready in time; nothing runs then, the logs stay.
    """
    layout = Layout(folder.resolve())
    with _locked(layout):
        running = _find(layout)
        if running is not None and running.api.answers("/readyz"):
            return running
        error = EngineError("")
        for _ in range(_TRIES):
            _stop(layout)
            try:
                return _start(layout, programs, seconds)
            except EngineError as failed:
                error = failed
                if "address already in use" not in str(failed):
                    break
        raise error


def find(folder: Path) -> Cluster | None:
    """The cluster that runs in a folder; None when one of its servers does not."""
    return _find(Layout(folder.resolve()))


def stop(folder: Path) -> list[str]:
    """Stops a cluster and removes its folder. Without a cluster it does nothing.

    Returns:
        The names of the servers that did not end by themselves and were killed.
    """
    layout = Layout(folder.resolve())
    if not layout.folder.is_dir():
        return []
    with _locked(layout):
        killed = _stop(layout)
        shutil.rmtree(layout.folder, ignore_errors=True)
    return killed


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    layout.folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder: whoever stops a cluster removes the folder.
    with layout.folder.with_name(f".{layout.folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _find(layout: Layout) -> Cluster | None:
    port, started = processes.read_record(layout.record)
    if {each.name for each in started} != set(SERVERS) or not all(each.alive for each in started):
        return None
    try:
        return Cluster(layout, _api(layout, port), tuple(started))
    except OSError:
        return None


def _stop(layout: Layout) -> list[str]:
    _, started = processes.read_record(layout.record)
    by_name = {each.name: each for each in started}
    killed = processes.end([each for each in started if each.name not in ("etcd", "kube-apiserver")], STOP_S)
    for name in ("kube-apiserver", "etcd"):
        if name in by_name:
            killed += processes.end([by_name[name]], STOP_S)
    layout.record.unlink(missing_ok=True)
    return killed


def _start(layout: Layout, programs: Programs, seconds: float) -> Cluster:
    ports = Ports(*processes.free_ports(6))
    _prepare(layout)
    commands = layout.commands(programs, ports)
    started: list[processes.Process] = []

    def run(server: str) -> None:
        started.append(processes.start(server, commands[server], layout.log(server)))
        processes.write_record(layout.record, ports.api, started)

    def wait(true: Callable[[], bool], what: str) -> None:
        ended: list[processes.Process] = []

        def look() -> bool:
            ended[:] = [each for each in started if not each.alive]
            return bool(ended) or true()

        if not processes.wait_until(look, seconds):
            raise EngineError(f"kubernetes: {what} took longer than {seconds:.0f} s; logs: {layout.folder}")
        if ended:
            log = layout.log(ended[0].name)
            raise EngineError(f"kubernetes: {ended[0].name} ended: {_last_line(log)} (log: {log})")

    try:
        run("etcd")
        run("kube-apiserver")
        wait(layout.certificate.is_file, "the API server's certificate")
        api = _api(layout, ports.api)
        certificate = base64.b64encode(layout.certificate.read_bytes()).decode()
        _write_private(layout.kubeconfig, kubeconfig_text(api.url, api.token, certificate))
        wait(lambda: api.answers("/readyz"), "the API server")
        for server in SERVERS[2:]:
            run(server)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait(lambda: api.answers(account), "the controller manager")
        api.apply("/apis/storage.k8s.io/v1/storageclasses/kwok-volume", _STORAGE_CLASS)
    except BaseException:
        _stop(layout)
        raise
    return Cluster(layout, api, tuple(started))


def _prepare(layout: Layout) -> None:
    # Only in a development environment, and only when a cluster is started.
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    shutil.rmtree(layout.folder, ignore_errors=True)
    layout.folder.mkdir(parents=True, mode=0o700)
    token = secrets.token_hex(24)
    _write_private(layout.token_file, token)
    _write_private(layout.tokens, f"{token},admin,admin,system:masters\n")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    _write_private(layout.account_key, text.decode())


def _api(layout: Layout, port: int) -> Api:
    return Api(f"https://127.0.0.1:{port}", layout.token_file.read_text(), layout.certificate)


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = [
        line for line in lines if "address already in use" in line or line.startswith(("E", "F", "Error"))
    ]
    return (told or lines or ["without a word"])[-1][:300]
