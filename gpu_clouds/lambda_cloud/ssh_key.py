"""The stack's own SSH key pair on this machine, for stacks that name no key of their user."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

from gpu_clouds.errors import ValidationError
from gpu_clouds.filelock import locked

_PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[\x21-\x7e]+ [A-Za-z0-9+/]+={0,2}(?: [\x20-\x7e]*)?")
_LOCK = ".lock"


def key_file(state_dir: Path, stack_id: str) -> Path:
    """Where the private key of a stack is; the public one is beside it, ending in `.pub`."""
    return state_dir / stack_id / "ssh" / "id_ed25519"


def own_public_key(state_dir: Path, stack_id: str) -> str:
    """The public half of the stack's key pair, which is made at its first use, readable by its owner alone.

    Raises:
        ValidationError: No pair can be made here.
    """
    path = key_file(state_dir, stack_id)
    public = path.with_name(f"{path.name}.pub")
    try:
        with locked(path.with_name(_LOCK)):
            if not (path.exists() and public.exists()):
                path.unlink(missing_ok=True)
                _generate(path, f"gpuplane {stack_id}")
            return checked_public_key(public.read_text("ascii", "replace"))
    except OSError as error:
        raise ValidationError(
            f"Lambda: no SSH key pair can be kept in {path.parent}: {error.strerror}; give sshPublicKeys, "
            "or set GPUPLANE_STATE_DIR",
            cloud="lambda",
        ) from None


def forget(state_dir: Path, stack_id: str) -> None:
    """Deletes the stack's key pair from this machine; whatever else is in the folder stays."""
    path = key_file(state_dir, stack_id)
    with contextlib.suppress(OSError):
        for name in (path.name, f"{path.name}.pub", _LOCK):
            path.with_name(name).unlink(missing_ok=True)
        path.parent.rmdir()


def checked_public_key(text: str) -> str:
    """A public key in one line.

    Raises:
        ValidationError: It is none.
    """
    key = text.strip()
    if not _PUBLIC_KEY.fullmatch(key):
        raise ValidationError(
            "Lambda: a public SSH key looks like `ssh-ed25519 AAAA… comment`, in one line", cloud="lambda"
        )
    return key


def same_key(one: str, other: str) -> bool:
    """Whether two public keys are the same, whatever their comments."""
    return one.split()[:2] == other.split()[:2]


def _generate(path: Path, comment: str) -> None:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ValidationError(
            "Lambda needs an SSH key for each machine, and there is no ssh-keygen here to make one: "
            "give sshPublicKeys, or install OpenSSH",
            cloud="lambda",
        )
    done = subprocess.run(
        [program, "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise ValidationError(
            f"Lambda: ssh-keygen can not make a key in {path.parent}: {done.stderr.strip()[:200]}",
            cloud="lambda",
        )
    path.chmod(0o600)
