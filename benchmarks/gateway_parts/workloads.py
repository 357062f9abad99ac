"""What is asked of each lane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load.

    Attributes:
        name: As its line is named.
        flags: Of `standin load`.
        warm_up: The same load, shorter, before the first measurement.
        short: The same load for a quick look at the ratio.
        slow: The same load for routers that take a hundred times as long.
        streamed: Whether its answers are streams: then CPU time is given for each chunk.
        repeated: Whether it is run several times; else once.
        compared: Whether its CPU time is held against the bare proxy's; else its time counts.
    """

    name: str
    flags: tuple[str, ...]
    warm_up: tuple[str, ...] = ("-requests", "500")
    short: tuple[str, ...] = ("-requests", "1500")
    slow: tuple[str, ...] = ("-requests", "300")
    streamed: bool = False
    repeated: bool = True
    compared: bool = True


def workloads(open_loop_s: float) -> list[Workload]:
    """All of them.

    Args:
        open_loop_s: Length of the open loop, seconds.
    """
    paced = ("-mode", "sse", "-connections", "64", "-requests", "192", "-tokens", "100", "-pace-ms", "10")
    burst = ("-mode", "sse", "-connections", "32", "-requests", "300", "-tokens", "100")
    rate = ("-rate", "1000", "-duration", f"{open_loop_s:g}s")
    return [
        Workload("json_small", ("-connections", "32", "-requests", "4000")),
        Workload("json_large", ("-connections", "16", "-requests", "3000", "-body-bytes", "16000")),
        Workload("embeddings", ("-mode", "embeddings", "-connections", "32", "-requests", "4000")),
        Workload(
            "open_1000",
            rate,
            ("-duration", "1s"),
            ("-duration", "2s"),
            ("-rate", "20", "-duration", "10s"),
            repeated=False,
        ),
        Workload(
            "open_50",
            ("-rate", "50", "-duration", "6s"),
            ("-duration", "1s"),
            slow=("-rate", "20"),
            repeated=False,
            compared=False,
        ),
        Workload("sse_burst", burst, ("-requests", "64"), slow=("-requests", "32"), streamed=True),
        Workload("sse_paced", paced, ("-requests", "64"), slow=("-requests", "32"), streamed=True),
    ]
