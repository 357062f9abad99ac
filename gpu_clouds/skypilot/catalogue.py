"""Calls about what the server's clouds have."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_clouds.skypilot.calls import Calls, mapping, texts
from gpu_clouds.skypilot.errors import RequestFailedError
from gpu_clouds.skypilot.models import AcceleratorOffer

_COLUMNS = (
    "cloud",
    "instance_type",
    "accelerator_name",
    "accelerator_count",
    "cpu_count",
    "device_memory_gb",
    "memory_gb",
    "price",
    "spot_price",
    "region",
)
"""Order of the columns of `sky.catalog.common.InstanceTypeInfo`: a row is a list."""


class CatalogueCalls(Calls):
    """Clouds, accelerators and prices."""

    def list_accelerators(
        self,
        *,
        name: str | None = None,
        quantity: int | None = None,
        clouds: Sequence[str] | None = None,
        region: str | None = None,
        gpus_only: bool = True,
        all_regions: bool = False,
        require_price: bool = False,
        case_sensitive: bool = True,
    ) -> list[AcceleratorOffer]:
        """Instance types with accelerators, and what they cost. It is the only call that gives a price.

        Args:
            name: Regular expression that the accelerator's name must match from its start.
            quantity: Accelerators in one instance.
            clouds: These clouds only.
            region: Regular expression for the region.
            gpus_only: No TPUs.
            all_regions: A row for each region instead of the cheapest.
            require_price: Leave out what has no price.
            case_sensitive: Whether `name` is.
        """
        fields: dict[str, object] = {
            "gpus_only": gpus_only,
            "name_filter": name,
            "region_filter": region,
            "quantity_filter": quantity,
            "clouds": None if clouds is None else list(clouds),
            "all_regions": all_regions,
            "require_price": require_price,
            "case_sensitive": case_sensitive,
        }
        try:
            return self._submit("list_accelerators", "/list_accelerators", _offers, fields).result()
        except RequestFailedError as error:
            # For most clouds no match is an empty list, for Slurm and Kubernetes it is an error (recorded).
            if error.error_code == "ValueError" and "no matching gpu" in error.message.lower():
                return []
            raise

    def check(
        self,
        clouds: Sequence[str] | None = None,
        *,
        workspace: str | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, dict[str, list[str]]]:
        """Tries the server's accounts: workspace -> cloud -> `compute`, `storage`.

        Args:
            clouds: These clouds only.
            workspace: This workspace only.
            timeout_s: How long to wait, seconds: it calls every cloud. None for SKYPILOT_REQUEST_TIMEOUT.
        """
        fields: dict[str, object] = {
            "clouds": None if clouds is None else list(clouds),
            "verbose": False,
            "workspace": workspace,
        }
        return self._submit("check", "/check", _capabilities, fields, timeout_s=timeout_s).result()

    def enabled_clouds(self, *, workspace: str | None = None) -> list[str]:
        """Clouds that the server could use when it last checked.

        Args:
            workspace: Of this workspace; None for the default one.
        """
        params = {"workspace": workspace} if workspace else None
        return self._submit("enabled_clouds", "/enabled_clouds", texts, method="GET", params=params).result()


def _offers(value: object) -> list[AcceleratorOffer]:
    return [
        AcceleratorOffer.model_validate(dict(zip(_COLUMNS, row, strict=False)))
        for rows in mapping(value).values()
        if isinstance(rows, list)
        for row in rows
        if isinstance(row, list)
    ]


def _capabilities(value: object) -> dict[str, dict[str, list[str]]]:
    return {
        workspace: {cloud: texts(can) for cloud, can in mapping(clouds).items()}
        for workspace, clouds in mapping(value).items()
    }
