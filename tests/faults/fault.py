"""One fault, and everything that must hold after it.

A row of the matrix says what goes wrong and when, and what comes of it: the declared state, or one clear
error and nothing left behind. What has to hold for every row is here and not in the rows:

- the cloud holds exactly what a state would hold, nodes and what belongs to them, also long after;
- an error has one readable head line, carries no secret, and says what to do next;
- once the fault is over, one further run gives the declared state, and one end leaves nothing at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import httpx

from gpu_clouds.errors import CancelledError, GpuCloudError
from gpu_clouds.models import Candidate, Instance, InstanceState
from gpu_clouds.provisioning import Provisioned, ProvisioningError
from tests.faults.world import CANARY, FIRST, SECOND, STACK, Process, World

LONG_S = 3700.0
"""By then whatever was sent has had its effect, and the longest request limit of the matrix is over."""
_NEXT_STEP = re.compile(
    r"[Cc]heck (?:the|image|your)|run again|again later|add (?:candidates|credit)|raise (?:the|max)|"
    r"end (?:it|some)|settle (?:the|it)|is needed|may not do this|reasons follow|destroy ends it|"
    r"next up or destroy|remove 'graphql'|remove it|is deleted|Contact Support|Terminate all",
)
"""Words that tell a user what to do."""


@dataclass(frozen=True)
class Spoil:
    """An answer that is not the one that the cloud gave.

    Attributes:
        line: Pattern for the request: `GET /v2/pods`.
        by: The body that comes instead, or what is changed in its JSON.
        count: How many it hits; None for all.
        skip: How many it lets pass first.
        status: The status that comes instead; 0: the same.
    """

    line: str
    by: bytes | Callable[[Any], Any]
    count: int | None = 1
    skip: int = 0
    status: int = 0

    def answer(self, given: httpx.Response) -> httpx.Response:
        """What the client gets."""
        body = self.by if isinstance(self.by, bytes) else json.dumps(self.by(given.json())).encode()
        return httpx.Response(self.status or given.status_code, headers={"x-spoilt": "1"}, content=body)


class Spoiler:
    """Spoils the answers of one world.

    Args:
        spoils: How.
    """

    def __init__(self, spoils: Sequence[Spoil]) -> None:
        self._spoils = spoils
        self._seen = [0] * len(spoils)

    def __call__(self, line: str, given: httpx.Response) -> httpx.Response:
        for index, spoil in enumerate(self._spoils):
            if fnmatchcase(line, spoil.line) and given.is_success:
                self._seen[index] += 1
                number = self._seen[index] - spoil.skip
                if number > 0 and (spoil.count is None or number <= spoil.count):
                    return spoil.answer(given)
        return given


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row.

    Attributes:
        name: What goes wrong, in a few words.
        cloud: Where.
        faults: Faults of the emulator: `(kind, arguments)`; each hits once unless `count` says otherwise,
            0 for all.
        settings: Settings of the emulator.
        spoils: Answers that are broken on the way.
        account: Changes to our account.
        at: When it begins: before the node comes `up`, or before it is to `end`.
        ends: What comes of it: `first` or `second` candidate, `gone`, or the kind of the error.
        says: Texts that the error, or the notes, must have.
        silent: Texts that they must not have.
        kept: The error comes with a node that the state holds from then on.
        late: The error leaves a launch behind that nobody can know of; the next run has to find its node.
        within_s: How long it may take, emulated seconds.
        candidates: Instead of the cloud's usual two.
        request: Changes to the request.
        process: Options of every process, besides its clouds.
        meanwhile: What happens right before the n-th request of a kind is sent: pattern, n from 1, what.
        then: Looks at the world when the fault has done its work.
    """

    name: str
    cloud: str
    faults: Sequence[tuple[str, Mapping[str, Any]]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    spoils: Sequence[Spoil] = ()
    account: Mapping[str, Any] = field(default_factory=dict)
    at: str = "up"
    ends: str = "first"
    says: Sequence[str] = ()
    silent: Sequence[str] = ()
    kept: bool = False
    late: bool = False
    within_s: float = 3600.0
    candidates: Sequence[Candidate] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    process: Mapping[str, Any] = field(default_factory=dict)
    meanwhile: tuple[str, int, Callable[[World, Process], None]] | None = None
    then: Callable[[World], None] | None = None

    def __str__(self) -> str:
        return f"{self.cloud} {self.at}: {self.name}"

    @property
    def asked(self) -> Sequence[Candidate]:
        """The candidates."""
        return self.candidates or (FIRST[self.cloud], SECOND[self.cloud])

    @property
    def options(self) -> Mapping[str, Any]:
        """Of every process."""
        return {**self.process, "clouds": tuple(dict.fromkeys(one.cloud for one in self.asked))}


@dataclass
class Outcome:
    """What came of one step of a process."""

    done: Provisioned | None = None
    error: GpuCloudError | None = None

    @property
    def held(self) -> Instance | None:
        """The node that a state holds from then on."""
        if self.done is not None:
            return self.done.instance
        return self.error.kept if isinstance(self.error, ProvisioningError) else None


def run(fault: Fault, world: World) -> None:
    """Goes through one row."""
    if fault.at == "up":
        held = _up(fault, world)
        world.heal()
        held = _recover(fault, world, held)
    else:
        held = _recover(fault, world, None)
    _end(fault, world, held)


def _up(fault: Fault, world: World) -> Instance | None:
    _begin(fault, world)
    process = world.start(**fault.options)
    if fault.meanwhile is not None:
        world.net.before = _at(world, process, *fault.meanwhile)
    began = world.clock.time()
    outcome = Outcome()
    try:
        outcome.done = process.up(*fault.asked, **fault.request)
    except GpuCloudError as error:
        outcome.error = error
    world.net.before = lambda _line: None
    took = world.clock.time() - began
    process.close()
    said = _judge(fault, outcome.error, outcome.done)
    assert took <= fault.within_s, f"took {took:.0f} s"
    if outcome.done is not None:
        assert outcome.done.instance.state is InstanceState.READY
    else:
        assert isinstance(outcome.error, ProvisioningError | CancelledError) or _is_before_launch(
            outcome.error
        )
        assert (outcome.held is not None) == fault.kept, said
    if fault.then is not None:
        fault.then(world)
    if not fault.late:
        _holds(world, outcome.held)
        world.clock.sleep(LONG_S)
        _holds(world, outcome.held)
    return outcome.held


def _at(
    world: World, process: Process, line: str, nth: int, act: Callable[[World, Process], None]
) -> Callable[[str], None]:
    seen: list[str] = []

    def before(sent: str) -> None:
        if fnmatchcase(sent, line):
            seen.append(sent)
            if len(seen) == nth:
                act(world, process)

    return before


def _recover(fault: Fault, world: World, held: Instance | None) -> Instance:
    """The fault is over: the next run of the same program gives the declared node."""
    before = world.living()
    process = world.start(**fault.options)
    request = {**fault.request, "max_hourly_usd": None, "keep_on_failure": False}
    if held is None:
        done = process.up(*fault.asked, **request)
    else:
        done = process.resume(held.id, *fault.asked, **request)
    process.close()
    assert done.instance.state is InstanceState.READY
    _holds(world, done.instance)
    if fault.late:
        assert list(before) == [done.instance.id], f"{before} was there, and {done.instance.id} is taken"
    return done.instance


def _end(fault: Fault, world: World, held: Instance) -> None:
    """Ends the node and the stack; in the fault where that is what the row is about."""
    if fault.at == "end":
        _begin(fault, world)
        process = world.start(**fault.options)
        error: GpuCloudError | None = None
        began = world.clock.time()
        try:
            process.end(fault.cloud, held)
            process.end_all()
        except GpuCloudError as caught:
            error = caught
        process.close()
        _judge(fault, error, None)
        assert world.clock.time() - began <= fault.within_s, f"took {world.clock.time() - began:.0f} s"
        if error is None:
            assert (world.living(), world.belongings()) == ({}, {})
        else:
            where = fault.cloud in str(error).lower()
            assert held.id in str(error) or where, f"what may be left is not named: {error}"
        if fault.then is not None:
            fault.then(world)
        world.heal()
    process = world.start(**fault.options)
    process.end(fault.cloud, held)
    process.end_all()
    process.close()
    world.clock.sleep(LONG_S)
    assert world.living() == {}
    assert world.belongings() == {}
    assert world.state_dir.joinpath(STACK).is_dir(), "the intents have been elsewhere"


def _begin(fault: Fault, world: World) -> None:
    for kind, arguments in fault.faults:
        world.fault(fault.cloud, kind, **arguments)
    if fault.settings:
        world.change(fault.cloud, **fault.settings)
    if fault.account:
        world.account(fault.cloud, **fault.account)
    world.net.spoil = Spoiler(fault.spoils)
    world.lines.clear()


def _judge(fault: Fault, error: GpuCloudError | None, done: Provisioned | None) -> str:
    """Whether it ended as the row says, and what a user reads of it."""
    said = str(error) if error is not None else "\n".join(done.notes if done is not None else ())
    ended = error.kind if error is not None else "gone"
    if done is not None:
        ended = "second" if done.candidate == fault.asked[-1] and len(fault.asked) > 1 else "first"
    assert ended == fault.ends, f"ended in {ended}, not in {fault.ends}: {said!r}"
    for text in fault.says:
        assert text in said, f"{text!r} is not in {said!r}"
    for text in fault.silent:
        assert text not in said, f"{text!r} is in {said!r}"
    assert CANARY not in said + repr(error) + repr(done)
    if error is not None:
        _check_words(said)
    return said


def _check_words(said: str) -> None:
    """One head line, then one line for each attempt; for people, and with a next step."""
    head, *rest = said.split("\n")
    assert 10 < len(head) <= 500, f"a head line of {len(head)} characters: {head!r}"
    assert all(line.startswith("  ") for line in rest), said
    assert "Traceback" not in said and "<html" not in said.lower() and "object at 0x" not in said
    assert head.endswith("cancelled") or _NEXT_STEP.search(said), f"no next step: {said!r}"


def _holds(world: World, held: Instance | None) -> None:
    """The clouds hold what the state holds: a node and what belongs to it, or nothing."""
    living = world.living()
    wanted = [] if held is None else [held.id]
    assert list(living) == wanted, f"the state holds {wanted}, the clouds hold {living}"
    belongings = world.belongings()
    # The stack's own key and firewall rules end with the stack, and its caches with the guard.
    for kind in ("ssh_keys", "firewall_rulesets"):
        assert belongings.pop(kind, 0) <= 1
    scripts = 1 if held is not None and living[held.id].startswith("paperspace") else 0
    assert belongings == ({"startup-scripts": 1} if scripts else {}), f"left behind: {belongings}"


def _is_before_launch(error: GpuCloudError | None) -> bool:
    """What is refused before anything is asked of a cloud is no ProvisioningError."""
    return error is not None and error.kind in ("validation", "auth", "retired")
