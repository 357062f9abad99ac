"""A stack of the real program with its state in a PostgreSQL, and points at which its writes are held."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psutil

from tests.engine.harness import PROJECT, STACK, Stack, wait_until
from tests.engine.nodes.world import CANARY, Emulator, World, cluster
from tests.previews.postgres import PASSWORD, StateServer

_Answer = TypeVar("_Answer")

WAIT_S = 180.0
"""For anything that another process does, on a machine that may be busy."""

_HOLD = """
CREATE SEQUENCE writes;
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $hold$
DECLARE
  place text := CASE WHEN TG_OP = 'DELETE' THEN OLD.key ELSE NEW.key END;
BEGIN
  IF TG_OP = '{operation}' AND place LIKE '{key}' AND nextval('writes') = {number} THEN
    PERFORM pg_sleep(3600);
  END IF;
  RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $hold$;
CREATE TRIGGER hold BEFORE INSERT OR DELETE ON pulumi_state FOR EACH ROW EXECUTE FUNCTION hold();
"""


class Run:
    """A `gpuplane` that runs in the background; what it prints is checked for secrets at its end."""

    def __init__(self, stack: Stack, arguments: tuple[str, ...]) -> None:
        self._log = stack.root / f"output-{time.monotonic_ns()}.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *arguments, "--stack", STACK],
                cwd=stack.project,
                env=stack.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def until(self, look: Callable[[], _Answer | None], what: str) -> _Answer:
        """What `look` gives as soon as that is true; fails when the command ends before."""

        def once() -> _Answer | None:
            if found := look():
                return found
            assert self._process.poll() is None, f"ended before {what}:\n{self.output}"
            return None

        return wait_until(once, WAIT_S, what)

    def wait(self) -> tuple[int, str]:
        """Exit code and output, once it has ended."""
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end after {WAIT_S:.0f} s:\n{self.output}") from None
        output = self.output
        assert "Traceback" not in output, output
        assert PASSWORD not in output and CANARY not in output, output
        return self._process.returncode, output

    def close(self) -> None:
        """Ends it where a test has failed before its end; the engine ends by itself on the signal."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def expect(self, code: int) -> str:
        """The output of a run that ended with this exit code."""
        given, output = self.wait()
        assert given == code, output
        return output


class BackendWorld(World):
    """One test's account in the emulated cloud, and a stack with its state in a database of its own.

    Args:
        server: Keeps the state.
        emulator: The emulated cloud.
        number: Of the account.
        new_stack: Makes the stack's folder.
        nodes: How many nodes the stack declares.
    """

    def __init__(
        self,
        server: StateServer,
        emulator: Emulator,
        number: int,
        new_stack: Callable[..., Stack],
        nodes: int,
    ) -> None:
        # However long the test takes meanwhile.
        chat = cluster(nodes, provisionDeadlineS=86_400)
        super().__init__(emulator, number, new_stack, None, "ours", {"clusters": {"chat": chat}})
        self.server = server
        self._runs: list[Run] = []
        self.database = f"stack{number}"
        self.nodes = [f"chat-{each}" for each in range(nodes)]
        self.stack.env["PULUMI_BACKEND_URL"] = server.backend(self.database)
        self.stack.run("stack", "init", STACK).expect_ok()

    def gpuplane(self, *arguments: str) -> Run:
        """Starts a command on the stack."""
        self._runs.append(Run(self.stack, arguments))
        return self._runs[-1]

    def up(self) -> Run:
        """Starts an up."""
        return self.gpuplane("up", "--yes", "--skip-preview")

    def sql(self, statement: str) -> str:
        """What a statement in the database of the state prints."""
        return self.server.sql(statement, self.database)

    def hold(self, operation: str, key: str, number: int) -> None:
        """From now on the n-th write of this kind waits for ever.

        Args:
            operation: `INSERT`, also for what replaces, or `DELETE`.
            key: Of what is written, as a pattern of LIKE.
            number: Which of them, from 1.
        """
        self.sql(_HOLD.format(operation=operation, key=key, number=number))

    def wait_held(self, run: Run) -> None:
        """Waits until a write is held."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        run.until(
            lambda: self.server.sql(f"{query} AND datname = '{self.database}'") == "1", "a write is held"
        )

    def wait_booting(self, run: Run) -> None:
        """Waits until every node is launched."""
        run.until(lambda: len(self.pods()) == len(self.nodes), "all nodes are launched")

    def wait_engine(self, run: Run) -> int:
        """The process of an up's engine, once it has the lock; the look before it has it for a moment."""
        return run.until(
            lambda: next((int(lock["pid"]) for lock in self.locks() if is_up(int(lock["pid"]))), None),
            "the engine has the lock",
        )

    def close(self) -> None:
        """Ends what still runs."""
        for run in self._runs:
            run.close()

    def locks(self) -> list[dict[str, Any]]:
        """The locks as the engine wrote them."""
        rows = self.sql(
            "SELECT convert_from(decode(data->>'data', 'base64'), 'UTF8') FROM pulumi_state "
            "WHERE key LIKE '%/locks/%'"
        )
        return [json.loads(row) for row in rows.splitlines()]

    def nodes_written(self) -> int:
        """How many nodes the state in the database has."""
        return int(
            self.sql(
                "SELECT count(*) FROM pulumi_state, jsonb_array_elements(convert_from(decode("
                "data->>'data', 'base64'), 'UTF8')::jsonb->'checkpoint'->'latest'->'resources') resource "
                "WHERE key LIKE '%/stacks/gpuplane/test.json' AND resource->>'type' LIKE '%:GpuNode'"
            )
        )

    def plant_lock(self, pid: int, host: str) -> None:
        """A lock as an engine elsewhere would have written it."""
        content = {"pid": pid, "username": "me", "hostname": host, "timestamp": "2027-01-01T00:00:00Z"}
        key = f"{self.database}/.pulumi/locks/organization/{PROJECT}/{STACK}/planted.json"
        self.sql(
            f"INSERT INTO pulumi_state (key, data) VALUES ('{key}', jsonb_build_object('data', "
            f"encode(convert_to('{json.dumps(content)}', 'UTF8'), 'base64')))"
        )

    def state(self) -> dict[str, Any]:
        """The state in the database, secrets encrypted."""
        shown = self.stack.run("stack", "export", "--stack", STACK).expect_ok().output
        deployment: dict[str, Any] = json.loads(shown)["deployment"]
        return deployment

    def assert_state_is_the_cloud(self) -> None:
        """Each declared node exists once, no other does, and the state has exactly these; no lock is left."""
        found = self.by_node()
        assert {name: len(ids) for name, ids in found.items()} == dict.fromkeys(self.nodes, 1), found
        state = self.state()
        in_state = {
            resource["urn"].rpartition("::")[2]: resource["id"]
            for resource in state["resources"]
            if resource["type"].endswith(":GpuNode")
        }
        assert in_state == {name: ids[0] for name, ids in found.items()}
        assert not state.get("pending_operations")
        assert self.locks() == []

    def assert_no_secret_in_files(self) -> None:
        """The password of the backend is in none of the stack's files; nor is a key."""
        assert PASSWORD not in self.files()
        assert CANARY not in self.files()


def is_up(pid: int) -> bool:
    """Whether a process is an up of the engine."""
    try:
        return psutil.Process(pid).cmdline()[1:2] == ["up"]
    except psutil.Error:
        return False
