"""Nothing of a cloud's SDK is imported before a cluster of that cloud is declared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
CODE = """
import importlib, pkgutil, sys
import components
for found in pkgutil.walk_packages(components.__path__, "components."):
    room = found.name.split(".")[1]
    if room in ("eks", "gke", "aks", "kubernetes_pools") or room.endswith("_gpu_cluster"):
        importlib.import_module(found.name)
from components.gpu_stack import GpuStack
from components.kubernetes_clusters import broken_rules
from stack_config import load
pools = {"small": {"gpu": "L4", "max": 4}}
text = {"region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"], "pools": pools}
assert broken_rules(load({"stackId": "teststck", "eksClusters": {"a": text}}, "dev")) == []
sdks = ("pulumi_aws", "pulumi_gcp", "pulumi_azure_native", "pulumi_kubernetes")
print([name for name in sys.modules if name.startswith(sdks)])
"""


def test_modules_rules_and_prices_import_no_sdk():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
