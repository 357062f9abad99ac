"""The section of the stack file about models that are served on Kubernetes; docs/model-server.md.

What a field may hold by itself is here; what fits together is in components/model_serving/rules.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from stack_config.databases import Image, KubernetesPlace, Quantity, SecretName
from stack_config.shape import Model

Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]


class ModelToleration(Model):
    """A taint of nodes that the pods tolerate, whatever its value."""

    key: Annotated[str, Field(min_length=1)] = Field(description="Key of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        default="NoSchedule", description="Its effect."
    )


class ModelPlace(KubernetesPlace):
    """The nodes that a model runs on."""

    pool: str = Field(default="", description="Pool of that cluster of this stack.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, description="Further labels that its nodes must have."
    )
    tolerations: tuple[ModelToleration, ...] = Field(
        default=(), description="Further taints that it tolerates; `nvidia.com/gpu` always."
    )
    gpu_resource: Literal["nvidia.com/gpu", "amd.com/gpu"] = Field(
        default="nvidia.com/gpu", description="What Kubernetes calls the GPUs, without `pool`."
    )


class ModelWeights(Model):
    """Where downloaded weights stay."""

    claim: str = Field(default="", description="A claim that is there; pods on several nodes share it.")
    size: Quantity | None = Field(default=None, description="Size of a new claim.")
    storage_class: str = Field(default="", description="Its storage class; the default one if empty.")
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = Field(
        default="ReadWriteMany", description="`ReadWriteOnce` for a single pod."
    )
    keep: bool = Field(default=True, description="A destroy leaves that claim.")


class ModelScaling(Model):
    """Pods by load instead of a fixed number; never with several nodes for one copy."""

    kind: Literal["hpa", "keda"] = Field(
        default="hpa", description="`hpa` needs an adapter for the metric; `keda` needs KEDA in the cluster."
    )
    min: int = Field(default=1, ge=1, le=1000, description="Pods at least.")
    max: int = Field(ge=1, le=1000, description="Pods at most.")
    metric: str = Field(
        default="",
        pattern=r"^([A-Za-z_:][A-Za-z0-9_:]*)?$",
        description="Metric of each pod; requests that wait if left out.",
    )
    target: int = Field(default=5, ge=1, le=10_000, description="Its value for each pod.")
    prometheus_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = Field(
        default="", description="With `keda`: Prometheus that has the metric."
    )
    cooldown_s: int = Field(default=600, ge=30, le=86_400, description="Idle time before pods go, seconds.")


class ModelIngress(Model):
    """The way in from outside; always with TLS."""

    host: Host = Field(description="Name under which it is reached.")
    tls_secret: str = Field(default="", description="Secret with the certificate; or give `certIssuer`.")
    cert_issuer: str = Field(
        default="", description="ClusterIssuer of cert-manager that makes the certificate."
    )
    class_name: str = Field(default="nginx", min_length=1, description="Ingress class.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Further annotations.")
    wait: bool = Field(default=True, description="Wait until the ingress has an address.")


class ModelServerSpec(Model):
    """A model that vLLM serves on Kubernetes, with OpenAI's API."""

    model: Annotated[str, Field(pattern=r"^\S+$", max_length=300)] = Field(
        description="Name on Hugging Face, a path in the container, or `s3://…`, `gs://…` for a bucket."
    )
    served_name: str = Field(default="", description="Name that callers use; `model` if empty.")
    image: Image = Field(default="vllm/vllm-openai:v0.19.1", description="Image of vLLM, with a version.")
    gpus: int = Field(default=1, ge=1, le=16, description="GPUs in each pod.")
    nodes: int = Field(
        default=1, ge=1, le=64, description="Nodes for one copy of the model: a pod on each, all its GPUs."
    )
    replicas: int = Field(default=1, ge=0, le=1000, description="Copies of the model.")
    args: tuple[str, ...] = Field(default=(), description="Further arguments of `vllm serve`.")
    env: dict[str, str] = Field(default_factory=dict, description="Further environment; not for secrets.")
    api_key: SecretStr | None = Field(
        default=None, description="Key asked of callers, as a secure value; one is made if left out."
    )
    key_rotation: str = Field(
        default="", max_length=100, description="Any text; another one makes another key."
    )
    hf_token: SecretStr | None = Field(default=None, description="Hugging Face token, as a secure value.")
    hf_token_secret: SecretName | None = Field(
        default=None, description="Secret that is there, whose key `token` is the Hugging Face token."
    )
    service_account: str = Field(
        default="", description="Service account, for a bucket by workload identity; one without rights."
    )
    cpu: Quantity = Field(default="4", description="CPUs of each pod.")
    memory: Quantity = Field(default="32Gi", description="Memory of each pod; no more, no less.")
    shared_memory: Quantity = Field(default="8Gi", description="`/dev/shm`; it counts as memory of the pod.")
    start_s: int = Field(
        default=1800, ge=60, le=21_600, description="How long download and load may take, seconds."
    )
    wait_s: int | None = Field(
        default=None,
        ge=5,
        le=86_400,
        description="How long `up` waits for all pods; time for new nodes on top of `startS` if left out.",
    )
    surge: bool = Field(
        default=False, description="Start a new pod before an old one ends: needs spare GPUs, has no pause."
    )
    weights: ModelWeights | None = Field(
        default=None, description="Where weights stay; with none each pod downloads them."
    )
    scaling: ModelScaling | None = Field(default=None, description="Pods by load.")
    ingress: ModelIngress | None = Field(default=None, description="The way in from outside.")
    kubernetes: ModelPlace = Field(default=ModelPlace(), description="Cluster and nodes.")


SECTIONS: tuple[tuple[str, type[Model]], ...] = (
    ("Model on Kubernetes: `gpuplane:modelServers.<name>`", ModelServerSpec),
    ("Its nodes: `kubernetes`", ModelPlace),
    ("Its toleration: an entry of `tolerations`", ModelToleration),
    ("Its weights: `weights`", ModelWeights),
    ("Its scaling: `scaling`", ModelScaling),
    ("Its ingress: `ingress`", ModelIngress),
)
"""What docs/configuration.md says about these, section by section."""

PATTERNS = {
    r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$": "must look like chat.example.com",
    r"^([A-Za-z_:][A-Za-z0-9_:]*)?$": "must be the name of a metric",
    r"^(https?://\S+)?$": "must be a URL that begins with http:// or https://",
}
"""What an error says of each pattern here that stack_config/databases.py has not."""
