"""The toy provider: every call is logged as one JSON line, and `mode` says what it does."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pulumi
import pulumi.dynamic as dynamic

from dynamic_providers.host import fence
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.results import DetailedDiff, PartialState
from gpu_clouds.errors import CapacityError


def log(event: str, **fields: Any) -> None:
    """Append one line to the log of this test."""
    call = current_call()
    line = {
        "event": event,
        "urn": call.urn,
        "preview": call.preview,
        "timeout_s": call.timeout_s,
        "hosted": call.hosted,
        "operation": call.operation,
        "cancelled": call.cancel.is_set(),
        "pid": os.getpid(),
        "stack": pulumi.get_stack(),
        "project": pulumi.get_project(),
        "at": time.monotonic(),
        **fields,
    }
    with Path(os.environ["TOY_LOG"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


class ToyProvider(dynamic.ResourceProvider):
    """Does what `mode` says."""

    serialize_as_secret_always = False
    secret_outputs = frozenset({"password"})

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        log("configure", key=req.config.get("toyKey"))

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        failures = []
        if news.get("mode") == "bad-input":
            failures.append(dynamic.CheckFailure("spec.gpu", "unknown GPU 'H1000'; nearest: H100"))
        return dynamic.CheckResult(news, failures)

    def create_preview(self, props: dict[str, Any]) -> dict[str, Any]:
        log("create_preview")
        return {"price": 2.49}

    def update_preview(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        log("update_preview")
        return {"price": olds["price"]}

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        log("create")
        self._act(props)
        log("created")
        return dynamic.CreateResult(f"id-{props['name']}", self._outs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        log("update", id=_id)
        if _news.get("mode") == "partial-update":
            raise PartialState(_id, self._outs(_news), "updated by half")
        return dynamic.UpdateResult(self._outs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        log("read", id=id_, props=sorted(props))
        if id_ == "id-gone":
            return dynamic.ReadResult("", {})
        if not props:
            props = {"name": id_.removeprefix("id-"), "mode": "ok"}
            return dynamic.ReadResult(id_, self._outs(props), props)
        if props.get("mode") == "partial-read":
            raise PartialState(id_, self._outs(props), "not healthy any more")
        return dynamic.ReadResult(id_, props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        old = {key: _olds.get(key) for key in ("name", "mode", "spec")}
        new = {key: _news.get(key) for key in ("name", "mode", "spec")}
        detailed = {}
        if old["mode"] != new["mode"]:
            detailed["mode"] = "update"
        for key in ("gpu", "disk"):
            if (old["spec"] or {}).get(key) != (new["spec"] or {}).get(key):
                detailed[f"spec.{key}"] = "update_replace" if key == "gpu" else "update"
        return DetailedDiff(detailed, stables=["address"], delete_before_replace=True)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        log("delete", id=_id)

    def _outs(self, props: dict[str, Any]) -> dict[str, Any]:
        token = (props.get("env") or {}).get("TOKEN", "")
        return {
            **{key: value for key, value in props.items() if key != "__provider"},
            "price": 3.0,
            "address": "192.0.2.1",
            "saw_timeout": current_call().timeout_s,
            "password": "generated-password",
            "links": [{"url": f"http://192.0.2.1/?token={token}"}] if token else [],
        }

    def _act(self, props: dict[str, Any]) -> None:
        mode = props["mode"]
        call = current_call()
        if mode == "slow":
            time.sleep(props["seconds"])
        elif mode == "user-error":
            raise CapacityError("no H100 is free in any region of this node class; add a candidate")
        elif mode == "bug":
            raise KeyError("spec")
        elif mode == "leaky-bug":
            raise RuntimeError(f"401 for key {props['env']['TOKEN']}")
        elif mode == "exit":
            sys.exit(3)
        elif mode == "chatty":
            print("printed to stdout")
            sys.stderr.write("written to stderr\n")
            os.system("echo from a child process")
            pulumi.log.info("logged")
            progress("phase one")
            progress(f"kept for {call.name}", keep=True)
        elif mode == "partial":
            outs = {**self._outs(props), "big": "x" * int(props.get("size", 0))}
            raise PartialState("id-half", outs, ["launched but not ready", "GET /health: refused"])
        elif mode == "wait-for-cancel":
            if not call.cancel.wait(60):
                raise RuntimeError("never cancelled")
            log("cleaned up")
            raise RuntimeError("cancelled: what was launched is deleted")
        elif mode == "leaky-print":
            print(f"using {props['env']['TOKEN']} now")
            progress(f"using {props['key']} now")
        elif mode == "leaky-partial":
            raise PartialState("id-leaky", self._outs(props), f"refused for {props['env']['TOKEN']}")
        elif mode == "write-in-a-tight-loop":
            while True:
                fence.check()
                log("written")
                time.sleep(0.001)
        elif mode == "print-for-ever":
            while True:
                print("still here", flush=True)
                log("tick")
                time.sleep(0.05)


class Toy(dynamic.Resource, module="toy", name="Toy"):
    """The resource of the toy provider."""

    price: pulumi.Output[float]
    address: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **props: Any) -> None:
        outputs = dict.fromkeys(("price", "address", "saw_timeout", "password", "links", "big"))
        super().__init__(ToyProvider(), name, {"name": name, "mode": "ok", **props, **outputs}, opts)
