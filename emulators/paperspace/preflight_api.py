"""What is asked before a launch: who is calling, images, what is free, the account's standing."""

from __future__ import annotations

from emulators.http import Answer, json_response
from emulators.paperspace.call import Call
from emulators.paperspace.catalogue import TYPES, os_templates, region_of, type_of
from emulators.paperspace.problems import Refusal


async def session(call: Call) -> Answer:
    """Who is calling. An unknown key never comes here: it is answered `null`."""
    return json_response(
        {
            "user": {"id": f"u-{call.owner}", "email": f"{call.owner}@example.com"},
            "team": {"id": f"t-{call.owner}", "name": call.owner, "maxMachines": call.account.max_machines},
        }
    )


async def standing(call: Call) -> Answer:
    """Whether the bills are paid. The real answer is not documented: this one is made up."""
    return json_response({"isInGoodStanding": call.account.good_standing})


async def health(call: Call) -> Answer:
    """Always well."""
    return json_response({"status": "ok"})


async def list_templates(call: Call) -> Answer:
    """The images of operating systems, with the machine types that each can be used with."""
    rows = []
    for template in os_templates():
        labels = template.pop("types")
        assert isinstance(labels, list)  # of labels
        rows.append(
            template
            | {
                "availableMachineTypes": [
                    {
                        "machineTypeLabel": label,
                        "isAvailable": any(call.fleet.free(label, region) for region in TYPES[label].regions),
                    }
                    for label in labels
                ],
                "dtCreated": "2025-01-01T00:00:00.000Z",
            }
        )
    return call.page(rows)


async def availability(call: Call) -> Answer:
    """Whether a machine type is free in a region."""
    if call.settings.availability_missing:
        raise Refusal(404, "Not found")
    kind = type_of(call.request.query.get("machineType", ""))
    region = region_of(call.request.query.get("region", ""))
    if kind is None or region is None:
        raise Refusal(400, "Input validation failed", ["machineType and region are required"])
    free = region in kind.regions and call.fleet.free(kind.label, region)
    return json_response({"available": free or call.settings.availability_lies})
