"""The Google Cloud functions that are answered, from small tables and from what is pretended to be there."""

from __future__ import annotations

from engine.standins.cloud import Asked, Function, NoAnswer
from engine.standins.values import Values

NUMBER = "123456789012"
"""Of the project that exists nowhere."""


def client_config(asked: Asked) -> Values:
    """organizations.getClientConfig: the provider's settings, and a token that opens nothing."""
    return {
        "id": "stand-in",
        "accessToken": "stand-in",
        "defaultLabels": {},
        **{key: asked.settings[key] for key in ("project", "region", "zone")},
    }


def project(asked: Asked) -> Values:
    """organizations.getProject."""
    name = asked.arguments.get("projectId") or asked.settings["project"]
    return {
        "id": f"projects/{name}",
        "projectId": name,
        "name": name,
        "number": NUMBER,
        "autoCreateNetwork": False,
        "billingAccount": "",
        "deletionPolicy": "PREVENT",
        "effectiveLabels": {},
        "folderId": "",
        "labels": {},
        "orgId": "",
        "pulumiLabels": {},
        "tags": {},
    }


def zones(asked: Asked) -> Values:
    """compute.getZones: three zones of a region."""
    region = asked.arguments.get("region") or asked.settings["region"]
    letters = (
        "abcf" if region == "us-central1" else "bcd" if region in ("us-east1", "europe-west1") else "abc"
    )
    names = [f"{region}-{letter}" for letter in letters]
    return {"id": region, "names": names, "region": region, "project": asked.settings["project"]}


def versions(asked: Asked) -> Values:
    """container.getEngineVersions: one version, in every channel."""
    version = "1.34.1-gke.100"
    channels = dict.fromkeys(("RAPID", "REGULAR", "STABLE", "EXTENDED"), version)
    return {
        "id": "stand-in",
        "defaultClusterVersion": version,
        "latestMasterVersion": version,
        "latestNodeVersion": version,
        "releaseChannelDefaultVersion": channels,
        "releaseChannelLatestVersion": channels,
        "releaseChannelUpgradeTargetVersion": channels,
        "validMasterVersions": [version],
        "validNodeVersions": [version],
    }


def cluster(asked: Asked) -> Values:
    """container.getCluster: a cluster that is pretended to be there."""
    name, location = asked.text("name"), asked.arguments.get("location")
    found = asked.store.all("gcp:container/cluster:Cluster") if asked.store else {}
    for identifier, values in found.items():
        if values.get("name") == name and location in (None, values.get("location")):
            kept = {key: value for key, value in values.items() if not key.startswith("__")}
            for key in ("masterAuth", "privateClusterConfig"):
                inner = kept.pop(key, None)
                kept[f"{key}s"] = [inner] if inner else []
            return {**kept, "id": identifier}
    raise NoAnswer(f"there is no cluster {name!r} among what is pretended")


FUNCTIONS: dict[str, Function] = {
    "gcp:organizations/getClientConfig:getClientConfig": client_config,
    "gcp:organizations/getProject:getProject": project,
    "gcp:compute/getZones:getZones": zones,
    "gcp:container/getEngineVersions:getEngineVersions": versions,
    "gcp:container/getCluster:getCluster": cluster,
}
