"""Checks of the gateway with the real vLLM: one line each, exit code 1 where one fails."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.process import until
from tests.gateway.world import MODEL, World
from tests.vllm import tiny_model
from tests.vllm.node import VllmNode

PAGES = Path(__file__).resolve().parents[2] / "docs"
TOKENS = 400
PROMPTS = [
    "# Leak safety",
    "A node is",
    "The gateway",
    "SkyPilot's API server",
    "`make up` brings",
    "What a cloud",
    "| key | meaning |",
    "A stack file",
]


class Checks:
    """The gateway, two nodes and what was found out."""

    def __init__(self, world: World, nodes: list[VllmNode]) -> None:
        self.world, self.nodes = world, nodes
        self.failed = 0

    def say(self, name: str, good: bool, **more: Any) -> None:
        """Prints what a check has found."""
        self.failed += not good
        print(json.dumps({"check": name, "ok": good, **more}), flush=True)

    def all_healthy(self) -> bool:
        """Whether the gateway would send requests to both nodes."""
        found = self.world.gateway.admin("GET", "/nodes").json()
        return all(node["state"] == "healthy" for node in found["data"])

    def post(self, path: str, body: dict[str, Any], **more: Any) -> httpx.Response:
        """One request through the gateway."""
        url = f"{self.world.gateway.url}/v1/{path}"
        return httpx.post(
            url, json={"model": MODEL, **body}, headers=self.world.headers, timeout=120.0, **more
        )

    def stream(
        self, path: str, body: dict[str, Any], at: Callable[[int], None] = lambda seen: None
    ) -> dict[str, Any]:
        """One stream through the gateway: its text, its usage, and how it ended."""
        url = f"{self.world.gateway.url}/v1/{path}"
        found: dict[str, Any] = {
            "text": "",
            "usage": None,
            "ids": set(),
            "finish": None,
            "error": None,
            "done": False,
        }
        asked = {
            "model": MODEL,
            "stream": True,
            "temperature": 0,
            "max_tokens": TOKENS,
            "ignore_eos": True,
            **body,
        }
        seen = 0
        with httpx.stream("POST", url, json=asked, headers=self.world.headers, timeout=120.0) as answer:
            found["status"] = answer.status_code
            for line in answer.iter_lines():
                if not line.startswith("data: "):
                    continue
                if line == "data: [DONE]":
                    found["done"] = True
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    found["error"] = event["error"]
                    continue
                found["ids"].add(event["id"])
                found["usage"] = event.get("usage") or found["usage"]
                for choice in event["choices"]:
                    text = choice["delta"].get("content") if "delta" in choice else choice.get("text")
                    found["text"] += text or ""
                    found["finish"] = choice.get("finish_reason") or found["finish"]
                    seen += bool(text)
                    at(seen)
        return found


def both(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    """A prompt as a chat and as a completion, with usage."""
    usage = {"stream_options": {"include_usage": True}}
    chat = {"messages": [{"role": "user", "content": "Go on."}, {"role": "user", "content": prompt}], **usage}
    return [("chat/completions", chat), ("completions", {"prompt": prompt, **usage})]


def whole_streams(checks: Checks) -> dict[tuple[str, str], dict[str, Any]]:
    """What every stream is without any fault."""
    found = {}
    for prompt in PROMPTS:
        for path, body in both(prompt):
            got = found[path, prompt] = checks.stream(path, body)
            good = got["done"] and not got["error"] and got["usage"]["completion_tokens"] == TOKENS
            checks.say(
                f"whole {path}",
                good,
                prompt=prompt,
                text=got["text"][:60],
                usage=got["usage"],
                error=got["error"],
            )
    return found


def faulty_streams(
    checks: Checks, whole: dict[tuple[str, str], dict[str, Any]], name: str, fault: Callable[[], None]
) -> None:
    """All streams at once; in the middle of them something happens to a node. None may break or differ."""
    happened = threading.Event()
    started = [0] * (2 * len(PROMPTS))

    def watched(number: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
        def at(seen: int) -> None:
            started[number] = seen
            if not happened.is_set() and min(started) >= TOKENS // 8:
                happened.set()
                fault()

        return checks.stream(path, body, at)

    asked = [(path, prompt, body) for prompt in PROMPTS for path, body in both(prompt)]
    with ThreadPoolExecutor(len(asked)) as pool:
        runs = [pool.submit(watched, number, path, body) for number, (path, _, body) in enumerate(asked)]
        found = [run.result() for run in runs]
    broken = same = ids = counted = 0
    differences = []
    for (path, prompt, _), got in zip(asked, found, strict=True):
        clean = whole[path, prompt]
        broken += not got["done"] or got["error"] is not None
        same += got["text"] == clean["text"]
        ids += len(got["ids"]) == 1
        counted += bool(got["usage"]) and got["usage"]["completion_tokens"] == TOKENS
        if got["text"] != clean["text"] or got["error"]:
            at = next(
                (i for i, (a, b) in enumerate(zip(got["text"], clean["text"], strict=False)) if a != b), -1
            )
            place = slice(max(0, at - 30), at + 30)
            differences.append(
                {
                    "path": path,
                    "prompt": prompt,
                    "at": at,
                    "got": got["text"][place],
                    "whole": clean["text"][place],
                    "error": got["error"],
                    "usage": got["usage"],
                }
            )
    resumed = {k: v for k, v in checks.world.gateway.metrics().items() if "resum" in k or "broken" in k}
    checks.say(
        name,
        happened.is_set() and broken == 0,
        streams=len(asked),
        broken=broken,
        same_text=same,
        one_id=ids,
        usage_exact=counted,
        metrics=resumed,
    )
    for difference in differences[:4]:
        print(json.dumps({"differs": difference}), flush=True)


def small_checks(checks: Checks) -> None:
    """Keys, errors, usage, models, a client that goes."""
    node = checks.nodes[0]
    bare = httpx.post(f"{node.url}/v1/completions", json={"model": MODEL, "prompt": "a"}, timeout=30.0)
    checks.say("a node answers nobody without its key", bare.status_code == 401, status=bare.status_code)
    body = {"prompt": "A node is", "max_tokens": 5, "temperature": 0}
    plain = checks.post("completions", body).json()
    checks.say("plain", plain.get("usage", {}).get("completion_tokens") == 5, answer=plain)
    too_long = checks.post("completions", {"prompt": "a b " * 4000, "max_tokens": 5})
    checks.say(
        "too long a prompt is the client's mistake", too_long.status_code == 400, text=too_long.text[:200]
    )
    unknown = checks.post("completions", {"model": "other", "prompt": "a"})
    checks.say("unknown model", unknown.status_code == 404, text=unknown.text[:200])
    without = checks.stream("completions", {"prompt": "A node is", "max_tokens": 20})
    checks.say("no usage for whom did not ask", without["usage"] is None and without["done"])
    models = httpx.get(f"{checks.world.gateway.url}/v1/models", headers=checks.world.headers, timeout=30.0)
    checks.say("models", [each["id"] for each in models.json()["data"]] == [MODEL])
    url = f"{checks.world.gateway.url}/v1/completions"
    asked = {"model": MODEL, "prompt": "The gateway", "max_tokens": 900, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", url, json=asked, headers=checks.world.headers, timeout=60.0) as answer:
        next(answer.iter_lines())
        until(lambda: sum(each.running() for each in checks.nodes) == 1, "vLLM counts it", 20.0)
    begun = time.monotonic()
    until(lambda: not sum(each.running() for each in checks.nodes), "vLLM has stopped", 20.0)
    checks.say("a client that goes ends it at the node", True, seconds=round(time.monotonic() - begun, 2))


def ledger(checks: Checks, streams: int) -> None:
    """Every stream is there once, billed with what its client has got, however many nodes it took."""
    rows = checks.world.gateway.settled_ledger(streams)
    whole = [row for row in rows if row["completion"] == TOKENS]
    moved = [row for row in whole if row["hops"]]
    checks.say(
        "ledger", len(whole) == streams, rows=len(rows), whole=len(whole), moved=len(moved), one=moved[-1:]
    )


def main(folder: Path) -> int:
    """Runs everything in a folder; its logs stay there."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    tiny_model.make(folder / "model", PAGES)
    print(json.dumps({"trained_s": round(time.monotonic() - begun, 1)}), flush=True)
    env = {"GATEWAY_STALL_S": "4", "GATEWAY_FIRST_BYTE_S": "20"}
    world = World(folder, env)
    nodes = [VllmNode(folder, name, folder / "model") for name in ("a", "b")]
    try:
        for node in nodes:
            node.begin()
        for node in nodes:
            node.start()
        print(json.dumps({"served_s": round(time.monotonic() - begun, 1)}), flush=True)
        world.nodes += nodes
        world.start()
        checks = Checks(world, nodes)
        small_checks(checks)
        whole = whole_streams(checks)
        faulty_streams(checks, whole, "no fault, all at once", lambda: None)
        faulty_streams(checks, whole, "a node stalls", nodes[0].stall)
        nodes[0].go_on()
        until(checks.all_healthy, "the stalled node is back", 120.0)
        faulty_streams(checks, whole, "a node is killed", nodes[1].kill)
        ledger(checks, 4 * len(whole))
        return 1 if checks.failed else 0
    finally:
        world.gateway.stop()
        for node in nodes:
            if node.process is not None:
                node.process.kill()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
