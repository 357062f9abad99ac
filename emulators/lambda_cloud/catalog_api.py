"""Instance types with their free regions, regions, images."""

from __future__ import annotations

from emulators.clock import rfc3339
from emulators.http import Answer, json_response
from emulators.lambda_cloud.call import Call


async def list_types(call: Call) -> Answer:
    """GET /instance-types."""
    catalogue = call.fleet.catalogue
    types = {
        name: {
            "instance_type": catalogue.kinds[name].view(call.settings),
            "regions_with_capacity_available": [catalogue.region(region) for region in regions],
        }
        for name, regions in call.fleet.free_regions().items()
    }
    return json_response({"data": types})


async def list_regions(call: Call) -> Answer:
    """GET /regions."""
    catalogue = call.fleet.catalogue
    return json_response({"data": [catalogue.region(name) for name in catalogue.regions]})


async def list_images(call: Call) -> Answer:
    """GET /images."""
    catalogue = call.fleet.catalogue
    at = rfc3339(catalogue.published_at + call.settings.clock_skew_s)
    images = [
        {
            "id": one.id,
            "created_time": at,
            "updated_time": at,
            "name": one.name,
            "description": one.name,
            "family": one.family,
            "version": one.version,
            "architecture": one.architecture,
            "region": catalogue.region(one.region),
        }
        for one in catalogue.images
    ]
    return json_response({"data": images})
