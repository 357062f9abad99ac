"""What fits together in a SkyPilot API server on Kubernetes, and what does not. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from components.sky_pilot_kubernetes.accounts import ACCOUNTS, keys_of

if TYPE_CHECKING:
    from components.sky_pilot_api_server import SkyPilotApiServerArgs

PUBLISHED = ("skypilot",)
"""Passwords that the official chart's values publish: `initialBasicAuthCredentials` (`skypilot`)."""
SHORTEST_PASSWORD = 12
LEAST_CPU, LEAST_MEMORY = Decimal(4), Decimal(8 * 1024**3)
"""What the official chart asks for at least; it refuses less unless `skipResourceCheck` is set."""
LONGEST_NAME = 40
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_VARIABLES = re.compile(
    r"SKYPILOT_(DB_CONNECTION_URI|INITIAL_BASIC_AUTH|AUTH_.*|API_SERVER_STORAGE_ENABLED|ROLLING_UPDATE_ENABLED"
    r"|DISABLE_BASIC_AUTH_MIDDLEWARE|RELEASE_NAME|IN_CLUSTER_NAMESPACE)|ENABLE_BASIC_AUTH"
    r"|ENABLE_SERVICE_ACCOUNTS|GPUPLANE_.*"
)
_UNITS: dict[str, Decimal | int] = {
    "": 1,
    "m": Decimal("0.001"),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate(("K", "M", "G", "T", "P"), 1)}
_UNITS["ki"] = 1024


def broken_rules(args: SkyPilotApiServerArgs) -> Iterator[str]:
    """Every broken rule, as a line that begins with the argument.

    Args:
        args: Arguments whose fields are valid one by one.
    """
    yield from _of_this_target(args)
    yield from _access(args)
    yield from _state(args)
    yield from _size(args)
    yield from _ingress(args)
    yield from _accounts(args)
    yield from _places(args)
    yield from _chart(args)


def name_problem(name: str) -> str:
    """Why a server can't have this name; empty if it can.

    Args:
        name: Its name; its objects' names begin with it.
    """
    if not _NAME.fullmatch(name):
        return f"name: {name!r} must be lower-case letters, digits and inner hyphens, and begin with a letter"
    if len(name) > LONGEST_NAME:
        return f"name: {name!r} has {len(name)} characters; the limit is {LONGEST_NAME}"
    return ""


def refused_password(password: str) -> str:
    """Why a password may not be used; empty if it may.

    Args:
        password: The password of the administrator.
    """
    if password.strip().lower() in PUBLISHED:
        return "auth.password: this is the password that SkyPilot's chart publishes; give another, or none"
    if len(password) < SHORTEST_PASSWORD:
        return f"auth.password: has fewer than {SHORTEST_PASSWORD} characters; give a longer one, or none"
    return ""


def quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity stands for: `8Gi` is 8589934592.

    Args:
        text: The quantity.
    """
    number = re.match(r"[0-9.]+", text)
    digits = number.group() if number else "0"
    return Decimal(digits) * Decimal(_UNITS[text[len(digits) :]])


def _of_this_target(args: SkyPilotApiServerArgs) -> Iterator[str]:
    fields = type(args).model_fields
    instead = {
        "port": "the service has port 80, the ingress 443",
        "host": "use kubernetes.ingress and kubernetes.network",
        "metrics_port": "use kubernetes.monitoring",
        "keep_home": "use kubernetes.storage.keep",
        "replace_trigger": "use kubernetes.restart_trigger",
    }
    for name, way in instead.items():
        if getattr(args, name) != fields[name].default:
            yield f"{name}: is for target local; {way}"


def _access(args: SkyPilotApiServerArgs) -> Iterator[str]:
    on, auth = args.on_kubernetes, args.auth
    if auth.kind == "none":
        yield "auth.kind: none lets in everybody in the cluster; use basic, service_accounts or a proxy"
    if isinstance(auth.password, str) and (why := refused_password(auth.password)):
        yield why
    if (on.oauth2 is not None) != (auth.kind == "oauth2"):
        yield "kubernetes.oauth2: goes with auth of kind oauth2, and only with it"
    if (args.oauth2_client_secret is not None) != (auth.kind == "oauth2"):
        yield "oauth2_client_secret: goes with auth of kind oauth2, and only with it"
    if auth.kind == "oauth2" and on.ingress is None:
        yield "kubernetes.ingress: a login page needs one, because the browser is sent back to it"
    if (on.external_proxy is not None) != (auth.kind == "external_proxy"):
        yield "kubernetes.external_proxy: goes with auth of kind external_proxy, and only with it"
    if auth.kind == "external_proxy" and (
        on.network is None or not (on.network.namespaces or on.network.cidrs)
    ):
        yield "kubernetes.network: must say where the proxy is: who else reaches the server could be anybody"
    for cidr in on.network.cidrs if on.network else ():
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            yield f"kubernetes.network.cidrs: {cidr!r} is no network, such as 10.0.0.0/8"


def _state(args: SkyPilotApiServerArgs) -> Iterator[str]:
    on, storage = args.on_kubernetes, args.on_kubernetes.storage
    database = args.database_url is not None or bool(on.database_secret)
    if args.database_url is not None and on.database_secret:
        yield "database_url: is given twice: by itself, and as kubernetes.database_secret"
    if isinstance(args.database_url, str) and not args.database_url.startswith("postgresql"):
        # SQLAlchemy knows no postgres://
        yield "database_url: must begin with postgresql://"
    if not storage.enabled and not database:
        yield "kubernetes.storage.enabled: without it a database is needed, else all is lost with the pod"
    if storage.existing_claim and not storage.enabled:
        yield "kubernetes.storage.existing_claim: needs storage.enabled"
    if on.replicas > 1 and on.update != "rolling":
        yield "kubernetes.replicas: more than one needs update: rolling, and what that needs"
    if on.update == "rolling":
        if not database:
            yield "kubernetes.update: rolling needs a database: two pods can't share a file"
        if storage.enabled and storage.access_mode != "ReadWriteMany":
            yield "kubernetes.update: rolling needs storage that is off or ReadWriteMany: two pods mount it"
    if "db" in args.config:
        yield "config.db: is what database_url sets"


def _size(args: SkyPilotApiServerArgs) -> Iterator[str]:
    on = args.on_kubernetes
    for name, least, shown in (("cpu", LEAST_CPU, "4"), ("memory", LEAST_MEMORY, "8Gi")):
        given = getattr(on, name)
        if quantity(given) < least and not on.small:
            yield f"kubernetes.{name}: {given} is less than the {shown} that SkyPilot asks for; or set small"


def _ingress(args: SkyPilotApiServerArgs) -> Iterator[str]:
    ingress = args.on_kubernetes.ingress
    if ingress is None:
        return
    if bool(ingress.tls_secret) == bool(ingress.cert_issuer):
        yield "kubernetes.ingress: needs TLS: give one of tls_secret and cert_issuer"
    if ingress.path != "/" and args.on_kubernetes.oauth2 is not None:
        yield "kubernetes.ingress.path: a login page needs the whole host"
    if ingress.path != "/" and ingress.class_name != "nginx":
        yield "kubernetes.ingress.path: is rewritten by nginx alone; give the server a host of its own"


def _accounts(args: SkyPilotApiServerArgs) -> Iterator[str]:
    for cloud, texts in args.accounts.items():
        if cloud not in ACCOUNTS:
            yield f"accounts.{cloud}: no such cloud; there are: {', '.join(ACCOUNTS)}"
            continue
        if set(texts) != set(keys_of(cloud)):
            yield f"accounts.{cloud}: has the keys {', '.join(keys_of(cloud))}, and no others"
        if cloud in args.on_kubernetes.account_secrets:
            yield f"accounts.{cloud}: is given twice: by itself, and in kubernetes.account_secrets"
    for variable in args.env:
        if not _VARIABLE.fullmatch(variable):
            yield f"env.{variable}: is not the name of an environment variable"
        elif _OWN_VARIABLES.fullmatch(variable):
            yield f"env.{variable}: is set by other arguments"


def _places(args: SkyPilotApiServerArgs) -> Iterator[str]:
    on = args.on_kubernetes
    for path in args.files:
        if path.startswith("/") or ".." in path.split("/") or not path:
            yield f"files.{path}: must be a path inside the server's home"
    taken = {
        file.path: cloud
        for cloud in (*args.accounts, *on.account_secrets)
        for file in ACCOUNTS.get(cloud, ())
    }
    for path in args.files:
        if path in taken:
            yield f"files.{path}: is what the account of {taken[path]} writes"
    for volume in on.volumes:
        top = volume.path.split("/")[0]
        if top in (".sky", ".ssh", "sky_logs") or ".." in volume.path.split("/"):
            yield f"kubernetes.volumes: {volume.path} is the server's own, or outside of its home"
        inside = [path for path in (*taken, *args.files) if path.startswith(f"{volume.path}/")]
        if inside:
            yield f"kubernetes.volumes: {volume.path} can't be written into, but {inside[0]} is to be there"
    if on.workloads.namespace and on.workloads.namespace == on.namespace:
        yield "kubernetes.workloads.namespace: what runs in the server's own could read its secrets"
    if not on.workloads.enabled and (on.workloads.rules or on.workloads.cluster_rules):
        yield "kubernetes.workloads: rules need workloads.enabled"
    for extra in (*on.workloads.rules, *on.workloads.cluster_rules):
        if "*" in extra.api_groups:
            yield "kubernetes.workloads: an API group must have a name, not *"


def _chart(args: SkyPilotApiServerArgs) -> Iterator[str]:
    on = args.on_kubernetes
    if on.chart_values and not on.chart:
        yield "kubernetes.chart_values: needs kubernetes.chart"
    if on.chart and on.storage.existing_claim:
        yield "kubernetes.chart: takes no storage.existing_claim; that is only in our own objects"
    if on.chart and args.auth.kind in ("oauth2", "external_proxy"):
        yield f"kubernetes.chart: auth of kind {args.auth.kind} is only in our own objects"
