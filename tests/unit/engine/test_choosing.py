"""Which engine is chosen, with every way to one replaced."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from engine import build, installed, official, on_path, versions
from engine.errors import EngineError
from engine.machine import Machine, this_machine

LINUX = Machine("linux", "x64")
NOTHING = on_path.Found(None, "", "no pulumi on PATH")


class Fakes:
    """Ways that write small files, and a record of which were taken."""

    def __init__(
        self, found: on_path.Found = NOTHING, download_error: str = "", build_error: str = ""
    ) -> None:
        self.found, self.download_error, self.build_error = found, download_error, build_error
        self.taken: list[str] = []
        self.said: list[str] = []

    def ways(self) -> installed.Ways:
        return installed.Ways(lambda: self.found, self.download, self.build, self.said.append)

    def download(self, machine: Machine, work: Path) -> None:
        self.taken.append("download")
        (work / "half").write_text("x")
        if self.download_error:
            raise EngineError(self.download_error)
        (work / "bin").mkdir()

    def build(self, work: Path) -> None:
        self.taken.append("build")
        if self.build_error:
            raise EngineError(self.build_error)
        (work / "pulumi").write_text("built")


def test_an_engine_on_path_is_taken_and_nothing_else_is_tried(tmp_path):
    fakes = Fakes(found=on_path.Found(tmp_path, "v3.260.1", ""))
    engine = installed.ensure(fakes.ways(), tmp_path / "cache", LINUX)
    assert (engine.folder, engine.version, fakes.taken) == (tmp_path, "v3.260.1", [])
    assert "found on PATH" in engine.line and "\n" not in engine.line


def test_the_official_release_comes_second_and_is_fetched_once(tmp_path):
    fakes = Fakes()
    first = installed.ensure(fakes.ways(), tmp_path, LINUX)
    second = installed.ensure(fakes.ways(), tmp_path, LINUX)
    assert fakes.taken == ["download"]
    assert first == second
    assert "official release" in first.line and "no pulumi on PATH" in first.line


def test_the_build_comes_last_and_says_that_it_is_a_stand_in(tmp_path):
    fakes = Fakes(download_error="official download: cannot be reached (closed)")
    engine = installed.ensure(fakes.ways(), tmp_path, LINUX)
    assert fakes.taken == ["download", "build"]
    assert "stand-in" in engine.line and "cannot be reached (closed)" in engine.line
    assert [line.count("minutes") for line in fakes.said] == [1]
    assert (engine.folder / "pulumi").read_text() == "built"
    for name in ("pulumi-language-python", "pulumi-resource-pulumi-python", "pulumi-analyzer-policy-python"):
        assert (engine.folder / name).stat().st_mode & 0o111
    assert (engine.folder.parent / "lib" / "gpuplane_language_host" / "start.py").exists()
    assert installed.require(fakes.ways(), tmp_path, LINUX).folder == engine.folder
    assert not list(tmp_path.glob(".*")), "a failed download leaves nothing behind"


def test_another_stand_in_does_not_build_the_engine_again(tmp_path, monkeypatch):
    fakes = Fakes(download_error="closed")
    first = installed.ensure(fakes.ways(), tmp_path, LINUX)
    other = tmp_path / "launcher"
    other.write_text("changed")
    monkeypatch.setattr(build, "stand_in_files", lambda: [other])
    second = installed.ensure(fakes.ways(), tmp_path, LINUX)
    assert first.folder != second.folder
    assert fakes.taken.count("build") == 1


def test_when_nothing_works_one_line_names_every_reason(tmp_path):
    fakes = Fakes(download_error="official download: closed", build_error="building needs Go 1.26 or newer")
    with pytest.raises(EngineError) as caught:
        installed.ensure(fakes.ways(), tmp_path, LINUX)
    line = str(caught.value)
    assert "\n" not in line
    for part in (
        "no pulumi on PATH",
        "official download: closed",
        "needs Go 1.26",
        versions.accepted_range(),
    ):
        assert part in line
    assert installed.locate(fakes.ways(), tmp_path, LINUX) is None
    with pytest.raises(EngineError, match="make engine"):
        installed.require(fakes.ways(), tmp_path, LINUX)


@pytest.mark.parametrize(
    ("system", "processor", "name", "tested"),
    [
        ("Linux", "x86_64", "linux-x64", True),
        ("Linux", "aarch64", "linux-arm64", False),
        ("Darwin", "arm64", "darwin-arm64", False),
        ("Darwin", "x86_64", "darwin-x64", False),
    ],
)
def test_known_machines(system, processor, name, tested):
    machine = this_machine(system, processor)
    assert (machine.name, machine.tested) == (name, tested)


@pytest.mark.parametrize(
    ("system", "processor"), [("Windows", "AMD64"), ("Linux", "riscv64"), ("FreeBSD", "amd64")]
)
def test_an_unknown_machine_gets_one_line(system, processor):
    with pytest.raises(EngineError) as caught:
        this_machine(system, processor)
    assert system in str(caught.value) and "\n" not in str(caught.value)


def test_an_untested_machine_is_said_to_be_one(tmp_path):
    engine = installed.ensure(Fakes().ways(), tmp_path, Machine("darwin", "arm64"))
    assert "untested" in engine.line


@pytest.mark.parametrize(
    ("text", "parsed", "accepted"),
    [
        ("v3.250.0", (3, 250, 0), True),
        ("3.200.0\n", (3, 200, 0), True),
        ("v3.199.9", (3, 199, 9), False),
        ("v4.0.0", (4, 0, 0), False),
        ("v3.251.0-alpha.1+dirty", (3, 251, 0), True),
    ],
)
def test_versions(text, parsed, accepted):
    version = versions.parse(text)
    assert version == parsed
    assert version is not None and versions.accepted(version) is accepted


@pytest.mark.parametrize("text", ["", "pulumi", "3.2", "version 3.250.0"])
def test_what_is_no_version(text):
    assert versions.parse(text) is None


def test_one_version_everywhere():
    required = f"github.com/pulumi/pulumi/pkg/v3 v{versions.BUILT}"
    assert required in (build.MODULE / "go.mod").read_text()
    version = versions.parse(versions.BUILT)
    assert version is not None and versions.accepted(version)


def program(folder: Path, name: str, output: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{output}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("output", "host", "reason"),
    [
        ("echo v3.250.0", True, ""),
        ("echo v3.250.0", False, "lacks its Python language host"),
        ("echo v2.1.0", True, "not >=3.200.0,<4.0.0"),
        ("exit 3", True, "does not tell its version"),
        ("echo hello", True, "does not tell its version"),
    ],
)
def test_what_counts_as_found_on_path(tmp_path, output, host, reason):
    folder = tmp_path / "bin"
    program(folder, "pulumi", output)
    if host:
        program(folder, "pulumi-language-python", "true")
    found = on_path.find(str(folder), ignore=tmp_path / "cache")
    assert reason in found.reason
    assert found.folder == (None if reason else folder)


def test_our_own_engine_on_path_is_no_find(tmp_path):
    folder = tmp_path / "cache" / "built" / "bin"
    folder.mkdir(parents=True)
    program(folder, "pulumi", "echo v3.250.0")
    program(folder, "pulumi-language-python", "true")
    assert on_path.find(str(folder), ignore=tmp_path / "cache") == NOTHING


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 3
            tar.addfile(entry, io.BytesIO(b"abc"))
    return packed.getvalue()


FILE = f"pulumi-v{versions.BUILT}-linux-x64.tar.gz"
GOOD = archive("pulumi/pulumi", "pulumi/pulumi-language-python", "pulumi/../../outside", "/etc/outside")


def network(content: bytes, checksum: str):
    def get(url: str, most: int) -> bytes:
        if url.endswith("-checksums.txt"):
            if "github" in url:
                raise OSError("closed")
            return f"{'0' * 64}  other.tar.gz\n{checksum}  {FILE}\n".encode()
        assert url == f"https://get.pulumi.com/releases/sdk/{FILE}"
        return content

    return get


def test_an_archive_with_its_checksum_is_unpacked_and_nothing_leaves_the_folder(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    official.install(LINUX, target, network(GOOD, hashlib.sha256(GOOD).hexdigest()))
    assert sorted(file.name for file in tmp_path.rglob("*")) == [
        "bin",
        "pulumi",
        "pulumi-language-python",
        "target",
    ]
    assert (target / "bin" / "pulumi").read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("content", "checksum", "reason"),
    [
        (GOOD, "f" * 64, "published checksum"),
        (archive("pulumi/pulumi"), "", "no pulumi-language-python"),
    ],
)
def test_a_wrong_archive_is_refused(tmp_path, content, checksum, reason):
    with pytest.raises(EngineError, match=reason):
        official.install(LINUX, tmp_path, network(content, checksum or hashlib.sha256(content).hexdigest()))


def test_without_a_published_checksum_nothing_is_downloaded(tmp_path):
    def get(url: str, most: int) -> bytes:
        assert url.endswith("-checksums.txt")
        return b"something else\n"

    with pytest.raises(EngineError, match="no checksum published"):
        official.install(LINUX, tmp_path, get)


def test_a_closed_network_is_one_short_reason(tmp_path):
    with pytest.raises(EngineError, match="cannot be reached") as caught:
        official.install(LINUX, tmp_path)
    assert "\n" not in str(caught.value)
