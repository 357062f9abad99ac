from __future__ import annotations

import json
import subprocess
import sys

SHOW = """
import json, sys, time
import httpx, pydantic
before = time.process_time()
import gpu_clouds.skypilot.client
print(json.dumps({"seconds": time.process_time() - before, "modules": sorted(sys.modules)}))
"""


def test_the_client_is_cheap_to_import_and_brings_nobody_along() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(done.stdout)
    for heavy in ("sky", "pulumi", "grpc", "yaml", "requests", "fastapi", "h2", "asyncssh"):
        assert heavy not in found["modules"]
    # Measured 0.06 to 0.1 s of CPU next to what httpx and pydantic take; the room is for busy machines.
    assert found["seconds"] < 0.6
