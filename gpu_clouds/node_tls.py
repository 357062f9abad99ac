"""TLS on a node whose port anybody can reach: a key, a certificate, and the server that uses them.

Both are in one file, so that a node gets one secret: as a variable of its environment, in base64 on one line,
which its cloud's launch writes to `FILE` before the server starts. The server is told of it as vLLM is:
`--ssl-keyfile` and `--ssl-certfile` (docs.vllm.ai, "Serve CLI").
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Mapping

from gpu_clouds.errors import ValidationError

VARIABLE = "GPUPLANE_TLS_PEM"
"""Variable with key and certificate, PEM one after the other, in base64. Secret."""
FILE = "/run/gpuplane/tls.pem"
"""Where the server finds both."""
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def with_tls(env: Mapping[str, str], args: str, pem: str) -> tuple[dict[str, str], str]:
    """Environment and arguments of a server that is to speak TLS.

    Args:
        env: Its environment without.
        args: Its arguments without.
        pem: Key and certificate, PEM in base64. Secret.
    """
    return {**env, VARIABLE: pem}, f"{args} --ssl-keyfile {FILE} --ssl-certfile {FILE}".strip()


def certificate_of(pem: str) -> str:
    """The certificate alone, as PEM.

    Args:
        pem: Key and certificate, PEM in base64.

    Raises:
        ValidationError: There is none in it; what is in it is not told.
    """
    try:
        text = base64.b64decode(pem, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    before, begin, rest = text.partition(_CERTIFICATE)
    if not before or not begin:
        raise ValidationError("tls: is not a key and a certificate (PEM, in base64)")
    return begin + rest


def writing(path: str) -> list[str]:
    """Lines of a shell that write the variable's text to a file which only its owner can read.

    `printf` is the shell's own: the text is in no list of processes.

    Args:
        path: Where to.
    """
    folder, _, _ = path.rpartition("/")
    return [
        f"mkdir -p {shlex.quote(folder)}",
        f'(umask 077; printf %s "${VARIABLE}" | base64 -d > {shlex.quote(path)})',
    ]
