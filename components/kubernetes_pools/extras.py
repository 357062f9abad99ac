"""SDKs of clouds are extras: a program that needs one says so in one line."""

from __future__ import annotations

import importlib.util

import pulumi

MODULES = {
    "aws": "pulumi_aws",
    "azure": "pulumi_azure_native",
    "gcp": "pulumi_gcp",
    "kubernetes": "pulumi_kubernetes",
}
"""Extra -> module that it brings."""


def require(what: str, *extras: str) -> None:
    """Ends the program if an SDK is not installed; imports none.

    Args:
        what: What needs them: `EKS cluster train`.
        extras: Names of extras.

    Raises:
        pulumi.RunError: One is missing; the message has the command that installs it.
    """
    missing = [extra for extra in extras if importlib.util.find_spec(MODULES[extra]) is None]
    if missing:
        modules = " and ".join(MODULES[extra] for extra in missing)
        raise pulumi.RunError(
            f'{what} needs {modules}, not installed here; run `make venv EXTRAS="{" ".join(missing)}"`'
        )
