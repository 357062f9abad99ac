"""Which instance type has which GPUs. A type is `gpu_<count>x_<suffix>`; the suffix is in the catalogue."""

from __future__ import annotations

import re

from gpu_clouds import catalog

_TYPE = re.compile(r"gpu_(\d+)x_(.+)")
# Where one suffix means different GPUs at different counts, or one GPU has several types.
_SPECIAL: dict[tuple[str, int], tuple[str, ...]] = {
    ("A100-40GB-SXM", 8): ("gpu_8x_a100",),
    ("A100-40GB-PCIe", 8): (),
    ("V100-16GB", 8): ("gpu_8x_v100", "gpu_8x_v100_n"),
}
_GPU_OF = {name: gpu for (gpu, _), names in _SPECIAL.items() for name in names}


def type_names(gpu: str, count: int) -> tuple[str, ...]:
    """The instance types with so many of a GPU, by its canonical name; empty where there can be none.

    Whether Lambda sells one at the moment is for its list of types to say.
    """
    if (gpu, count) in _SPECIAL:
        return _SPECIAL[gpu, count]
    suffix = catalog.native_gpu("lambda", gpu)
    return () if suffix is None or count < 1 else (f"gpu_{count}x_{suffix}",)


def gpus_of(type_name: str) -> tuple[str, int]:
    """GPU and count of an instance type: the canonical name, or the native one where the table has none."""
    match = _TYPE.fullmatch(type_name)
    if match is None:
        return "", 0
    count, suffix = int(match[1]), match[2]
    return _GPU_OF.get(type_name) or catalog.canonical_gpu("lambda", suffix) or suffix, count
