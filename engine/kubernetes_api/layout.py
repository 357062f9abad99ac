"""The files and command lines of one cluster. Everything is in one folder and listens on 127.0.0.1 only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.kubernetes_api.programs import Programs

#: In the order in which they are started. They are stopped the other way round: an API server whose etcd is
#: gone hangs in its shutdown (10 minutes were seen).
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


@dataclass(frozen=True)
class Ports:
    """A port for each thing that listens."""

    etcd: int
    etcd_peer: int
    api: int
    controllers: int
    scheduler: int
    kwok: int


@dataclass(frozen=True)
class Layout:
    """Where the files of one cluster are."""

    folder: Path

    @property
    def record(self) -> Path:
        """What was started."""
        return self.folder / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """How clients reach it, as its administrator."""
        return self.folder / "kubeconfig"

    @property
    def certificate(self) -> Path:
        """The API server's own certificate, which it makes when it starts."""
        return self.folder / "certs" / "apiserver.crt"

    @property
    def token_file(self) -> Path:
        """The administrator's token, alone."""
        return self.folder / "token"

    @property
    def tokens(self) -> Path:
        """The tokens that the API server accepts."""
        return self.folder / "tokens.csv"

    @property
    def account_key(self) -> Path:
        """Signs the tokens of service accounts."""
        return self.folder / "service-accounts.key"

    def log(self, server: str) -> Path:
        """Output of a server."""
        return self.folder / f"{server}.log"

    def commands(self, programs: Programs, ports: Ports) -> dict[str, Sequence[str]]:
        """Server -> program and arguments."""
        etcd, config = f"http://127.0.0.1:{ports.etcd}", str(self.kubeconfig)
        clients = [
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ]
        return {
            "etcd": [
                programs["etcd"],
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{ports.etcd_peer}",
                "--unsafe-no-fsync=true",
                "--log-level=warn",
            ],
            "kube-apiserver": [
                programs["kube-apiserver"],
                f"--etcd-servers={etcd}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                # There is no network in which the `kubernetes` Service could lead to 127.0.0.1.
                "--endpoint-reconciler-type=none",
                f"--secure-port={ports.api}",
                f"--cert-dir={self.certificate.parent}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self.account_key}",
                f"--service-account-signing-key-file={self.account_key}",
                f"--token-auth-file={self.tokens}",
                "--authorization-mode=RBAC",
                "--allow-privileged=true",  # as every cloud's: device plugins need it
                "--anonymous-auth=false",
            ],
            "kube-controller-manager": [
                programs["kube-controller-manager"],
                *clients,
                f"--secure-port={ports.controllers}",
                f"--cert-dir={self.folder / 'certs-controllers'}",
                f"--service-account-private-key-file={self.account_key}",
                f"--root-ca-file={self.certificate}",
                # A machine that is busy delays KWOK's heartbeats; a pod of a node that was not Ready for a
                # moment stays not Ready.
                "--node-monitor-grace-period=24h",
            ],
            "kube-scheduler": [
                programs["kube-scheduler"],
                *clients,
                f"--secure-port={ports.scheduler}",
                f"--cert-dir={self.folder / 'certs-scheduler'}",
            ],
            "kwok": [
                programs["kwok"],
                f"--kubeconfig={config}",
                f"--config={programs.stages}",
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
                "--node-ip=127.0.0.1",
                f"--server-address=127.0.0.1:{ports.kwok}",
            ],
        }


def kubeconfig_text(url: str, token: str, certificate: str) -> str:
    """A kubeconfig with everything in it, so that its text alone is enough.

    Args:
        url: of the API server.
        token: of its administrator.
        certificate: in base64.
    """
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "local", "cluster": {"server": url, "certificate-authority-data": certificate}}
            ],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
            "current-context": "local",
        },
        indent=1,
    )
