"""Which plugin the engine finds: an official one wherever there is one."""

import os
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.machine import Machine
from engine.standins import fetching, placing, records

SDKS = {"aws": "7.51.1"}
LINUX = Machine("linux", "x64")


class World:
    """A cache, two homes of plugins and a PATH, all empty; and a network that counts who asks."""

    def __init__(self, root: Path) -> None:
        self.cache, self.home, self.other, self.bin = (
            root / name for name in ("cache", "home", "other", "bin")
        )
        self.bin.mkdir()
        self.asked: list[str] = []
        self.open = False
        self.install_error = ""
        self.installed: list[str] = []

    @property
    def homes(self) -> list[Path]:
        return [self.home, self.other]

    def reach(self, url: str) -> None:
        self.asked.append(url)
        if not self.open:
            raise OSError("closed")

    def install_official(self, package: str, version: str, home: Path) -> None:
        self.installed.append(version)
        if self.install_error:
            raise EngineError(self.install_error)
        folder = home / "plugins" / f"resource-{package}-v{version}"
        folder.mkdir(parents=True)
        (folder / f"pulumi-resource-{package}").touch()

    def look(self, now: float = 0.0) -> placing.Choice:
        (choice,) = fetching.look(
            str(self.bin),
            self.homes,
            self.install_official,
            sdks=SDKS,
            root=self.cache,
            machine=LINUX,
            reach=self.reach,
            now=now,
        )
        return choice

    def choose(self, mode: str = "") -> placing.Choice:
        (choice,) = placing.choose(str(self.bin), self.homes, sdks=SDKS, root=self.cache, mode=mode)
        return choice

    def fill(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(placing, "installed_sdks", lambda: SDKS)
            placing.fill(self.home, str(self.bin), [self.other], self.cache)

    @property
    def placed(self) -> Path:
        return self.home / "plugins" / "resource-aws-v7.51.1"

    def put_on_path(self) -> None:
        program = self.bin / "pulumi-resource-aws"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)

    def install(self, home: Path, version: str) -> Path:
        folder = home / "plugins" / f"resource-aws-v{version}"
        folder.mkdir(parents=True)
        return folder


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.delenv(placing.VARIABLE, raising=False)
    return World(tmp_path)


def test_nobody_has_looked_yet_the_engine_is_left_to_download(world):
    assert not world.choose().stand_in
    assert world.choose().folder is None


def test_a_closed_network_gives_the_stand_in_and_is_asked_once_a_day(world):
    choice = world.look()
    assert choice.stand_in and choice.folder == placing.launcher_folder("aws")
    assert "closed" in choice.line and "stand-in" in choice.line
    assert [url.split("/")[2] for url in world.asked] == ["github.com", "get.pulumi.com"]
    assert all(url.endswith("pulumi-resource-aws-v7.51.1-linux-amd64.tar.gz") for url in world.asked)
    world.look(now=records.KEPT_SECONDS - 1)
    assert len(world.asked) == 2
    assert world.choose() == choice
    world.look(now=records.KEPT_SECONDS)
    assert len(world.asked) == 4


def test_an_open_network_gets_the_official_plugin_once_and_for_every_home(world):
    assert world.look().stand_in
    world.open = True
    choice = world.look(now=records.KEPT_SECONDS)
    assert not choice.stand_in and not world.choose().stand_in
    world.look(now=9 * records.KEPT_SECONDS)
    assert world.installed == ["7.51.1"]
    world.fill()
    world.fill()
    assert world.placed.is_dir() and not world.placed.is_symlink(), "the engine overlooks a linked folder"
    assert (world.placed / "pulumi-resource-aws").is_file()
    assert world.choose().folder is None, "the engine finds it by itself"
    assert placing.extended("x", world.homes, "", world.cache) == "x"


def test_a_download_that_fails_half_way_gives_the_stand_in(world):
    world.open, world.install_error = True, "disk full"
    choice = world.look()
    assert choice.stand_in and "disk full" in choice.line
    assert not [path for path in world.cache.iterdir() if path.is_dir()], "nothing half done stays"


def test_an_official_plugin_on_path_is_always_preferred(world):
    world.look()
    world.put_on_path()
    assert (world.choose().stand_in, world.choose().folder) == (False, None)
    assert "official" in world.choose().line
    asked = len(world.asked)
    world.look(now=records.KEPT_SECONDS)
    assert len(world.asked) == asked, "nobody asks the network for what is here"


@pytest.mark.parametrize(
    ("version", "stand_in"),
    [("7.51.1", False), ("7.60.0", False), ("7.51.0", True), ("8.0.0", True), ("6.99.0", True)],
)
def test_an_installed_plugin_counts_when_it_fits_the_sdk(world, version, stand_in):
    world.look()
    world.install(world.home, version)
    assert world.choose().stand_in is stand_in


def test_a_half_installed_plugin_does_not_count(world):
    world.look()
    folder = world.install(world.home, "7.51.1")
    folder.with_name(f"{folder.name}.partial").touch()
    assert world.choose().stand_in


def test_a_plugin_of_another_home_is_used(world):
    world.look()
    folder = world.install(world.other, "7.60.0")
    assert (world.choose().stand_in, world.choose().folder) == (False, folder)
    world.fill()
    assert (world.home / "plugins" / folder.name).is_dir()


def test_a_stand_in_in_a_home_goes_when_there_is_an_official_plugin(world):
    world.look()
    world.fill()
    program = world.placed / "pulumi-resource-aws"
    assert "stand-in" in program.read_text() and program.stat().st_mode & 0o111
    assert world.choose().stand_in, "what we put there is no official plugin"
    before = program.stat().st_mtime_ns
    world.fill()
    assert program.stat().st_mtime_ns == before
    world.put_on_path()
    world.fill()
    assert not world.placed.exists()


def test_nothing_is_put_anywhere_while_nothing_is_known(world):
    world.fill()
    assert not world.home.exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", ""),
        ("echo one; echo 'error: no such plugin' >&2; exit 1", "error: no such plugin"),
        ("exit 3", "without a word"),
    ],
)
def test_the_installer(tmp_path, script, words):
    program = tmp_path / "pulumi"
    program.write_text(
        f'#!/bin/sh\necho "$@" "$PULUMI_HOME" "$PULUMI_ACCESS_TOKEN" > {tmp_path}/said\n{script}\n'
    )
    program.chmod(0o755)
    install = fetching.installer(program, {"PATH": os.environ["PATH"], "PULUMI_ACCESS_TOKEN": "t0ken"})
    if words:
        with pytest.raises(EngineError, match=words):
            install("aws", "7.51.1", tmp_path)
    else:
        install("aws", "7.51.1", tmp_path)
    assert (tmp_path / "said").read_text().split() == [
        "plugin",
        "install",
        "resource",
        "aws",
        "7.51.1",
        str(tmp_path),
    ]


def test_an_installer_that_does_not_run(tmp_path):
    with pytest.raises(EngineError, match="does not run"):
        fetching.installer(tmp_path / "pulumi")("aws", "7.51.1", tmp_path)


def test_the_variable(world):
    world.look()
    assert not world.choose("never").stand_in
    world.put_on_path()
    assert world.choose("always").stand_in
    with pytest.raises(EngineError, match="always, never"):
        world.choose("sometimes")


def test_a_broken_record_is_no_record(world):
    world.look()
    (file,) = world.cache.glob("*.json")
    file.write_text("{")
    assert not world.choose().stand_in
    assert world.look().stand_in


def test_a_stand_in_comes_last_on_path_and_first_when_a_test_asks(world, monkeypatch):
    monkeypatch.setattr(placing, "installed_sdks", lambda: SDKS)
    world.look()
    launcher = str(placing.launcher_folder("aws"))
    assert placing.extended("x", world.homes, "", world.cache).split(":") == ["x", launcher]
    assert placing.extended("x", world.homes, "always", world.cache).split(":") == [launcher, "x"]
    assert placing.extended("x", world.homes, "never", world.cache) == "x"
    assert placing.in_front(["aws"], "x").split(":") == [launcher, "x"]
    assert not placing.extended(launcher, world.homes, "", world.cache).startswith("x")


def test_our_own_launcher_on_path_is_no_official_plugin(world):
    world.look()
    path = placing.in_front(["aws"], str(world.bin))
    (choice,) = placing.choose(path, world.homes, sdks=SDKS, root=world.cache)
    assert choice.stand_in


@pytest.mark.parametrize("package", placing.packages())
def test_every_launcher_can_be_started(package):
    program = placing.launcher_folder(package) / f"pulumi-resource-{package}"
    assert program.stat().st_mode & 0o111
    assert f'start" {package.replace("-", "_")} "$@"' in program.read_text()


def test_no_stand_in_for_anything_else():
    with pytest.raises(EngineError, match="azure-native"):
        placing.launcher_folder("azuread")
