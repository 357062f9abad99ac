"""Downloads Pulumi's own release archive where it can be reached.

Source: the install script that Pulumi publishes, which fetches
`releases/sdk/pulumi-v<version>-<system>-<processor>.tar.gz`, and the release page, which has
`pulumi-<version>-checksums.txt` (lines of `<sha256>  <file name>`).
"""

import hashlib
import io
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from engine.errors import EngineError
from engine.machine import Machine
from engine.versions import BUILT

_ARCHIVE = "https://get.pulumi.com/releases/sdk/{file}"
_CHECKSUMS = (
    "https://github.com/pulumi/pulumi/releases/download/v{version}/pulumi-{version}-checksums.txt",
    "https://get.pulumi.com/releases/sdk/pulumi-{version}-checksums.txt",
)
#: For each wait on the network, not for the whole download: a closed network must answer in seconds.
_SECONDS = 4.0
_LARGEST_CHECKSUMS = 1 << 20
_LARGEST_ARCHIVE = 1 << 30

#: Opens a URL: (url, most bytes) -> content. Raises OSError when it cannot be had.
Fetch = Callable[[str, int], bytes]


def fetch(url: str, most: int) -> bytes:
    """Reads a URL over HTTPS with verified certificates.

    Args:
        url: what to read.
        most: refuse more bytes than this.

    Raises:
        OSError: not reachable, refused, too slow or too long.
    """
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
        content: bytes = answer.read(most + 1)
    if len(content) > most:
        raise OSError(f"{url} is longer than {most} bytes")
    return content


def install(machine: Machine, target: Path, get: Fetch = fetch) -> None:
    """Puts the release's programs into `target/bin`.

    Args:
        machine: for which the archive is taken.
        target: an existing empty folder.
        get: reads a URL.

    Raises:
        EngineError: not reachable, or the archive isn't what its published checksum says.
    """
    file = f"pulumi-v{BUILT}-{machine.name}.tar.gz"
    expected = _expected(file, get)
    try:
        content = get(_ARCHIVE.format(file=file), _LARGEST_ARCHIVE)
    except OSError as error:
        raise EngineError(f"get.pulumi.com: {_short(error)}") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise EngineError(f"{file} from get.pulumi.com does not have its published checksum")
    _unpack(content, target)


def _expected(file: str, get: Fetch) -> str:
    reason = ""
    for template in _CHECKSUMS:
        try:
            text = get(template.format(version=BUILT), _LARGEST_CHECKSUMS).decode("ascii", "replace")
        except OSError as error:
            reason = reason or _short(error)
            continue
        for line in text.splitlines():
            words = line.split()
            if len(words) == 2 and words[1].lstrip("*") == file:
                return words[0].lower()
        reason = reason or f"no checksum published for {file}"
    raise EngineError(f"official download: {reason}")


def _unpack(content: bytes, target: Path) -> None:
    programs = target / "bin"
    programs.mkdir()
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            # The archive is one folder, `pulumi`, of plain files. Anything else is left in it.
            folder, _, name = member.name.removeprefix("./").partition("/")
            source = archive.extractfile(member) if member.isfile() else None
            if folder != "pulumi" or not name or "/" in name or source is None:
                continue
            with source, (programs / name).open("wb") as file:
                shutil.copyfileobj(source, file)
            (programs / name).chmod(0o755)
    for name in ("pulumi", "pulumi-language-python"):
        if not (programs / name).exists():
            raise EngineError(f"the official archive has no {name}")


def _short(error: OSError) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return f"cannot be reached ({reason})"
