"""Clients that others wrote, from other worlds: the `openai` package of Node.js, LiteLLM, curl."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.gateway_parts.rivals import environment
from engine.cache import cache_root, digest, make_once
from tests.gateway import tokens
from tests.gateway.world import MODEL, REPOSITORY, World

HERE = Path(__file__).resolve().parent
MESSAGES = [{"role": "user", "content": "Größe?"}]
PACKAGES = ("package.json", "package-lock.json")


@functools.cache
def node_sdk() -> Path:
    """A folder with the pinned `openai` package of Node.js, installed once for all checkouts."""
    files = [HERE / "node_sdk" / name for name in PACKAGES]

    def fill(work: Path) -> None:
        for file in files:
            shutil.copy(file, work)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return make_once(cache_root().parent / "gateway", f"node-sdk-{digest([], files)}", fill)


def ask(world: World, *command: str | Path, folder: Path) -> dict[str, object]:
    """Runs a client; what it prints."""
    given = {"url": f"{world.gateway.url}/v1", "key": world.key.secret, "model": MODEL, "messages": MESSAGES}
    done = subprocess.run(
        [str(word) for word in command],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=180,
        cwd=folder,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def expected() -> dict[str, object]:
    """What each client prints in the end."""
    return {
        "plain": tokens.answer(MESSAGES, 7),
        "streamed": tokens.answer(MESSAGES, 25),
        "usage": 25,
        "embedding": 64,
        "together": [tokens.answer([{"role": "user", "content": f"number {n}"}], 5) for n in range(10)],
        "afterCancel": tokens.answer(MESSAGES, 3),
        "refused": [401, 404],
    }


def test_openai_for_node(shared):
    folder = node_sdk()
    # Node.js looks for packages beside the program.
    program = folder / f"client-{digest([], [HERE / 'node_sdk' / 'client.mjs'])}.mjs"
    shutil.copy(HERE / "node_sdk" / "client.mjs", program)
    assert ask(shared, "node", program, folder=folder) == expected()


def test_litellm_as_a_client(shared, tmp_path):
    python = environment(REPOSITORY / "requirements" / "litellm.txt") / "python"
    assert ask(shared, python, HERE / "litellm_client.py", folder=tmp_path) == expected()


def test_curl(shared):
    body = json.dumps({"model": MODEL, "messages": MESSAGES, "max_tokens": 6, "stream": True})
    command = ["curl", "-sSN", "--fail", f"{shared.gateway.url}/v1/chat/completions"]
    command += ["-H", f"Authorization: Bearer {shared.key.secret}", "-H", "Content-Type: application/json"]
    done = subprocess.run([*command, "-d", body], capture_output=True, timeout=60, check=True)
    events = done.stdout.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    texts = [
        json.loads(event.removeprefix("data: "))["choices"][0]["delta"]["content"] for event in events[:-2]
    ]
    assert "".join(texts) == tokens.answer(MESSAGES, 6)
