"""Other people's routers, each installed on request into an environment of its own from pinned packages."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.cache import cache_root, digest, make_once
from engine.errors import EngineError
from tests.gateway.process import free_port
from tests.gateway.world import MODEL

_PINS = Path(__file__).resolve().parent / "requirements"
_INSTALL_S = 900.0

Command = tuple[list[str], str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Rival:
    """A router that can be measured beside the gateway.

    Attributes:
        name: Of its lane and of its file of pinned packages.
        arguments: Makes command line, client's key and environment from (environment's bin folder, folder for
            files, URL of the node, its key, port).
        slow: Whether it takes so long that it gets smaller loads.
    """

    name: str
    arguments: Callable[[Path, Path, str, str, int], Command]
    slow: bool = False

    def command(self, root: Path, url: str, key: str, port: int) -> Command:
        """Its command line, what clients send as key, and its environment; installs it first.

        Raises:
            EngineError: It can't be installed here; one line.
        """
        return self.arguments(environment(_PINS / f"{self.name}.txt"), root, url, key, port)


def environment(pins: Path) -> Path:
    """The folder `bin` of an environment with these packages, made once for all checkouts.

    Args:
        pins: A requirements file, every package with its hashes.

    Raises:
        EngineError: They can't be installed here; one line with the installer's last words.
    """
    root = cache_root().parent / "gateway"
    name = f"{pins.stem}-{digest([sys.platform, sys.version, sys.base_prefix], [pins])}"
    target = root / name

    def fill(work: Path) -> None:
        python = str(work / "bin" / "python")
        _run([sys.executable, "-m", "venv", "--without-pip", str(work)])
        installer = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        if _has_uv():
            installer = ["uv", "pip", "install", "--quiet", "--python", python, "--no-deps"]
        # No dependency is looked for: the file has them all, and LiteLLM's own pins can't all be met.
        _run([*installer, "--require-hashes", "-r", str(pins)] + ([] if _has_uv() else ["--no-deps"]))
        for script in (work / "bin").iterdir():
            if not script.is_symlink() and script.read_bytes().startswith(b"#!"):
                script.write_bytes(script.read_bytes().replace(str(work).encode(), str(target).encode()))

    return make_once(root, name, fill) / "bin"


def _has_uv() -> bool:
    try:
        return subprocess.run(["uv", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"{command[0]} did not end within {_INSTALL_S:.0f} s") from None
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())
        raise EngineError(f"{command[0]}: {words[-400:]}")


def _vllm_router(programs: Path, root: Path, url: str, key: str, port: int) -> Command:
    del root
    command = [str(programs / "vllm-router"), "--worker-urls", url, "--policy", "round_robin"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--api-key", key, "--log-level", "error"]
    command += ["--prometheus-port", str(free_port())]
    return command, key, dict(os.environ)


def _litellm(programs: Path, root: Path, url: str, key: str, port: int) -> Command:
    master = f"sk-{secrets.token_hex(16)}"
    parameters = {"model": f"hosted_vllm/{MODEL}", "api_base": f"{url}/v1", "api_key": key}
    config = {"model_list": [{"model_name": MODEL, "litellm_params": parameters}]}
    file = root / "litellm.json"
    file.write_text(json.dumps({**config, "general_settings": {"master_key": master}}))
    command = [str(programs / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    return command, master, {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}


RIVALS = {
    rival.name: rival for rival in (Rival("vllm-router", _vllm_router), Rival("litellm", _litellm, slow=True))
}
