"""Records every call of the SkyPilot API against the real server: `python -m tests.peers.record`.

The client's contract tests read the recordings. It uses no code of the client, so that the two can't be
wrong in the same way. It takes about three minutes.
"""

from __future__ import annotations

import argparse
import platform
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from engine.skypilot_server import server_python
from tests.peers import together
from tests.peers.machine import ROOT
from tests.peers.processes import PeerError, let_go
from tests.peers.recorded_calls import QUICK, record_auth, record_endings, record_life
from tests.peers.recorder import Recorder
from tests.peers.scrub import Scrubber
from tests.peers.skypilot_server import Auth, SkyPilotServer, home_of
from tests.peers.slurm import Slurm

FOLDER = Path(__file__).resolve().parents[1] / "contract_client" / "recordings" / "skypilot"


def scrubber_for(*servers: SkyPilotServer) -> Scrubber:
    """A scrubber that knows this machine."""
    known = {str(server.folder): "/srv/skypilot" for server in servers}
    known.update({str(ROOT): "/srv/peers", platform.node(): "machine", str(Path.home()): "/srv/home"})
    if len(platform.node()) < 4:
        del known[platform.node()]
    known.update({str(server.port): "46580" for server in servers})
    known.update({str(server_python().parents[1]): "/srv/python"})
    return Scrubber(known)


def main(arguments: list[str]) -> int:
    """Records everything, or the groups that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.record", description=__doc__.splitlines()[0])
    parser.add_argument("--yes", action="store_true", help="allow the peers' changes to this machine")
    parser.add_argument("--only", choices=["quick", "life", "endings", "auth"], help="record a part only")
    options = parser.parse_args(arguments)
    try:
        slurm = together.slurm_up(yes=options.yes)
        let_go()
        # New servers, so that nothing but the recorded calls is in what they answer.
        if options.only != "auth":
            with (
                _server(SkyPilotServer(home_of("record", ROOT), slurm.client_config), slurm) as server,
                closing(Recorder(server.url, scrubber_for(server), FOLDER)) as recorder,
            ):
                if options.only in (None, "quick"):
                    for part in QUICK:
                        part(recorder)
                if options.only in (None, "life"):
                    record_life(recorder, slurm)
                if options.only in (None, "endings"):
                    record_endings(recorder, slurm)
                recorder.begin("")
        if options.only in (None, "auth"):
            auth = Auth("admin", secrets.token_urlsafe(12))
            with _server(SkyPilotServer(home_of("record", ROOT), auth=auth), slurm) as server:
                scrubber = scrubber_for(server)
                scrubber.hide(auth.password, "password")
                forwarded = {"X-Forwarded-For": "192.0.2.1"}
                with closing(Recorder(server.url, scrubber, FOLDER, forwarded)) as recorder:
                    record_auth(recorder, auth)
                    recorder.begin("")
    except PeerError as error:
        print(f"record: {error}", file=sys.stderr)
        return 1
    print(f"recorded in {FOLDER}; the cluster still runs (`python -m tests.peers down` stops it)")
    return 0


@contextmanager
def _server(server: SkyPilotServer, slurm: Slurm) -> Iterator[SkyPilotServer]:
    server.remove()
    server.up()
    try:
        yield server
    finally:
        slurm.cancel(*(name for name in slurm.jobs().values() if server.owns(name)))
        server.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
