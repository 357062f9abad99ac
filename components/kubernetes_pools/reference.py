"""The machines of a cloud as a table for its page: `python -m components.kubernetes_pools.reference eks`."""

from __future__ import annotations

import sys
from typing import cast

from components.kubernetes_pools.shapes import Cloud, Shape, catalogue_date, list_price, shapes


def table(cloud: Cloud) -> str:
    """The table of a cloud in Markdown."""
    head = ["machine", "GPUs", "sold as", "fast interfaces", "USD/hour"] + (
        ["image"] if cloud == "eks" else []
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(_cells(shape))} |" for shape in shapes(cloud)]
    return "\n".join([f"Catalogue of {catalogue_date(cloud)}:", "", *lines]) + "\n"


def _cells(shape: Shape) -> list[str]:
    prices = [
        f"{price.hourly_usd:g} {capacity}, {price.region}, {price.as_of}"
        for capacity in shape.capacity
        if (price := list_price(shape, capacity))
    ]
    cells = [
        f"`{shape.name}`" + (" (arm64)" if shape.arch == "arm64" else ""),
        f"{shape.gpus} x {shape.gpu}",
        ", ".join(shape.capacity),
        str(shape.fast_nics or ""),
        "; ".join(prices) or "unknown",
    ]
    return [*cells, ", ".join(shape.images) or "none"] if shape.cloud == "eks" else cells


if __name__ == "__main__":
    print(table(cast(Cloud, sys.argv[1])), end="")
