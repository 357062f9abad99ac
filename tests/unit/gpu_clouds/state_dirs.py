"""State folders for connections whose test does not look at them; gone when the tests have ended."""

import atexit
import shutil
import tempfile
from pathlib import Path

_ALL = Path(tempfile.mkdtemp(prefix="gpuplane-test-"))
atexit.register(shutil.rmtree, _ALL, ignore_errors=True)


def new_state_dir() -> Path:
    return Path(tempfile.mkdtemp(dir=_ALL))
