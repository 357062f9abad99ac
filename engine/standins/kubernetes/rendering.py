"""`renderYamlToDirectory`: a file for each object, and no cluster."""

from pathlib import Path

import yaml

from engine.standins.kubernetes.objects import metadata
from engine.standins.kubernetes.values import Object


def file_of(folder: Path, body: Object) -> Path:
    """The file of an object, named as the official plugin names it. CRDs are apart: they come first."""
    part = "0-crd" if body.get("kind") == "CustomResourceDefinition" else "1-manifest"
    names = metadata(body)
    words = [
        str(body["apiVersion"]).replace("/", "_"),
        str(body["kind"]).lower(),
        str(names.get("namespace") or "default"),
        str(names.get("name")).replace(":", "_"),
    ]
    return folder / part / f"{'-'.join(words)}.yaml"


def write(folder: Path, body: Object) -> Path:
    """Writes an object's file.

    Args:
        folder: of all files; made when it is not there.
        body: the object.

    Returns:
        The file.
    """
    for part in ("0-crd", "1-manifest"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    file = file_of(folder, body)
    file.write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return file


def remove(folder: Path, body: Object) -> None:
    """Removes an object's file, if it is there."""
    file_of(folder, body).unlink(missing_ok=True)
