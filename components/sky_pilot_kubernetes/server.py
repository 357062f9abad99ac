"""A SkyPilot API server on Kubernetes, from its arguments to the way in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from components.kubernetes_pools.extras import require
from components.sky_pilot_kubernetes.access import add_access
from components.sky_pilot_kubernetes.chart import make_chart
from components.sky_pilot_kubernetes.credentials import add_credentials
from components.sky_pilot_kubernetes.deployment import add_programs, make_deployment
from components.sky_pilot_kubernetes.ingress import make_ingress, make_service, url
from components.sky_pilot_kubernetes.monitoring import add_monitoring
from components.sky_pilot_kubernetes.network import make_network_policies
from components.sky_pilot_kubernetes.place import Place
from components.sky_pilot_kubernetes.pod import PodParts
from components.sky_pilot_kubernetes.rbac import add_rights, make_namespaces
from components.sky_pilot_kubernetes.rules import name_problem
from components.sky_pilot_kubernetes.storage import add_storage, make_database_secret
from components.sky_pilot_way_in import WayIn

if TYPE_CHECKING:
    from components.sky_pilot_api_server import SkyPilotApiServerArgs


def check_kubernetes(name: str) -> None:
    """Looks at what is no argument, before anything is registered.

    Args:
        name: Name of the server.

    Raises:
        pulumi.RunError: The name can't be one, or the SDK is not installed.
    """
    if problem := name_problem(name):
        raise pulumi.RunError(f"SkyPilot API server {name}: {problem}")
    require(f"SkyPilot API server {name}", "kubernetes")


def declare_kubernetes(parent: pulumi.Resource, name: str, args: SkyPilotApiServerArgs) -> WayIn:
    """Declares the objects.

    Args:
        parent: The component.
        name: Its name.
        args: Its arguments.
    """
    opts = pulumi.ResourceOptions(parent=parent)
    if args.on_kubernetes.kubeconfig or args.on_kubernetes.context:
        opts.provider = _provider(parent, name, args)
    namespaces = make_namespaces(Place(name, args, opts))
    place = Place(
        name, args, pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=namespaces))
    )
    pod = PodParts()
    pod.config = copy.deepcopy(dict(args.config))
    if args.allowed_clouds:
        pod.config["allowed_clouds"] = list(args.allowed_clouds)
    password = add_access(place, pod)
    account = add_rights(place, pod)
    add_credentials(place, pod)
    database = make_database_secret(place)
    if database is not None:
        pod.set_secret("SKYPILOT_DB_CONNECTION_URI", database, "connection_string")
    add_monitoring(place, pod)
    make_network_policies(place)
    ready: list[pulumi.Input[Any]]
    if place.on.chart:
        add_programs(place, pod)
        made = make_chart(place, pod, account, database)
        ready = [made.ready]
        front: pulumi.Resource = made
    else:
        add_storage(place, pod)
        add_programs(place, pod)
        deployment = make_deployment(place, pod, account)
        front = service = make_service(place)
        ready = [deployment.id, service.id]
    if place.on.ingress is not None:
        ready.append(make_ingress(place, place.on.ingress, front).id)
    # Not known in the preview of its creation, so that nobody looks for it then.
    endpoint = pulumi.Output.all(*ready).apply(lambda _: url(place))
    return WayIn(endpoint, pod.user, password)


def _provider(parent: pulumi.Resource, name: str, args: SkyPilotApiServerArgs) -> pulumi.ProviderResource:
    from pulumi_kubernetes import Provider

    on = args.on_kubernetes
    provider: pulumi.ProviderResource = Provider(
        f"{name}-kubernetes",
        kubeconfig=str(Path(on.kubeconfig).expanduser()) if on.kubeconfig else None,
        context=on.context or None,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return provider
