"""What must hold for the text of the repository as a whole. Looks at the files that git tracks."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Written in pieces, so that this file does not find itself. The users of clouds' images are not ours.
MACHINE_PATHS = re.compile(
    r"(?<![\w.~$}/-])/(?:"
    + "|".join(
        ["work/(?:main|shared)", "root/", "home/(?!(?:ubuntu|paperspace)/)[a-z]+/", "Users/[A-Za-z]+/"]
    )
    + ")"
)
REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(f"{name}.{end}")
        for name, end in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("proxy.golang", "org"),
            ("sum.golang", "org"),
            ("registry.npmjs", "org"),
            ("crates", "io"),
            ("repo.maven.apache", "org"),
            ("repo1.maven", "org"),
            ("deb.debian", "org"),
        ]
    )
)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def findings(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for file in tracked():
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (MACHINE_PATHS, "see " + "/wo" + "rk/main/x"),
        (MACHINE_PATHS, "'/ro" + "ot/.cache'"),
        (REGISTRY_HOSTS, "https://py" + "pi.org/x"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern, example):
    assert pattern.search(example)


def test_no_path_of_one_machine():
    assert findings(MACHINE_PATHS) == []


def test_no_host_of_a_package_registry():
    assert findings(REGISTRY_HOSTS) == []


def test_the_readme_names_the_first_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make up" in readme
    assert "make test" in readme


def test_the_program_stays_a_program():
    lines = (ROOT / "__main__.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60, (
        "__main__.py reads the configuration, builds and exports; logic belongs in components/"
    )


def test_every_pinned_package_has_a_hash():
    for file in (ROOT / "requirements").glob("*.txt"):
        blocks = re.split(r"\n(?=\S)", file.read_text(encoding="utf-8").strip())
        assert blocks, file
        for block in blocks:
            assert re.match(r"[\w.\[\]-]+==\S+", block), f"{file.name}: not pinned: {block[:60]}"
            assert "--hash=sha256:" in block, f"{file.name}: no hash: {block[:60]}"


def test_generated_and_private_files_are_not_tracked():
    names = {str(file.relative_to(ROOT)) for file in tracked()}
    assert not [name for name in names if name.startswith((".gpuplane/", ".venv/")) or name.endswith(".pyc")]
