"""The scaffold of a new cloud: well-formed whatever it is called, and not yet a cloud."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import run
from cli.scaffolding import NewCloud, files
from tests.unit.cli.conftest import Project

REPOSITORY = Path(__file__).resolve().parents[3]
PARTS = (
    "gpu_clouds",
    "emulators",
    "tests/faults",
    "tests/unit/cloud_contract",
    "tests/unit/gpu_clouds",
    "tests/unit/provisioning",
    "pyproject.toml",
)
NAMES = ("aa", "lambda", "zephyr", "zz9", "abcdefghijklmnopqrst")
CONTRACT = "tests/unit/cloud_contract/test_zephyr.py"
TITLES = {"zephyr": "Zephyr.ai", "abcdefghijklmnopqrst": "A Title of Thirty Characters X"}


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=root, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of the project that the scaffold needs, and a scaffold of each name."""
    root = tmp_path_factory.mktemp("project")
    skip = shutil.ignore_patterns("__pycache__", "lambda_cloud")
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=skip)
        else:
            shutil.copyfile(source, root / part)
    for name in NAMES:
        new = NewCloud.of(name, TITLES.get(name, ""), "https://api.example.invalid")
        for path, text in files(new).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return root


def scaffolded(name: str) -> list[str]:
    new = NewCloud.of(name, "", "https://api.example.invalid")
    return [path for path in files(new) if path.endswith(".py")]


def test_every_scaffold_is_formatted_and_lints(copy: Path) -> None:
    paths = [path for name in NAMES for path in scaffolded(name)]
    for arguments in (("format", "--diff"), ("check",)):
        done = python(copy, "ruff", *arguments, *paths)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_scaffold_has_all_its_types(copy: Path) -> None:
    # Everything but the scaffold is the same each time.
    cache = REPOSITORY / ".mypy_cache" / "scaffold"
    done = python(copy, "mypy", "--cache-dir", str(cache), *scaffolded("zephyr"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_contract_test_fails_and_says_what_is_to_be_written(copy: Path) -> None:
    done = python(copy, "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", CONTRACT)
    assert done.returncode == 1, done.stdout
    assert " passed" not in done.stdout
    assert "gpu_clouds/zephyr: client.list_machines" in done.stdout
    assert "Zephyr.ai has no GPU RTX4090; it has: none in gpu_clouds/catalog_data.json" in done.stdout
    reasons = ("NotImplementedError", "ValidationError")
    failures = [line for line in done.stdout.splitlines() if ".py:" in line and "Error" in line]
    assert failures
    assert all(any(reason in line for reason in reasons) for line in failures)


def test_the_command(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new-cloud", "verda", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["name"], data["folder"]) == ("verda", "verda")
    assert all((project.root / path).is_file() for path in data["written"])
    assert "$" not in "".join((project.root / path).read_text() for path in data["written"])
    assert any("catalog_data.json" in step for step in data["next"])

    assert run(["new-cloud", "verda"]) == 2
    assert "is there already; nothing was written" in capsys.readouterr().err
    assert run(["new-cloud", "lambda"]) == 0
    shown = capsys.readouterr().out
    assert "wrote gpu_clouds/lambda_cloud/cloud.py" in shown
    assert "  1. emulators/lambda_cloud/api.py: answer" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["../evil"],
        ["Verda"],
        ["a"],
        ["a-b"],
        ["x" * 21],
        ["verda", "--title", 'x"""'],
        ["verda", "--endpoint", "http://plain.example"],
        ["verda", "--endpoint", 'https://x"y'],
    ],
)
def test_what_can_not_be_a_name_writes_nothing(
    project: Project, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    before = sorted(project.root.rglob("*"))
    assert run(["new-cloud", *arguments]) == 2
    assert sorted(project.root.rglob("*")) == before
    assert "gpuplane: " in capsys.readouterr().err


def test_a_module_of_that_name_is_not_hidden(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.root / "gpu_clouds").mkdir()
    (project.root / "gpu_clouds" / "models.py").write_text("")
    assert run(["new-cloud", "models"]) == 2
    assert [path.name for path in (project.root / "gpu_clouds").iterdir()] == ["models.py"]
