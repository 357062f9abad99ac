"""Which machines this project knows."""

import platform
from dataclasses import dataclass

from engine.errors import EngineError

_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_PROCESSORS = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Machine:
    """An operating system and processor, named as Pulumi's release archives name them."""

    system: str
    processor: str

    @property
    def name(self) -> str:
        """For example `linux-x64`."""
        return f"{self.system}-{self.processor}"

    @property
    def tested(self) -> bool:
        """Whether the project's tests run on such a machine; the others are written for only."""
        return self.name == "linux-x64"


def this_machine(system: str | None = None, processor: str | None = None) -> Machine:
    """Names the machine that runs this.

    Args:
        system: what `uname -s` prints; asked for when None.
        processor: what `uname -m` prints; asked for when None.

    Raises:
        EngineError: the project has nothing for such a machine.
    """
    system = system or platform.system()
    processor = processor or platform.machine()
    known = _SYSTEMS.get(system), _PROCESSORS.get(processor.lower())
    if known[0] is None or known[1] is None:
        raise EngineError(
            f"{system} on {processor} is not supported: use Linux on x86-64 (or, untested, arm64 or macOS)"
        )
    return Machine(known[0], known[1])
