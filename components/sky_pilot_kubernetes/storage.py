"""Where the server's state is: a volume, a PostgreSQL database, or both."""

from __future__ import annotations

import pulumi

from components.sky_pilot_kubernetes.place import HOME, Place
from components.sky_pilot_kubernetes.pod import PodParts

STATE = "state-volume"


def add_storage(place: Place, pod: PodParts) -> None:
    """Makes the claim and mounts it.

    Args:
        place: The server.
        pod: Gets volumes and environment.
    """
    storage = place.on.storage
    if not storage.enabled:
        return
    pod.set({"SKYPILOT_API_SERVER_STORAGE_ENABLED": "true"})
    claim: pulumi.Input[str] = storage.existing_claim or make_claim(place)
    pod.volumes.append({"name": STATE, "persistentVolumeClaim": {"claimName": claim}})
    if place.on.update == "rolling":
        # Two pods have it at once then: what of the state is not in the database is each pod's own.
        pod.volumes.append({"name": "sky-ephemeral", "emptyDir": {}})
        pod.mounts.append({"name": "sky-ephemeral", "mountPath": f"{HOME}/.sky"})
        shared = {".sky/api_server/clients": "api_server/clients"}
    else:
        shared = {".sky": ".sky"}
    shared |= {".ssh": ".ssh", "sky_logs": "sky_logs"}
    pod.mounts += [
        {"name": STATE, "mountPath": f"{HOME}/{path}", "subPath": sub} for path, sub in shared.items()
    ]


def make_database_secret(place: Place) -> pulumi.Input[str] | None:
    """Makes the connection secret, where a database is given by its URL.

    Args:
        place: The server.

    Returns:
        Name of the Secret; None without a database.
    """
    if place.args.database_url is None:
        return place.on.database_secret or None
    return place.secret("database", {"connection_string": place.args.database_url})


def make_claim(place: Place) -> pulumi.Output[str]:
    """Makes the claim.

    Returns:
        Its name.
    """
    from pulumi_kubernetes import core

    storage = place.on.storage
    claim = core.v1.PersistentVolumeClaim(
        f"{place.name}-state",
        # A class that binds with the first pod would be waited for, before there is a pod.
        metadata=place.meta(f"{place.name}-state", annotations={"pulumi.com/skipAwait": "true"}),
        spec={
            "accessModes": [storage.access_mode],
            "resources": {"requests": {"storage": storage.size}},
            **({"storageClassName": storage.storage_class} if storage.storage_class else {}),
        },
        opts=place.with_options(retain_on_delete=storage.keep),
    )
    name: pulumi.Output[str] = claim.metadata.name
    return name
