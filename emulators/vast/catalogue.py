"""What hosts offer. Names and countries are real; numbers of GPUs, prices and bids are made up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """A machine of somebody, with as many places as the settings say.

    Attributes:
        ask_id: Id of its offer.
        gpu_name: As Vast.ai writes it.
        num_gpus: GPUs of a place.
        geolocation: Country, and its code after the last comma.
        dph_total: USD per hour of a place on demand.
        min_bid: Least bid of an interruptible one, USD per hour.
    """

    ask_id: int
    gpu_name: str
    num_gpus: int
    geolocation: str
    dph_total: float
    min_bid: float

    @property
    def country(self) -> str:
        """Code of its country."""
        return self.geolocation.rpartition(",")[2].strip()


HOSTS = (
    Host(7001001, "RTX 4090", 1, "Sweden, SE", 0.35, 0.15),
    Host(7001002, "RTX 4090", 1, "Czechia, CZ", 0.38, 0.16),
    Host(7001003, "RTX 4090", 2, "Norway, NO", 0.72, 0.30),
    Host(7002001, "H100 SXM", 1, "Virginia, US", 2.10, 1.05),
    Host(7002002, "H100 SXM", 8, "Iceland, IS", 16.40, 8.00),
    Host(7003001, "H100 PCIE", 1, "France, FR", 1.90, 0.95),
    Host(7004001, "H100 NVL", 1, "Quebec, CA", 2.00, 1.00),
    Host(7005001, "L40S", 1, "Germany, DE", 0.70, 0.30),
    Host(7005002, "L40S", 4, "Japan, JP", 2.90, 1.20),
    Host(7006001, "A100 SXM4", 1, "Texas, US", 0.95, 0.45),
)
