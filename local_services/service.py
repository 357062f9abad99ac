"""One service of this machine: found or started, looked at, ended.

The promise: after a kill at any point, `ensure` gives exactly one service and `stop` none. What holds it is
the supervisor's lock, which the starting process takes itself and hands over: from before the start until the
last process has ended there is no moment in which a service could be taken for absent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_clouds.clock import Clock, SystemClock
from gpu_clouds.errors import CancelledError, ConflictError, DeadlineError, GpuCloudError, ValidationError
from local_services.health import answers
from local_services.log import size
from local_services.ports import is_free, told_holder
from local_services.prepare import prepare, write_files
from local_services.processes import (
    ProcessId,
    children_of,
    command_of,
    end_all,
    is_marked,
    marked,
    members_of,
)
from local_services.record import Folder, Phase, closing, new_record
from local_services.spawn import reap, spawn
from local_services.spec import MARK, ServiceSpec
from local_services.supervisor import STOP
from local_services.trouble import died, end_of_log

START_S = 60.0
"""How long a supervisor may take to start the command; a loaded machine needs seconds."""
PORTS_FREE_S = 5.0
TREE_S = 2.0
SETTLED_S = 1.0
"""A service without a health check is up when it has lived for so long."""
OVER_S = 15.0
"""So much longer than its grace a supervisor may take to end before it is killed itself."""
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs.

    Attributes:
        pid: Of its first process.
        started_at: When it started, ISO 8601.
        adopted: It ran already.
    """

    pid: int
    started_at: str
    adopted: bool = False


class Service:
    """One service.

    Args:
        name: Its name in messages.
        folder: Its folder; nothing else may be in it.
        tell: Takes a line of progress.
        cancel: Set when the user asks to stop.
        may_start: Called right before a start; does not return when nothing may be started any more.
        clock: Tells the time.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        tell: Callable[[str], None] = lambda text: None,
        cancel: threading.Event | None = None,
        may_start: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self._name = name
        self._folder = Folder(folder)
        self._tell = tell
        self._cancel = cancel or threading.Event()
        self._may_start = may_start
        self._clock: Clock = clock or SystemClock()

    # -- looking

    def running(self) -> Running | None:
        """The service as it runs now; None if it does not. Says nothing of its health."""
        record = self._folder.read()
        if record is None or record.phase is not Phase.RUNNING or not self._folder.supervised():
            return None
        if record.main is None or not record.main.lives():
            return None
        return Running(record.main.pid, record.started_at, adopted=True)

    def healthy(self, spec: ServiceSpec, tries: int = 3) -> bool:
        """Whether it answers; asked again a second later before that is denied."""
        for rest in reversed(range(tries)):
            if answers(spec):
                return True
            if rest:
                self._clock.sleep(1.0, self._cancel)
        return False

    def exists(self) -> bool:
        """Whether any process of it lives, also one that its supervisor has lost."""
        return self._folder.supervised() or bool(self._left())

    # -- starting

    def ensure(self, spec: ServiceSpec, *, restart: bool = False) -> Running:
        """Finds or starts the service and returns when it answers.

        Args:
            spec: What it is to be; one that runs and was started from another spec is ended first.
            restart: End it first in any case.

        Raises:
            ConflictError: A port is taken.
            ValidationError: The command can't be started, or its preparation failed.
            DeadlineError: It does not answer in time; it has been ended.
            CancelledError: The user asked to stop; it has been ended.
        """
        with self._operation():
            record = self._folder.read()
            same = record is not None and record.fingerprint == spec.fingerprint(record.salt)
            if same and not restart and (found := self._adopt(spec)):
                return found
            self._stop(spec)
            begin = self._start(spec)
            try:
                return self._wait(spec, begin, adopted=False)
            except GpuCloudError as error:
                self._clean_up(spec, error)
                raise

    def _adopt(self, spec: ServiceSpec) -> Running | None:
        """The service that runs already, as soon as it answers; None when it has to be started anew."""
        if not self._folder.supervised():
            return None
        self._tell(f"[{self._name}] runs already: taking it over")
        try:
            return self._wait(spec, 0, adopted=True)
        except CancelledError:
            raise
        except GpuCloudError as error:
            self._tell(f"[{self._name}] {error.message.splitlines()[0]}: starting it anew")
            return None

    def _start(self, spec: ServiceSpec) -> int:
        """Starts it; returns where its part of the log begins."""
        folder = self._folder
        filled = spec.filled(folder.path)
        if filled.prepare:
            told = prepare(self._name, filled, folder.path, self._cancel, self._clock, self._tell)
            filled = spec.filled(folder.path, told)
        self._need_ports(spec)
        before = folder.read()
        record = new_record()
        record = replace(
            record,
            fingerprint=spec.fingerprint(record.salt),
            home=spec.home,
            keep_home=spec.keep_home,
            files=tuple(sorted(spec.files)),
        )
        write_files(filled, folder.path, before.files if before else ())
        log = filled.log_in(folder.path)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch(mode=0o600)
        begin = size(log)
        request = {
            "command": filled.command,
            "cwd": filled.cwd,
            "env": filled.environment(folder.path, record.token),
            "log": str(log),
            "logMaxBytes": int(filled.log_max_mb * 1024 * 1024),
            "graceS": filled.stop_grace_s,
        }
        if self._cancel.is_set():
            raise CancelledError(f"[{self._name}] cancelled before it was started")
        with closing(folder.claim()) as alive:
            folder.forget_stop()
            folder.write(record)
            self._may_start()
            spawn(folder.path, alive, request)
        return begin

    def _need_ports(self, spec: ServiceSpec) -> None:
        for port in spec.all_ports():
            if not is_free(port):
                raise ConflictError(
                    f"[{self._name}] {told_holder(port)}: end that, or choose another port for this service"
                )

    def _wait(self, spec: ServiceSpec, begin: int, *, adopted: bool) -> Running:
        """Waits until it answers."""
        clock, since = self._clock, self._clock.monotonic()
        phase = Phase.STARTING
        self._tell(f"[{self._name}] waiting until it answers")
        while True:
            record, lives = self._folder.read(), self._folder.supervised()
            if not lives or record is None or record.phase in (Phase.ENDING, Phase.ENDED):
                raise died(self._name, record, spec, self._folder.path, begin)
            if record.phase is not phase:
                phase, since = record.phase, clock.monotonic()
            passed = clock.monotonic() - since
            if phase is Phase.STARTING:
                if passed > START_S:
                    raise DeadlineError(f"[{self._name}] its supervisor did not start within {START_S:g} s")
            elif (spec.health_url or spec.health_port or passed >= SETTLED_S) and answers(spec):
                self._wait_for_tree()
                return Running(record.main.pid if record.main else 0, record.started_at, adopted)
            elif passed > max(spec.health_timeout_s, SETTLED_S):
                told = end_of_log(spec, self._folder.path, begin)
                raise DeadlineError(
                    f"[{self._name}] did not answer {spec.asked} within {spec.health_timeout_s:g} s{told}"
                )
            clock.sleep(min(LOOK_EVERY_S * (1 + passed), 1.0), self._cancel)

    def _wait_for_tree(self) -> None:
        """A service is up when every process of it is written down: a killed supervisor is survived then."""
        until = self._clock.monotonic() + TREE_S
        while (record := self._folder.read()) and record.supervisor and self._clock.monotonic() < until:
            if set(children_of(record.supervisor.pid)) <= set(record.tree):
                return
            self._clock.sleep(LOOK_EVERY_S, self._cancel)

    def _clean_up(self, spec: ServiceSpec, error: GpuCloudError) -> None:
        """Ends what did not come up, also after a cancel: that only stops waits. No key stays on disk."""
        waits = Service(self._name, self._folder.path, tell=self._tell, clock=self._clock)
        try:
            waits._stop(replace(spec, stop_grace_s=min(spec.stop_grace_s, 5.0)))
            write_files(replace(spec, files={}), self._folder.path, spec.files)
        except GpuCloudError as left:
            error.message += f"\n  {left.message}"
            error.args = (error.message,)

    # -- ending

    def stop(self, spec: ServiceSpec) -> None:
        """Ends every process of the service and returns when none is left and its ports are free.

        Args:
            spec: Its grace and its ports count.

        Raises:
            DeadlineError: A process can't be ended.
            ConflictError: Somebody holds a port of it still.
            CancelledError: The user asked to stop; the supervisor goes on ending it.
        """
        with self._operation():
            self._stop(spec)

    def remove(self, spec: ServiceSpec | None = None) -> None:
        """As `stop`, then removes its folder; a log file elsewhere stays.

        Args:
            spec: Its grace, its ports and whether its home stays; None for what its record tells.
        """
        if not self._folder.path.is_dir():
            return
        with self._operation():
            record = self._folder.read()
            if spec is None:
                home, keep = (record.home, record.keep_home) if record else ("", False)
                spec = ServiceSpec(command=("",), home=home, keep_home=keep)
            self._stop(spec)
            write_files(replace(spec, files={}), self._folder.path, record.files if record else ())
            self._folder.remove(keep=spec.home_in(self._folder.path) if spec.keep_home else None)

    def _stop(self, spec: ServiceSpec) -> None:
        if not self.exists():
            return
        folder, clock = self._folder, self._clock
        self._tell(f"[{self._name}] ending it")
        if folder.supervised():
            folder.ask_to_stop(spec.stop_grace_s)
            until, told = clock.monotonic() + spec.stop_grace_s + OVER_S, False
            while folder.supervised() and clock.monotonic() < until:
                record = folder.read()
                # It may be so young that it has not said who it is.
                if not told and record is not None and record.supervisor is not None:
                    told = True
                    record.supervisor.send(STOP)
                clock.sleep(LOOK_EVERY_S, self._cancel)
        left = end_all(self._left, spec.stop_grace_s, clock.monotonic, self._pause)
        if left or folder.supervised():
            who = ", ".join(f"{process.pid} ({command_of(process.pid)})" for process in left[:5])
            raise DeadlineError(
                f"[{self._name}] can't be ended: process {who or 'of its supervisor'} lives on"
            )
        self._ports_given_back(spec)

    def _ports_given_back(self, spec: ServiceSpec) -> None:
        until = self._clock.monotonic() + PORTS_FREE_S
        while taken := [port for port in spec.all_ports() if not is_free(port)]:
            if self._clock.monotonic() > until:
                raise ConflictError(
                    f"[{self._name}] has ended, but {told_holder(taken[0])}: end that, then try again"
                )
            self._pause(LOOK_EVERY_S)

    def _left(self) -> list[ProcessId]:
        """Every process of the service that lives, the supervisor included."""
        record = self._folder.read()
        if record is None:
            return []
        held = [record.supervisor] if record.supervisor else []
        found = [process for process in (*held, record.main, *record.tree) if process and process.lives()]
        found += marked(MARK, record.token)
        for process in held:
            # A process that can be read and lacks the mark has its session from somebody else.
            found += [
                each for each in members_of(process) if is_marked(each, MARK, record.token) is not False
            ]
        for process in tuple(found):
            found += children_of(process.pid)
        return list(dict.fromkeys(found))

    def _pause(self, seconds: float) -> None:
        reap()
        self._clock.sleep(seconds, self._cancel)

    # -- one operation at a time

    @contextmanager
    def _operation(self) -> Iterator[None]:
        told = False
        while (fd := self._folder.try_operation()) is None:
            if not told:
                told = True
                self._tell(f"[{self._name}] another run is starting or ending it: waiting")
            self._clock.sleep(0.2, self._cancel)
        with closing(fd):
            try:
                yield
            except OSError as error:
                place = error.filename or self._folder.path
                raise ValidationError(f"[{self._name}] {place}: {error.strerror or error}") from error
