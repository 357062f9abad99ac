"""The files that a new cloud begins with; their texts are in cli/scaffold."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cli.errors import REFUSED, CliError

_TEXTS = Path(__file__).parent / "scaffold"
_NAME = re.compile(r"[a-z][a-z0-9]{1,19}")
_IMPORTS = re.compile(r"(?:^from \S+ import (?:\([^)]*\)|[^(\n]+)\n)+", re.MULTILINE)
_IMPORT = re.compile(r"^from (?P<module>\S+) import (?:\([^)]*\)|[^(\n]+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NewCloud:
    """What a new cloud is called.

    Attributes:
        name: In stack files: `verda`.
        folder: Of its package; differs where the name is a word of Python.
        class_name: What its classes begin with.
        title: As people write it.
        endpoint: Base URL of its API.
    """

    name: str
    folder: str
    class_name: str
    title: str
    endpoint: str

    @classmethod
    def of(cls, name: str, title: str = "", endpoint: str = "") -> NewCloud:
        """From what a person has given.

        Raises:
            CliError: The name, the title or the URL can not be used.
        """
        if not _NAME.fullmatch(name):
            raise CliError(f"a cloud's name is 2 to 20 lower-case letters and digits, not {name!r}", REFUSED)
        title = title or name.capitalize()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 .&-]{0,29}", title):
            raise CliError("a title is at most 30 letters, digits and spaces", REFUSED)
        if not re.fullmatch(r"https://[A-Za-z0-9./_-]{3,60}", endpoint):
            raise CliError("an endpoint is an https:// URL of at most 60 plain characters", REFUSED)
        folder = f"{name}_cloud" if keyword.iskeyword(name) else name
        return cls(name, folder, name.capitalize(), title, endpoint)


def files(new: NewCloud) -> dict[str, str]:
    """Path in the project -> text.

    Args:
        new: The cloud.
    """
    places = {
        f"gpu_clouds/{new.folder}/__init__.py": "cloud_init",
        f"gpu_clouds/{new.folder}/client.py": "cloud_client",
        f"gpu_clouds/{new.folder}/models.py": "cloud_models",
        f"gpu_clouds/{new.folder}/cloud.py": "cloud_cloud",
        f"emulators/{new.folder}/__init__.py": "emulator_init",
        f"emulators/{new.folder}/api.py": "emulator_api",
        f"emulators/{new.folder}/cloud.py": "emulator_cloud",
        f"emulators/{new.folder}/fleet.py": "emulator_fleet",
        f"emulators/{new.folder}/settings.py": "emulator_settings",
        f"emulators/{new.folder}/trouble.py": "emulator_trouble",
        f"tests/faults/{new.folder}_faults.py": "faults",
        f"tests/unit/cloud_contract/test_{new.folder}.py": "contract_test",
        f"docs/clouds/{new.name}.md": "docs_page",
    }
    return {path: _filled(text, new) for path, text in places.items()}


def write(root: Path, new: NewCloud) -> list[str]:
    """Writes all files, or none.

    Args:
        root: The project's folder.
        new: The cloud.

    Returns:
        Their paths in the project.

    Raises:
        CliError: One of them, or something else of this name, is there already.
    """
    texts = files(new)
    taken = [
        path
        for path in (
            *texts,
            f"gpu_clouds/{new.folder}",
            f"gpu_clouds/{new.folder}.py",
            f"emulators/{new.folder}.py",
        )
        if (root / path).exists()
    ]
    if taken:
        raise CliError(f"{taken[0]} is there already; nothing was written", REFUSED)
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return list(texts)


def next_steps(new: NewCloud) -> list[str]:
    """What is to be done by hand, in order."""
    test = f"tests/unit/cloud_contract/test_{new.folder}.py"
    return [
        f"emulators/{new.folder}/api.py: answer as the cloud's documentation says, in its own words",
        f"gpu_clouds/{new.folder}/client.py and cloud.py: fill in what raises NotImplementedError",
        f"gpu_clouds/catalog_data.json: what {new.title} calls GPUs and regions, list prices with their date",
        f".venv/bin/python -m pytest {test}: until all pass",
        f"register it: gpu_clouds/registry.py ({new.folder}.INFO), emulators/app.py (cloud and FAULT_KINDS), "
        "stack_config/models.py (CLOUDS, CloudName); gpuplane config-docs > docs/configuration.md",
        f"the fault matrix: tests/faults/common.py (CALLS), world.py (CLOUDS, FIRST, SECOND), "
        f"test_matrix.py (ROWS); its own rows in tests/faults/{new.folder}_faults.py",
        "the crash matrix: tests/crash",
        f"docs/clouds/{new.name}.md: limits, prices, quirks, what a real key still has to confirm",
    ]


def _filled(text: str, new: NewCloud) -> str:
    template = Template((_TEXTS / f"{text}.txt").read_text(encoding="utf-8"))
    return _sorted_imports(
        template.substitute(
            name=new.name,
            folder=new.folder,
            class_name=new.class_name,
            title=new.title,
            endpoint=new.endpoint,
        )
    )


def _sorted_imports(text: str) -> str:
    """Where a package's import stands depends on its name: sorts each run of imports."""

    def in_order(run: re.Match[str]) -> str:
        found = sorted(_IMPORT.finditer(run[0]), key=lambda each: each["module"])
        return "".join(each[0] for each in found)

    return _IMPORTS.sub(in_order, text)
