"""What SkyPilot calls a GPU, and which GPU it means by that.

SkyPilot has one name for a GPU on all its clouds, and most names leave the form factor open: `H100` is an
SXM card on AWS and a PCIe card on RunPod. `catalog_data.json` has the name that most clouds use; here is
where one of them differs. Both are from SkyPilot's catalogue v8 (`skypilot-catalog`,
`common/accelerators.csv`) and the scripts that fill it (`sky/catalog/data_fetchers`, 0.14.1), read in
November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpu_clouds import catalog
from gpu_clouds.skypilot.errors import CLOUD

_DIFFERENT: Mapping[str, Mapping[str, str]] = {
    "cudo": {"H100-SXM": "H100-SXM"},
    "lambda": {"RTX-A6000": "A6000"},
    "paperspace": {"RTX-A4000": "A4000"},
    "primeintellect": {"RTX-A4000": "A4000", "RTX-A6000": "A6000", "RTX6000-Ada": "RTX6000Ada"},
    "runpod": {
        "H100-SXM": "H100-SXM",
        "H200-SXM": "H200-SXM",
        "A100-80GB-SXM": "A100-80GB-SXM",
    },
    "vast": {"RTX-PRO-6000": "RTXPRO6000S"},
}
"""Cloud of SkyPilot -> canonical name -> its name there."""


def cloud_of(infra: str) -> str:
    """The cloud in an infra text: `aws` of `aws/us-east-1`; empty where any will do."""
    first = infra.strip().partition("/")[0].lower()
    return {"*": "", "k8s": "kubernetes"}.get(first, first)


def native_name(canonical: str, infra: str) -> str | None:
    """What SkyPilot calls a GPU in a place; None where the table does not know it.

    Args:
        canonical: Name of `gpu_clouds.catalog`.
        infra: `aws/us-east-1`, `slurm`, empty for anywhere.
    """
    general = catalog.native_gpu(CLOUD, canonical)
    return _DIFFERENT.get(cloud_of(infra), {}).get(canonical, general)


def canonical_name(native: str, cloud: str, asked: str = "") -> str:
    """Which GPU a cluster has.

    Args:
        native: SkyPilot's name: `H100`.
        cloud: The cloud that it is in, in any case: `RunPod`.
        asked: The canonical name that it was launched for, in any case, where that is known. It stands where
            the name leaves several open.

    Returns:
        The canonical name; the native one where the table does not know it.
    """
    fitting = [
        each
        for each in catalog.native_gpus(CLOUD)
        if (native_name(each, cloud) or "").lower() == native.lower()
    ]
    meant = next((each for each in fitting if each.lower() == asked.lower()), None)
    return meant or (fitting[0] if fitting else catalog.canonical_gpu(CLOUD, native) or native)
