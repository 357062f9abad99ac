"""The stack files of this repository, each ready for a preview without an account.

    for example in EXAMPLES:
        stack = stack_of(example, tmp_path / example.name, template, emulator_folder=…, keys={"runpod": …})
        stack.preview().expect_ok()

The list is computed from the files `Pulumi.*.yaml`, so a new one is previewed wherever this list is. What a
reader has to fill in is filled in here: the stack's id, accounts (the emulators'), files of their machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.standins.placing import in_front
from engine.standins.servicer import STATE_VARIABLE
from tests.engine.harness import REPOSITORY, Stack

STACK_ID = "teststck"
KEYS: Mapping[str, str] = {
    "runpod": "emulator-key",
    "lambda": "emulator-key",
    "paperspace": "emulator-paperspace-key",
}
"""Cloud -> key that its emulator takes by default."""

_PLUGINS = {"eksClusters": "aws", "gkeClusters": "gcp", "aksClusters": "azure-native"}
_MANAGED = {
    "rds": "aws",
    "elasticache": "aws",
    "cloud_sql": "gcp",
    "memorystore": "gcp",
    "azure": "azure-native",
}
_PROGRAM = (REPOSITORY / "__main__.py").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Example:
    """One stack file.

    Attributes:
        path: The file.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of its stack: `eks`."""
        return self.path.name.removeprefix("Pulumi.").removesuffix(".yaml")

    def document(self) -> dict[str, Any]:
        """What is in the file."""
        read: dict[str, Any] = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        return read

    def values(self) -> dict[str, Any]:
        """The values of our namespace, without it."""
        config = self.document()["config"]
        ours = ((key.partition(":"), value) for key, value in config.items())
        return {name: value for (namespace, _, name), value in ours if namespace == "gpuplane"}

    @property
    def clouds(self) -> tuple[str, ...]:
        """Clouds whose emulators a preview asks: `lambda`, `runpod`."""
        return tuple(sorted({account["cloud"] for account in self.values().get("credentials", {}).values()}))

    @property
    def plugins(self) -> tuple[str, ...]:
        """Packages of the plugins that it needs; with any the program needs the SDKs (`.venv-sdks`)."""
        return tuple(sorted(set(_plugins(self.values()))))

    def ready(self, folder: Path, keys: Mapping[str, str] = KEYS) -> tuple[dict[str, Any], dict[str, str]]:
        """The stack file with everything filled in, and the variables that it then needs.

        Args:
            folder: For files that it names; made if absent.
            keys: Cloud, or credential set -> key that its emulator takes.
        """
        document = deepcopy(self.document())
        config = document["config"]
        config.setdefault("gpuplane:stackId", STACK_ID)
        variables = {}
        for name, account in config.get("gpuplane:credentials", {}).items():
            account.pop("apiKey", None)
            account.pop("apiKeySecret", None)
            account["endpoint"] = "emulator"
            account.setdefault("apiKeyEnv", f"EXAMPLE_{name.upper().replace('-', '_')}_KEY")
            variables[account["apiKeyEnv"]] = keys.get(name) or keys[account["cloud"]]
        for server in config.get("gpuplane:skypilotServers", {}).values():
            for place in server.get("homeFiles", {}):
                folder.mkdir(parents=True, exist_ok=True)
                file = folder / place.replace("/", "-")
                file.write_text("", encoding="utf-8")
                server["homeFiles"][place] = str(file)
        return document, variables


def _plugins(values: Mapping[str, Any]) -> Iterator[str]:
    """Packages of the plugins that a stack file needs."""
    for section, package in _PLUGINS.items():
        if values.get(section):
            yield from (package, "kubernetes")
    for section in ("postgresServices", "redisServices", "skypilotServers", "modelServers"):
        for entry in values.get(section, {}).values():
            target = "kubernetes" if section == "modelServers" else entry.get("target")
            if target == "kubernetes" or "connection" in entry:
                yield "kubernetes"
            if target in _MANAGED:
                yield _MANAGED[target]


def stack_of(
    example: Example,
    root: Path,
    template: Path | None = None,
    *,
    emulator_folder: Path | None = None,
    keys: Mapping[str, str] = KEYS,
    env: Mapping[str, str] | None = None,
) -> Stack:
    """The real program with an example's stack file: stand-ins for plugins, emulators for clouds.

    Args:
        example: The example.
        root: Empty folder for everything.
        template: A backend with an empty stack, as the fixture `template` makes it.
        emulator_folder: Folder of running emulators; needed where `example.clouds` has any.
        keys: Cloud, or credential set -> key that its emulator takes.
        env: Further environment variables.
    """
    document, variables = example.ready(root / "files", keys)
    store = root / "cloud"
    store.mkdir(parents=True)
    variables |= {"PYTHONPATH": str(REPOSITORY), STATE_VARIABLE: str(store), **(env or {})}
    if emulator_folder is not None:
        variables |= {"GPUPLANE_EMULATOR_DIR": str(emulator_folder), "GPUPLANE_EMULATED": "1"}
    stack = Stack(root / "stack", _PROGRAM, template=template, env=variables)
    # With its own salt, if it has one: secure values of the dev stack have the passphrase that `Stack` uses.
    settings = {**(yaml.safe_load(stack.settings.read_text(encoding="utf-8")) or {}), **document}
    stack.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    if example.plugins:
        stack.env["PATH"] = in_front(example.plugins, stack.env["PATH"])
    return stack


EXAMPLES = tuple(Example(path) for path in sorted(REPOSITORY.glob("Pulumi.*.yaml")))
"""Every committed stack file, by name."""


def one(name: str) -> Example:
    """The example of a name: `eks`."""
    return next(example for example in EXAMPLES if example.name == name)
