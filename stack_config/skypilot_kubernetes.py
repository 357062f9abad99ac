"""A SkyPilot API server on Kubernetes, as the stack file says it; docs/skypilot-on-kubernetes.md.

What a field may hold by itself is here; what fits together is in components/sky_pilot_kubernetes/rules.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from stack_config.shape import Model

Dns = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[kMGTP]i?)?$")]
Cloud = Literal["aws", "gcp", "azure", "kubernetes", "lambda", "paperspace", "runpod", "slurm", "ssh", "vast"]
DEFAULT_VERSION = "0.14.1"


class ServerStorage(Model):
    """The volume that the server's home is kept on."""

    enabled: bool = Field(default=True, description="`false`: nothing is kept but in the database.")
    size: Quantity = Field(default="10Gi", description="Its size.")
    storage_class: str = Field(default="", description="Storage class; the cluster's default if empty.")
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = Field(
        default="ReadWriteOnce", description="`ReadWriteMany` where two pods have to mount it at once."
    )
    existing_claim: str = Field(default="", description="A claim that is there, instead of a new one.")
    keep: bool = Field(
        default=True,
        description="A destroy leaves the volume, and the namespaces: it knows clusters that no stack made.",
    )


class ServerIngress(Model):
    """The way in from outside; always with TLS."""

    host: Host = Field(description="Name under which the server is reached.")
    tls_secret: str = Field(default="", description="Secret with the certificate; or give `certIssuer`.")
    cert_issuer: str = Field(
        default="", description="ClusterIssuer of cert-manager that makes the certificate."
    )
    class_name: Dns = Field(default="nginx", description="Ingress class.")
    path: Annotated[str, Field(pattern=r"^/([a-z0-9-]+)?$")] = Field(
        default="/", description="Path below which it is, where several share a host; for class `nginx`."
    )
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Further annotations, for other ingress controllers than nginx."
    )
    wait: bool = Field(default=True, description="Wait until the ingress has an address.")


class OAuth2Proxy(Model):
    """A login page in front of the server, by OpenID Connect."""

    issuer: Annotated[str, Field(pattern=r"^https://\S+$")] = Field(description="URL of the issuer.")
    client_id: Annotated[str, Field(min_length=1)] = Field(description="Id of the client at the issuer.")
    email_domains: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1, description="Domains whose addresses may come in; `*` is everybody at the issuer."
    )
    image: str = Field(
        default="quay.io/oauth2-proxy/oauth2-proxy:v7.9.0",
        pattern=r"^\S+(:[A-Za-z0-9._-]*[0-9][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$",
        description="Image, with a version.",
    )
    redis_secret: str = Field(
        default="",
        description="Secret whose key `url` says which Redis keeps sessions; if empty a cookie does.",
    )


class ExternalProxy(Model):
    """A proxy of yours that has asked already, and says in a header who comes."""

    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = Field(
        default="X-Auth-Request-Email", description="Header with the user's name."
    )
    format: Literal["plaintext", "jwt"] = Field(default="plaintext", description="What is in it.")
    claim: str = Field(default="sub", description="With `jwt`: the claim that is the user's name.")


class NetworkRules(Model):
    """Who may open connections to the server's pod."""

    namespaces: tuple[Dns, ...] = Field(
        default=(), description="Namespaces whose pods may, such as `ingress-nginx`."
    )
    cidrs: tuple[str, ...] = Field(default=(), description="Networks that may, such as `10.0.0.0/8`.")
    monitoring_namespaces: tuple[Dns, ...] = Field(
        default=("monitoring",), description="Namespaces whose pods may read the metrics."
    )


class ServerMonitoring(Model):
    """What Prometheus is told; the operator's kinds only where they are asked for."""

    service_monitor: bool = Field(default=False, description="A ServiceMonitor of the Prometheus operator.")
    alerts: bool = Field(default=False, description="A PrometheusRule with alerts.")
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels by which your Prometheus finds both: `release: prometheus`."
    )
    interval_s: int = Field(default=30, ge=5, le=600, description="Seconds between two readings.")


class RbacRule(Model):
    """A further permission of the server's account."""

    api_groups: tuple[str, ...] = Field(default=("",), description="API groups; empty is the core one.")
    resources: tuple[Annotated[str, Field(pattern=r"^[a-z]+(/[a-z]+)?$")], ...] = Field(
        min_length=1, description="Kinds, like `configmaps`; no `*`."
    )
    verbs: tuple[Annotated[str, Field(pattern=r"^[a-z]+$")], ...] = Field(
        min_length=1, description="Verbs, like `get`; no `*`."
    )


class WorkloadRights(Model):
    """Clusters of pods that the server makes in its own Kubernetes cluster."""

    enabled: bool = Field(
        default=True, description="`false`: the pod gets no token of Kubernetes at all, and no rights."
    )
    namespace: str = Field(
        default="",
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$",
        description="Where they are made; if empty the server's namespace with `-clusters`: what runs in the "
        "server's own could read its secrets.",
    )
    rules: tuple[RbacRule, ...] = Field(default=(), description="Further permissions in that namespace.")
    cluster_rules: tuple[RbacRule, ...] = Field(default=(), description="Further ones in the whole cluster.")


class SecretVolume(Model):
    """A Secret that is there, as a folder in the server's home."""

    secret: SecretName = Field(description="Name of the Secret.")
    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")] = Field(
        description="Folder below the home, like `.paperspace`."
    )


class Toleration(Model):
    """A taint that the pod tolerates."""

    key: str = Field(default="", description="Key; empty for all.")
    operator: Literal["Equal", "Exists"] = Field(default="Exists", description="How `value` is compared.")
    value: str = Field(default="", description="Value, with `Equal`.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        default="", description="Effect; empty for all."
    )


class OnKubernetes(Model):
    """How a SkyPilot API server runs on Kubernetes."""

    cluster: str = Field(
        default="", description="Name of an EKS, GKE or AKS cluster of this stack; or give `kubeconfig`."
    )
    kubeconfig: str = Field(default="", description="Path of a kubeconfig; that of kubectl if empty.")
    context: str = Field(default="", description="Context in it; its current one if empty.")
    namespace: Dns = Field(default="skypilot", description="Its namespace.")
    create_namespace: bool = Field(default=True, description="`false`: the namespaces are there already.")
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([.a-z0-9-]*)?$")] = Field(
        default=DEFAULT_VERSION, description="Version of SkyPilot: the tag of its image."
    )
    image: Annotated[str, Field(pattern=r"^[a-z0-9.:_/-]*[a-z0-9_-]$")] = Field(
        default="berkeleyskypilot/skypilot", description="Image, without tag."
    )
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = Field(
        default="", description="Digest of the image: `sha256:…`."
    )
    pull_secrets: tuple[SecretName, ...] = Field(default=(), description="Secrets for the image's registry.")
    replicas: int = Field(default=1, ge=1, le=10, description="Pods; more than one needs `rolling`.")
    update: Literal["recreate", "rolling"] = Field(
        default="recreate",
        description="`rolling`: no pause; needs a database, and storage that is off or ReadWriteMany.",
    )
    cpu: Quantity = Field(default="4", description="CPUs of the pod; fewer than 4 need `small`.")
    memory: Quantity = Field(default="8Gi", description="Memory of the pod; less than 8Gi needs `small`.")
    small: bool = Field(default=False, description="Accept less than SkyPilot wants; for tests.")
    grace_s: int = Field(
        default=60, ge=10, le=3600, description="Seconds that requests may take at the end of a pod."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of its node.")
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints that it tolerates.")
    service_account_annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Workload identity: `eks.amazonaws.com/role-arn`, `iam.gke.io/gcp-service-account`, …",
    )
    storage: ServerStorage = Field(default=ServerStorage(), description="Its volume.")
    database_secret: str = Field(
        default="", description="Secret whose key `connection_string` is a PostgreSQL URL."
    )
    ingress: ServerIngress | None = Field(
        default=None, description="The way in from outside; if left out only the cluster reaches it."
    )
    oauth2: OAuth2Proxy | None = Field(default=None, description="With auth `oauth2`: the login page.")
    external_proxy: ExternalProxy | None = Field(
        default=None, description="With auth `external_proxy`: what it says."
    )
    account_secrets: dict[Cloud, SecretName] = Field(
        default_factory=dict, description="Cloud -> Secret with its account; keys as for `accounts`."
    )
    volumes: tuple[SecretVolume, ...] = Field(
        default=(), description="Further Secrets, as folders in the server's home."
    )
    workloads: WorkloadRights = Field(
        default=WorkloadRights(), description="Clusters of pods in this same Kubernetes cluster."
    )
    network: NetworkRules | None = Field(
        default=None, description="A NetworkPolicy: nobody else reaches the pod."
    )
    monitoring: ServerMonitoring | None = Field(
        default=None, description="Metrics on port 9090 of the service, and what reads them."
    )
    chart: str = Field(
        default="", description="Path of SkyPilot's chart, unpacked: its objects instead of ours."
    )
    chart_values: dict[str, Any] = Field(
        default_factory=dict, description="Further values of that chart; they can't loosen what is set here."
    )
    restart_trigger: str = Field(
        default="", max_length=200, description="Any text; another one restarts the pods."
    )


SECTIONS: tuple[tuple[str, type[Model]], ...] = (
    ("SkyPilot server on Kubernetes: `kubernetes`", OnKubernetes),
    ("Its volume: `storage`", ServerStorage),
    ("Its ingress: `ingress`", ServerIngress),
    ("Login page: `oauth2`", OAuth2Proxy),
    ("Proxy of yours: `externalProxy`", ExternalProxy),
    ("Its workloads: `workloads`", WorkloadRights),
    ("Permission: an entry of `rules`", RbacRule),
    ("Secret as a folder: an entry of `volumes`", SecretVolume),
    ("Its network policy: `network`", NetworkRules),
    ("Its monitoring: `monitoring`", ServerMonitoring),
    ("Toleration: an entry of `tolerations`", Toleration),
)
"""What docs/configuration.md says about these, section by section."""
