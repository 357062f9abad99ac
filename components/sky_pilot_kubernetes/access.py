"""Whom the server asks, and for what."""

from __future__ import annotations

import pulumi

from components.sky_pilot_kubernetes.place import OAUTH2_PORT, Place
from components.sky_pilot_kubernetes.pod import PodParts
from components.sky_pilot_kubernetes.rules import refused_password
from dynamic_providers.generated_secret import GeneratedSecret


def add_access(place: Place, pod: PodParts) -> pulumi.Output[str] | str:
    """Makes password or login page.

    Args:
        place: The server.
        pod: Gets environment and settings.

    Returns:
        The administrator's password; empty where nobody has one.
    """
    auth = place.args.auth
    if auth.kind != "basic":
        pod.set({"ENABLE_SERVICE_ACCOUNTS": "true"})
    proxy = place.on.external_proxy
    # Said even where it is off: else a server that finds no other way asks nobody who sends the header.
    pod.server["auth"] = {"external_proxy": {"enabled": auth.kind == "external_proxy"}}
    if auth.kind == "external_proxy" and proxy is not None:
        pod.server["auth"]["external_proxy"] |= {
            "header_name": proxy.header,
            "header_format": proxy.format,
            **({"jwt_identity_claim": proxy.claim} if proxy.format == "jwt" else {}),
        }
        return ""
    if auth.kind == "oauth2":
        make_oauth2_proxy(place)
        url = f"http://{place.name}-oauth2-proxy:{OAUTH2_PORT}"
        pod.set({"SKYPILOT_AUTH_OAUTH2_PROXY_ENABLED": "true", "SKYPILOT_AUTH_OAUTH2_PROXY_BASE_URL": url})
        return ""
    password: pulumi.Output[str]
    if auth.password is None:
        child = pulumi.ResourceOptions(parent=place.opts.parent)
        password = pulumi.Output.secret(GeneratedSecret(f"{place.name}-password", opts=child).value)
    else:
        password = pulumi.Output.secret(auth.password).apply(accepted)
    pod.user = auth.user
    pod.set_secret("GPUPLANE_BASIC_PASSWORD", place.secret("password", {"password": password}), "password")
    return password


def accepted(password: str) -> str:
    """A password that may be used: for one that is known only when the program runs.

    Raises:
        pulumi.RunError: It may not.
    """
    if why := refused_password(password):
        raise pulumi.RunError(why)
    return password


def make_oauth2_proxy(place: Place) -> None:
    """Makes the login page: the server itself forwards to it, so it needs no ingress of its own."""
    from pulumi_kubernetes import apps, core

    oauth2, ingress = place.on.oauth2, place.on.ingress
    if oauth2 is None or ingress is None or place.args.oauth2_client_secret is None:
        raise ValueError("auth oauth2 needs oauth2, ingress and oauth2_client_secret")
    name = f"{place.name}-oauth2-proxy"
    labels = {"app": name}
    child = pulumi.ResourceOptions(parent=place.opts.parent)
    cookie = GeneratedSecret(f"{place.name}-oauth2-cookie", length=32, opts=child).value
    secret = place.secret(
        "oauth2", {"client-secret": place.args.oauth2_client_secret, "cookie-secret": cookie}
    )
    arguments = [
        "--provider=oidc",
        f"--oidc-issuer-url={oauth2.issuer}",
        f"--client-id={oauth2.client_id}",
        *(f"--email-domain={domain}" for domain in oauth2.email_domains),
        "--upstream=static://202",
        f"--http-address=0.0.0.0:{OAUTH2_PORT}",
        f"--redirect-url=https://{ingress.host}/oauth2/callback",
        "--skip-provider-button=true",
        "--reverse-proxy=true",
        "--set-xauthrequest=true",
        "--cookie-secure=true",
        f"--session-store-type={'redis' if oauth2.redis_secret else 'cookie'}",
    ]
    variables = {
        "OAUTH2_PROXY_CLIENT_SECRET": (secret, "client-secret"),
        "OAUTH2_PROXY_COOKIE_SECRET": (secret, "cookie-secret"),
        **(
            {"OAUTH2_PROXY_REDIS_CONNECTION_URL": (oauth2.redis_secret, "url")} if oauth2.redis_secret else {}
        ),
    }
    container = {
        "name": "oauth2-proxy",
        "image": oauth2.image,
        "args": arguments,
        "env": [
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": source, "key": key}}}
            for variable, (source, key) in variables.items()
        ],
        "ports": [{"name": "http", "containerPort": OAUTH2_PORT}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": OAUTH2_PORT}},
        "livenessProbe": {"httpGet": {"path": "/ping", "port": OAUTH2_PORT}, "periodSeconds": 30},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    apps.v1.Deployment(
        name,
        metadata=place.meta(name, labels=labels),
        spec={
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"automountServiceAccountToken": False, "containers": [container]},
            },
        },
        opts=place.opts,
    )
    core.v1.Service(
        name,
        metadata=place.meta(name, labels=labels),
        spec={"selector": labels, "ports": [{"name": "http", "port": OAUTH2_PORT, "targetPort": "http"}]},
        opts=place.opts,
    )
