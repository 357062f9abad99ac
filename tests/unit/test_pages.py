"""The pages of the repository: links lead somewhere, decisions are complete, the changelog keeps its form."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the text of apache.org/licenses/LICENSE-2.0.txt."""


def pages() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def prose(page: Path) -> str:
    """A page without its blocks and pieces of code."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda found: re.sub(r"[][()#]", " ", found[0]), text)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in headings)


@pytest.mark.parametrize("name", pages())
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"\s*\n\s*", " ", prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def test_the_link_check_sees_links() -> None:
    assert "](docs/configuration.md)" in prose(ROOT / "README.md")
    assert "measured" in anchors(ROOT / "docs" / "host.md")


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("0*.md")), ids=lambda page: page.stem)
def test_a_decision_is_complete_and_in_the_index(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parts = [text.find(f"**{part}.**") for part in ("Context", "Decision", "Consequences")]
    assert -1 not in parts and parts == sorted(parts)
    assert len(text.splitlines()) <= 60
    number, title = re.match(r"# (\d{4}): (.+)\n", text).groups()  # type: ignore[union-attr]
    assert page.name.startswith(f"{number}-")
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    assert f"| [{number}]({page.name}) | {title} | " in index


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name[:4]) for page in sorted(DECISIONS.glob("0*.md"))]
    assert numbers == list(range(1, len(numbers) + 1)) and numbers


def test_the_changelog_is_a_list_of_sentences_below_versions() -> None:
    first, *lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert first == "# Changelog"
    assert [line for line in lines if line.startswith("#")][:1] == ["## Unreleased"]
    odd = [line for line in lines if line and not re.match(r"## |- \S|  \S", line)]
    assert odd == []
    entries = re.findall(r"^- (.+(?:\n  .+)*)", "\n".join(lines), re.MULTILINE)
    assert [entry for entry in entries if not entry.endswith((".", "`"))] == []
    assert len(entries) == len(set(entries))


def test_the_licence_is_apache_2() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
