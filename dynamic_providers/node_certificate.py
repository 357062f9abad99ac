"""NodeCertificate: the key and the certificate of one node that speaks TLS itself.

The certificate is signed by its own key: nobody trusts it for its name or for who signed it, but whoever
talks to the node knows it and accepts no other. Like a GeneratedSecret it is made once and is nowhere but in
the state, encrypted, and on the node.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi
from pulumi import dynamic

from dynamic_providers.base import Inputs
from dynamic_providers.made_once import MadeOnce
from gpu_clouds.errors import ValidationError
from gpu_clouds.node_tls import certificate_of

VALID_DAYS = 20 * 365
"""Nothing renews a certificate while its node lives, so it outlives every node."""
_CLOCKS_DIFFER = timedelta(days=1)


class CertificateInputs(Inputs):
    """Inputs of a NodeCertificate.

    Attributes:
        node: Name of the node; it stands in the certificate for whoever looks at it.
        rotation: Any text; another text makes another key and certificate.
    """

    node: str
    rotation: str = ""


class NodeCertificateProvider(MadeOnce):
    """A key and a certificate."""

    inputs = CertificateInputs
    secret_outputs = frozenset({"pem"})

    def make(self, props: dict[str, Any]) -> dict[str, Any]:
        """Both, and the certificate's fingerprint."""
        pem = made(CertificateInputs.model_validate(props).node)
        return {"pem": pem, "sha256": fingerprint(pem)}


class NodeCertificate(dynamic.Resource, module="gateway", name="NodeCertificate"):
    """**Pulumi type:** `pulumi-python:dynamic/gateway:NodeCertificate`. TLS of one node.

    Args:
        name: Name of the resource.
        node: Name of the node.
        rotation: Any text; another text makes another one.
        opts: Resource options.

    Attributes:
        pem: Key and certificate, PEM one after the other, in base64; secret.
        sha256: SHA-256 of the certificate (DER), hex.
    """

    pem: pulumi.Output[str]
    sha256: pulumi.Output[str]

    def __init__(
        self, name: str, *, node: str, rotation: str = "", opts: pulumi.ResourceOptions | None = None
    ) -> None:
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["pem"])
        super().__init__(
            NodeCertificateProvider(),
            name,
            {"node": node, "rotation": rotation, "pem": None, "sha256": None},
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), hidden),
        )


def made(node: str) -> str:
    """A new key (P-256) and a certificate for it: PEM one after the other, in base64 on one line.

    Args:
        node: Its name.

    Raises:
        ValidationError: The package that makes them is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise ValidationError(
            "a node's certificate needs the package cryptography: pip install 'gpuplane[gateway]'"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, node)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return base64.b64encode(private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def fingerprint(pem: str) -> str:
    """SHA-256 of the certificate (DER), hex.

    Args:
        pem: Key and certificate, PEM in base64.
    """
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_of(pem))).hexdigest()
