"""What a preview with one cloud's component costs in the program's process, beside that cloud's SDK itself.

Each measurement is a process of its own; the least of several counts, because other load only ever adds.

- `sdk` imports pulumi and those modules of the SDKs that the component uses, and nothing of ours.
- `program` reads the example stack file, checks it and declares its cluster: those imports and all our code.
- `whole` is the same process at its end, when Pulumi's SDK has registered what was declared, here with its
  mocks. What that takes is the SDK's affair and grows with the resources: any program pays it.

    python -m benchmarks.preview_imports --cloud eks --runs 5

Prints them, and a line of JSON for each cloud. Ends with 1 if program and sdk are further apart than the
limit, or if a process imported the SDK of another cloud.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 0.5
"""What a component may cost beside its SDK, seconds of CPU."""

MODULES = {
    "eks": ("pulumi_aws", "pulumi_kubernetes"),
    "gke": ("pulumi_gcp", "pulumi_kubernetes"),
    "aks": ("pulumi_azure_native", "pulumi_kubernetes"),
}
"""Cloud -> SDKs that its component may import."""

_CHILD = r"""
import asyncio, importlib, json, sys, time
mode, cloud, modules = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
import pulumi
import pulumi.runtime

spent = []

def declare():
    class Mocks(pulumi.runtime.Mocks):
        def new_resource(self, args):
            return args.name + "-id", {}  # in a preview the rest is unknown

        def call(self, args):
            return {}, []

    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(Mocks(), project="gpuplane", stack="bench", preview=True)

    @pulumi.runtime.test
    def run():
        from components.kubernetes_clusters import KubernetesClusters
        from stack_config import load, read_stack_file
        from pathlib import Path
        values = read_stack_file(Path(f"Pulumi.{cloud}.yaml"))
        KubernetesClusters(load({**values, "stackId": "benchmrk"}, cloud)).declare()
        spent.append(time.process_time())

    run()

if mode == "sdk":
    for module in modules:
        importlib.import_module(module)
else:
    declare()
whole = time.process_time()
sdks = ("pulumi_aws", "pulumi_gcp", "pulumi_azure_native", "pulumi_kubernetes")
loaded = [name for name in sys.modules if name.split(".")[0] in sdks]
print(json.dumps({"cpu": spent[0] if spent else whole, "whole": whole, "loaded": loaded}))
"""


def _child(mode: str, cloud: str, modules: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, mode, cloud, json.dumps(modules)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:] or done.stdout[-2000:])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(cloud: str, runs: int) -> dict[str, Any]:
    """Seconds of CPU of both, for one cloud.

    Args:
        cloud: `eks`, `gke` or `aks`.
        runs: How many processes of each.
    """
    modules = _child("program", cloud, [])["loaded"]  # also writes the compiled ones: no run is the first
    _child("sdk", cloud, modules)
    sdk = min(_child("sdk", cloud, modules)["cpu"] for _ in range(runs))
    programs = [_child("program", cloud, []) for _ in range(runs)]
    program = min(run["cpu"] for run in programs)
    imported = {name.split(".")[0] for run in programs for name in run["loaded"]}
    return {
        "cloud": cloud,
        "sdk_cpu_s": round(sdk, 3),
        "program_cpu_s": round(program, 3),
        "whole_cpu_s": round(min(run["whole"] for run in programs), 3),
        "added_cpu_s": round(program - sdk, 3),
        "limit_s": LIMIT_S,
        "sdk_modules": len(modules),
        "foreign_sdks": sorted(imported - set(MODULES[cloud])),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cloud", choices=sorted(MODULES), action="append", help="all if left out")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    worst = 0
    for cloud in arguments.cloud or sorted(MODULES):
        found = measure(cloud, arguments.runs)
        print(
            f"{cloud}: SDK {found['sdk_cpu_s']:.2f} s, program {found['program_cpu_s']:.2f} s of CPU; "
            f"the component adds {found['added_cpu_s']:.2f} s (limit {LIMIT_S:g}); "
            f"{found['whole_cpu_s']:.2f} s once everything is registered"
        )
        print(json.dumps(found))
        if found["added_cpu_s"] > LIMIT_S or found["foreign_sdks"]:
            worst = 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
