"""What checks pipeline files: actionlint for GitHub's, the published JSON schema for GitLab's.

Both are pinned by hash (`go/go.sum`, `schemas.txt`), made once and kept outside the checkout.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.build import check_go, run_go
from engine.cache import cache_root, digest, make_once
from engine.errors import EngineError
from engine.machine import this_machine
from engine.wheels import fetch_wheels

HERE = Path(__file__).resolve().parent
MODULE = HERE / "go"

_PACKAGE = "github.com/rhysd/actionlint/cmd/actionlint"
_BUILD = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
_PIN = HERE / "schemas.txt"
_GITLAB = "check_jsonschema/builtin_schemas/vendor/gitlab-ci.json"
_BUILD_S = 900.0
_FETCH_S = 300.0


def checks_root(variables: Mapping[str, str] = os.environ) -> Path:
    """The cache's folder, by default `~/.cache/gpuplane/pipeline-checks`.

    Args:
        variables: The environment.
    """
    return cache_root(variables).parent / "pipeline-checks"


def actionlint(root: Path | None = None) -> Path:
    """The program; built from its Go module when it is not in the cache (seconds).

    Args:
        root: The cache's folder.

    Raises:
        EngineError: There is no Go, or the build failed.
    """
    words = [this_machine().name, *_BUILD, _PACKAGE]
    name = f"actionlint-{digest(words, [MODULE / 'go.mod', MODULE / 'go.sum'])}"
    return make_once(root or checks_root(), name, _build) / "actionlint"


def gitlab_schema(root: Path | None = None) -> dict[str, Any]:
    """GitLab's JSON schema of `.gitlab-ci.yml`, as the package check-jsonschema carries it.

    Args:
        root: The cache's folder.

    Raises:
        EngineError: The package can't be fetched, or is not as expected.
    """
    folder = make_once(root or checks_root(), f"schemas-{digest([], [_PIN])}", _fetch)
    schema: dict[str, Any] = json.loads((folder / "gitlab-ci.json").read_text(encoding="utf-8"))
    return schema


def _build(work: Path) -> None:
    check_go(MODULE)
    done = run_go(
        *("build", *_BUILD, "-o", str(work / "actionlint"), _PACKAGE),
        module=MODULE,
        seconds=_BUILD_S,
        variables={"CGO_ENABLED": "0"},
    )
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(f"the Go build of actionlint failed: {words}")


def _fetch(work: Path) -> None:
    site = work / "site"
    fetch_wheels(_PIN, site, "GitLab's schema", _FETCH_S)
    try:
        text = (site / _GITLAB).read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        raise EngineError(f"the package with GitLab's schema is not as expected: {error}") from error
    (work / "gitlab-ci.json").write_text(text, encoding="utf-8")
    shutil.rmtree(site)
