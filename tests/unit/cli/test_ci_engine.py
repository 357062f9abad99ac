"""A cancelled job's signals reach the engine, whoever they were sent to."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = """\
#!{python} -S
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("engine", sys.argv[1:], os.environ.get("PULUMI_EXPERIMENTAL"), flush=True)
for _ in range({needed}):
    signal.sigwait([signal.SIGINT])
    print("asked", flush=True)
sys.exit(9)
"""
CALL = """\
import sys
from pathlib import Path
from cli.ci_engine import run_up
from cli.errors import Ended
from cli.pulumi_cli import Pulumi
try:
    run_up(Pulumi(Path(sys.argv[1]), {"PATH": sys.argv[1]}, "prod"), Path("p.json"))
except Ended as end:
    sys.exit(end.code)
"""
ROOT = Path(__file__).resolve().parents[3]
COMMAND = ["up", "--yes", "--non-interactive", "--suppress-outputs", "--stack", "prod", "--plan", "p.json"]


@pytest.mark.parametrize("sent", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_a_request_to_end_becomes_a_ctrl_c_of_the_engine(tmp_path: Path, sent: list[signal.Signals]) -> None:
    engine = tmp_path / "pulumi"
    engine.write_text(ENGINE.format(python=sys.executable, needed=len(sent)))
    engine.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", CALL, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"engine {COMMAND} 1\n"
        for number in sent:
            process.send_signal(number)
            assert process.stdout.readline() == "asked\n"
    assert process.returncode == 9
