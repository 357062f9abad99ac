"""The real engine with the language host that this machine has: runs, ^C, kill -9, policy packs."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.environment import environment

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60

NODES = """
import pulumi
from pulumi import dynamic


class Kept(dynamic.ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        return dynamic.CreateResult("id", dict(props))


class LeakGuard(dynamic.Resource, module="gpu", name="LeakGuard"):
    def __init__(self):
        super().__init__(Kept(), "guard", {})


class GpuNode(dynamic.Resource, module="gpu", name="GpuNode"):
    def __init__(self, name, guard=None):
        super().__init__(Kept(), name, {"guard": guard.id if guard else "none"})
"""


class Project:
    """A project folder with a program, and ways to run `pulumi` in it."""

    def __init__(self, folder: Path, virtualenv: str) -> None:
        self.folder = folder
        options = f"  options:\n    virtualenv: {virtualenv}\n" if virtualenv else ""
        (folder / "Pulumi.yaml").write_text(f"name: sample\nruntime:\n  name: python\n{options}")
        self.variables = environment(folder, folder / "state")
        self.pulumi("stack", "init", "dev")

    def write(self, source: str, name: str = "__main__.py") -> None:
        (self.folder / name).write_text(source)

    def pulumi(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    def project(source: str, virtualenv: str = sys.prefix) -> Project:
        made = Project(tmp_path, virtualenv)
        made.write(source)
        return made

    return project


def alive(pid: int) -> bool:
    """A process that has ended but was not waited for yet (state Z) is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def wait_for_pid(file: Path) -> int:
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


SLEEPER = """
import os, pathlib, threading
pathlib.Path("pid").write_text(f"{os.getpid()}\\n")
threading.Event().wait()
"""


def test_a_program_runs_in_the_virtual_environment_of_its_project(make):
    project = make("import sys, pulumi\npulumi.export('prefix', sys.prefix)\n")
    assert "1 created" in project.pulumi("up", "--yes")
    assert project.pulumi("stack", "output", "prefix").strip() == sys.prefix
    assert "1 unchanged" in project.pulumi("up", "--yes")


def other_environment(folder: Path) -> Path:
    """A virtual environment that finds the packages of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=SECONDS)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "ours.pth").write_text(
        next(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    return folder


def test_another_virtual_environment_than_the_active_one(make, tmp_path):
    other = other_environment(tmp_path / "other")
    project = make(
        "import sys, pulumi\nprint('words of the program')\npulumi.export('prefix', sys.prefix)\n", "other"
    )
    assert "words of the program" in project.pulumi("up", "--yes", "--skip-preview")
    assert project.pulumi("stack", "output", "prefix").strip() == str(other)


def test_a_mistake_is_said_once_and_without_a_traceback(make):
    project = make("import pulumi\nraise pulumi.RunError('nodes must be positive')\n")
    output = project.pulumi("preview", status=1)
    diagnostics = output.partition("Diagnostics:")[2]
    assert diagnostics.count("nodes must be positive") == 1
    assert "Traceback" not in output


def test_a_missing_virtual_environment_is_said_in_one_line(make):
    project = make("", "nowhere")
    output = project.pulumi("preview", status=1)
    assert "nowhere" in output and "Traceback" not in output


def test_an_interrupt_ends_engine_and_program_without_a_traceback(make, tmp_path):
    project = make(SLEEPER)
    engine = project.start("up", "--yes", "--skip-preview")
    host = wait_for_pid(tmp_path / "pid")
    engine.send_signal(signal.SIGINT)
    output, _ = engine.communicate(timeout=SECONDS)
    assert engine.returncode != 0
    assert "Traceback" not in output and "KeyboardInterrupt" not in output
    wait_until(lambda: not alive(host))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_host_ends_with_a_killed_engine(make, tmp_path, elsewhere):
    project = make(SLEEPER, str(other_environment(tmp_path / "other")) if elsewhere else sys.prefix)
    engine = project.start("up", "--yes", "--skip-preview")
    host = wait_for_pid(tmp_path / "pid")
    began = time.monotonic()
    engine.kill()
    wait_until(lambda: not alive(host))
    assert time.monotonic() - began < 3.0  # a second on an idle machine; never, without the fence
    engine.communicate(timeout=SECONDS)


def test_the_policy_pack_finds_a_node_without_its_guard(make):
    project = make(
        "from nodes import GpuNode, LeakGuard\nguard = LeakGuard()\nGpuNode('a', guard)\nGpuNode('b')\n"
    )
    project.write(NODES, "nodes.py")
    output = project.pulumi("preview", "--policy-pack", str(ROOT / "policies"), status=1)
    assert "[mandatory]" in output and "GpuNode 'b' without a dependency on a LeakGuard" in output
    assert "GpuNode 'a'" not in output
    project.write("from nodes import GpuNode, LeakGuard\nguard = LeakGuard()\nGpuNode('a', guard)\n")
    assert "gpuplane" in project.pulumi("up", "--yes", "--policy-pack", str(ROOT / "policies"))


def test_a_policy_pack_ends_with_a_killed_engine(make, tmp_path):
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_text(
        f"runtime:\n  name: python\n  options:\n    virtualenv: {sys.prefix}\n"
    )
    pid = tmp_path / "pack-pid"
    (pack / "__main__.py").write_text(
        f"import os, pathlib, threading\npathlib.Path({str(pid)!r}).write_text(f'{{os.getpid()}}\\n')\n"
        "threading.Event().wait()\n"
    )
    project = make("")
    engine = project.start("preview", "--policy-pack", str(pack))
    process = wait_for_pid(pid)
    engine.kill()
    wait_until(lambda: not alive(process))
    engine.communicate(timeout=SECONDS)


def test_install_says_that_there_is_nothing_to_install(make):
    assert "nothing to install" in make("").pulumi("install", "--no-plugins")


@pytest.fixture
def home_before() -> Iterator[None]:
    home = Path.home() / ".pulumi"
    before = sorted(home.iterdir()) if home.exists() else None
    yield
    assert (sorted(home.iterdir()) if home.exists() else None) == before


@pytest.mark.usefixtures("home_before")
def test_nothing_outside_the_state_folder_is_written(make, tmp_path):
    project = make("")
    project.pulumi("up", "--yes")
    assert (tmp_path / "state" / "pulumi-home").is_dir()
    assert list((tmp_path / "state" / "state" / ".pulumi" / "stacks").rglob("dev.json"))
