"""Accounts of clouds, files and environment: Secrets of the pod."""

from __future__ import annotations

import pulumi

from components.sky_pilot_kubernetes.accounts import GCP_KEY, commands, copies, keys_of
from components.sky_pilot_kubernetes.place import HOME, OURS, Place
from components.sky_pilot_kubernetes.pod import PodParts


def add_credentials(place: Place, pod: PodParts) -> None:
    """Makes the Secrets and mounts them; the start program copies them to where SkyPilot looks.

    Args:
        place: The server.
        pod: Gets volumes and files.
    """
    args = place.args
    secrets: dict[str, pulumi.Input[str]] = {
        **{cloud: place.secret(cloud, texts) for cloud, texts in args.accounts.items()},
        **{str(cloud): name for cloud, name in place.on.account_secrets.items()},
    }
    for cloud, secret in sorted(secrets.items()):
        folder = f"{OURS}/accounts/{cloud}"
        pod.mount_secret(f"account-{cloud}", secret, folder, keys_of(cloud))
        pod.files += copies(cloud, folder)
        pod.commands += commands(cloud)
        if cloud == "gcp":
            pod.set({"GOOGLE_APPLICATION_CREDENTIALS": f"{HOME}/{GCP_KEY}"})
    if args.files:
        paths = sorted(args.files)
        # A key of a Secret can't have a slash.
        keys = {path: f"file-{number}" for number, path in enumerate(paths)}
        secret = place.secret("files", {keys[path]: args.files[path] for path in paths})
        folder = f"{OURS}/files"
        pod.mount_secret("files", secret, folder)
        pod.files += [{"to": path, "from": {keys[path]: f"{folder}/{keys[path]}"}} for path in paths]
    if args.env:
        pod.env_from.append({"secretRef": {"name": place.secret("env", args.env)}})
    for number, volume in enumerate(place.on.volumes):
        pod.mount_secret(f"volume-{number}", volume.secret, f"{HOME}/{volume.path}")
