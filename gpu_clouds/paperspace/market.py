"""What Paperspace sells, and what of it is free now."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gpu_clouds import catalog, errors
from gpu_clouds.clock import utc_now
from gpu_clouds.connection import Connection
from gpu_clouds.models import Availability, Candidate, CapacityType, InstanceTemplate, Offer
from gpu_clouds.paperspace.client import PaperspaceClient
from gpu_clouds.paperspace.machine_types import (
    REGIONS,
    exact_label,
    label_of,
    pick_template,
    said_available,
    sold_labels,
)
from gpu_clouds.paperspace.models import OsTemplate
from gpu_clouds.single_flight import SingleFlight

_TEMPLATES_KEPT_S = 600.0
_AVAILABILITY_KEPT_S = 5.0


class Market:
    """Reads before a launch, shared by all threads.

    Args:
        client: Calls.
        connection: Account and clock.
    """

    def __init__(self, client: PaperspaceClient, connection: Connection) -> None:
        self._client = client
        self._what = f"Paperspace, credential set {connection.credentials.name!r}"
        self._templates: SingleFlight[list[OsTemplate]] = SingleFlight(_TEMPLATES_KEPT_S, connection.clock)
        # In a tuple, because "not told" is an answer too.
        self._free: SingleFlight[tuple[bool | None]] = SingleFlight(_AVAILABILITY_KEPT_S, connection.clock)

    def image(self, candidate: Candidate, template: InstanceTemplate) -> tuple[str, str]:
        """The machine type as Paperspace spells it, and the image that it boots.

        Raises:
            ValidationError: No such shape, or no image is known for it.
        """
        label = label_of(candidate) or candidate.gpu
        templates = self._os_templates()
        if labels := sold_labels(templates):
            exact = exact_label(label, labels)
            if exact is None:
                raise errors.ValidationError(
                    f"Paperspace: no machine type {label} ({candidate.gpu} x{candidate.gpu_count}); it has: "
                    f"{', '.join(sorted(labels))}",
                    cloud="paperspace",
                )
            label = exact
        template_id = template.template_id or pick_template(label, templates)
        if not template_id:
            raise errors.ValidationError(
                f"Paperspace: no image is known for machine type {label}; name one as templateId",
                cloud="paperspace",
            )
        return label, template_id

    def place(self, candidate: Candidate, label: str, avoid: Collection[str] = ()) -> str:
        """The region to launch in: one that has the machine type free, else one that does not tell.

        Args:
            candidate: What is launched.
            label: Its machine type.
            avoid: Regions that are not to be taken if there is another.

        Raises:
            CapacityError: Paperspace says of every region that there is none free.
        """
        regions = catalog.places("paperspace", candidate.region, avoid) or REGIONS
        unsure = ""
        for region in regions:
            said = self._said(label, region)
            if said:
                return region
            if said is None:
                unsure = unsure or region
        if unsure:
            return unsure
        raise errors.CapacityError(
            f"{self._what}: machine type {label} is not available in {', '.join(regions)}", cloud="paperspace"
        )

    def offer(self, candidate: Candidate) -> Offer | None:
        """What is free, without a price; None where Paperspace has no such machine."""
        on_demand = candidate.capacity is CapacityType.ON_DEMAND
        label = label_of(candidate)
        if candidate.cloud != "paperspace" or label is None or not on_demand:
            return None
        templates = self._os_templates()
        labels = sold_labels(templates)
        if labels and exact_label(label, labels) is None:
            return None
        regions = catalog.resolve_region("paperspace", candidate.region) or REGIONS
        said = [self._said(label, region) for region in regions]
        if all(one is None for one in said):
            said = [said_available(label, templates)]
        return Offer(
            candidate=candidate,
            hourly_usd=None,  # `usageRate`, once there is a machine
            availability=_availability(said),
            source="paperspace availability",
            as_of=utc_now(),
        )

    def _said(self, label: str, region: str) -> bool | None:
        """What the API says of free machines; advisory, so that a failed read forbids nothing."""
        try:
            return self._free.get((label, region), lambda: (self._client.available(label, region),))[0]
        except (errors.AuthError, errors.CancelledError):
            raise
        except errors.GpuCloudError:
            return None

    def _os_templates(self) -> list[OsTemplate]:
        """The images; none where they can't be read, because a table stands in for them."""
        try:
            return self._templates.get("", self._client.os_templates)
        except (errors.AuthError, errors.CancelledError):
            raise
        except errors.GpuCloudError:
            return []


def _availability(said: Sequence[bool | None]) -> Availability:
    if any(said):
        return Availability.MEDIUM  # some, and nobody says how many
    return Availability.UNKNOWN if None in said or not said else Availability.NONE
