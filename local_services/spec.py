"""What a service is to be."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

PACKAGES = Path(__file__).resolve().parents[1]
MARK = "GPUPLANE_SERVICE"
"""Every service has this variable in its environment, with its record's token."""

_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
)
_WORD = re.compile(r"[^\s\"'=:,]{8,}")


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A command that is to run on this machine, and how to tell that it does.

    In the command, in `prepare` and in values of `env`, `{python}` stands for this process's Python,
    `{packages}` for the folder that holds our packages, `{home}` for the service's home and `{prepared}` for
    the last line that `prepare` has printed.

    Attributes:
        command: Program and arguments. They can be seen by every user of the machine: no secrets.
        cwd: Folder that it runs in; empty: its home, else its own folder.
        env: Environment variables; may be secret. Of ours it gets PATH, HOME, the language and proxies.
        home: Its HOME: empty for the user's, a relative path for one in the service's own folder.
        files: Path below the home -> text, written before each start; may be secret.
        log_file: Where its output goes; empty: `service.log` in its own folder.
        log_max_mb: The log is moved to `<name>.1` when it is larger, MB.
        health_url: Answers 200 once the service is up.
        health_port: Port on 127.0.0.1 that accepts connections once the service is up.
        health_timeout_s: How long that may take, seconds.
        ports: Must be free before the start and after the stop; a local health port is one of them too.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        prepare: Command that is run before each start, in the folder that holds our packages.
        prepare_timeout_s: How long that may take, seconds.
        keep_home: Its home stays when it is removed, without `files`.
    """

    command: tuple[str, ...]
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    home: str = ""
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    log_file: str = ""
    log_max_mb: float = 16.0
    health_url: str = ""
    health_port: int = 0
    health_timeout_s: float = 60.0
    ports: tuple[int, ...] = ()
    stop_grace_s: float = 10.0
    prepare: tuple[str, ...] = ()
    prepare_timeout_s: float = 900.0
    keep_home: bool = False

    @property
    def asked(self) -> str:
        """How it is asked whether it is up, in words."""
        if self.health_url:
            return f"at {self.health_url}"
        return f"on port {self.health_port}" if self.health_port else "for a second"

    def all_ports(self) -> tuple[int, ...]:
        """The ports that it needs, each once."""
        asked = urlsplit(self.health_url)
        own = asked.port if asked.hostname in ("127.0.0.1", "localhost", "::1") else None
        return tuple(dict.fromkeys(port for port in (*self.ports, self.health_port, own or 0) if port))

    def fingerprint(self, salt: str) -> str:
        """Same for two specs that are the same process. Slow on purpose: the environment can't be guessed.

        Args:
            salt: Random text of the record that keeps it.
        """
        kept = asdict(
            replace(self, health_url="", health_port=0, health_timeout_s=0, stop_grace_s=0, ports=())
        )
        kept |= {"prepare_timeout_s": 0, "keep_home": False, "env": dict(self.env), "files": dict(self.files)}
        text = json.dumps(kept, sort_keys=True).encode()
        return hashlib.scrypt(text, salt=salt.encode(), n=2**12, r=8, p=1, dklen=16).hex()

    def secrets(self) -> list[str]:
        """Texts that no message may hold."""
        words = [word for text in self.files.values() for word in _WORD.findall(text)]
        return [*self.env.values(), *words]

    def home_in(self, folder: Path) -> Path | None:
        """Its home folder; None where it is the user's.

        Args:
            folder: The service's own folder.
        """
        return folder / self.home if self.home else None

    def log_in(self, folder: Path) -> Path:
        """Its log file."""
        return Path(self.log_file) if self.log_file else folder / "service.log"

    def filled(self, folder: Path, prepared: str = "") -> ServiceSpec:
        """The same with what its placeholders stand for.

        Args:
            folder: The service's own folder.
            prepared: What `prepare` has printed.
        """
        home = self.home_in(folder)
        words = {
            "{python}": sys.executable,
            "{packages}": str(PACKAGES),
            "{home}": str(home or Path.home()),
            "{prepared}": prepared,
        }

        def fill(text: str) -> str:
            for word, value in words.items():
                text = text.replace(word, value)
            return text

        return replace(
            self,
            command=tuple(fill(word) for word in self.command),
            prepare=tuple(fill(word) for word in self.prepare),
            env={name: fill(value) for name, value in self.env.items()},
            cwd=self.cwd or str(home or folder),
        )

    def environment(self, folder: Path, token: str) -> dict[str, str]:
        """All environment variables of its process.

        Args:
            folder: The service's own folder.
            token: Value of its mark.
        """
        passed = {
            name: value
            for name, value in os.environ.items()
            if name.upper() in _PASSED_ON or name.startswith("LC_")
        }
        home = self.home_in(folder)
        return {**passed, **({"HOME": str(home)} if home else {}), **self.env, MARK: token}
