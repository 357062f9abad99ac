"""No SDK is imported before a database or a model server is declared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
CODE = """
import importlib, pkgutil, sys
import components.databases, components.model_serving
for package in (components.databases, components.model_serving):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
import components.model_server, components.postgres_service, components.redis_service
from components.stack_services import broken_rules
from stack_config import load
server = {"target": "kubernetes"}
assert broken_rules(load({"stackId": "teststck", "postgresServices": {"a": server}}, "dev")) == []
sdks = ("pulumi_aws", "pulumi_gcp", "pulumi_azure_native", "pulumi_kubernetes")
print([name for name in sys.modules if name.startswith(sdks)])
"""


def test_modules_and_rules_import_no_sdk() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
