"""What is known of Azure's VM sizes with GPUs.

Source: the lists of gpuhunt 0.1.34 (MPL-2.0) and Microsoft's pages on GPU sizes, 2026-11.
"""

from __future__ import annotations

import re

#: GPU size -> whether its GPUs can be partitioned (MIG).
GPU_SIZES: dict[str, bool] = {
    **{f"Standard_{name}": False for name in (
        "NC4as_T4_v3", "NC8as_T4_v3", "NC16as_T4_v3", "NC64as_T4_v3",
        "NV6ads_A10_v5", "NV12ads_A10_v5", "NV18ads_A10_v5", "NV36ads_A10_v5", "NV36adms_A10_v5",
        "NV72ads_A10_v5",
        "ND96isr_MI300X_v5", "ND96is_MI300X_v5",
    )},
    **{f"Standard_{name}": True for name in (
        "NC24ads_A100_v4", "NC48ads_A100_v4", "NC96ads_A100_v4", "NC40ads_H100_v5", "NC80adis_H100_v5",
        "ND96asr_v4", "ND96amsr_A100_v4", "ND96isr_H100_v5", "ND96isr_H200_v5",
        "ND128isr_NDR_GB200_v6", "ND128isr_GB300_v6",
    )},
}  # fmt: skip
#: RTX PRO 6000 comes in many sizes: NC24lds_xl_RTXPRO6000BSE_v6 to NC288ds_xl_RTXPRO6000BSE_v6.
_RTX_PRO = re.compile(r"Standard_NC(24|36|72|144|288)l?ds_xl_RTXPRO6000BSE_v6")
_PLAIN = re.compile(r"Standard_[A-MO-Z][A-Za-z]*\d+[a-z0-9-]*(_[A-Za-z0-9]+)*")


def has_gpu(size: str) -> bool:
    """Whether machines of this size have GPUs."""
    return size in GPU_SIZES or _RTX_PRO.fullmatch(size) is not None


def has_mig(size: str) -> bool:
    """Whether the GPUs of this size can be partitioned."""
    return GPU_SIZES.get(size, _RTX_PRO.fullmatch(size) is not None)


def exists(size: str) -> bool:
    """Whether it is a size; of sizes without GPUs only the syntax is looked at."""
    return has_gpu(size) or _PLAIN.fullmatch(size) is not None
