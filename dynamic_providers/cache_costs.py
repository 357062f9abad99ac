"""What weights caches will cost, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gpu_clouds.registry import cloud_info


def cache_cost(node_class: str, size_gb: int, clouds: Iterable[str], *, keep: bool) -> str:
    """One line for a preview: how many disks there will be depends on where nodes are to be had.

    Args:
        node_class: The class that it belongs to.
        size_gb: Its size, GB.
        clouds: Clouds of the class's candidates.
        keep: It stays when the stack is destroyed.
    """
    prices = []
    for name in dict.fromkeys(clouds):
        info = cloud_info(name)
        if info.cache_price is None:
            prices.append(f"no price written down for {info.title}")
        else:
            price = info.cache_price
            per = "when full" if price.by_use else "in each place that has a node"
            monthly = price.monthly_usd(size_gb)
            prices.append(f"{monthly:,.2f} USD/month on {info.title} {per} ({price.source}, {price.as_of})")
    end = "stays when the stack is destroyed" if keep else "ends with the stack"
    return f"weights cache of {node_class}: {size_gb} GB, {'; '.join(prices)}; {end}"
