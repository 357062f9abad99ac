"""Writes docs/configuration.md from the models: `python -m stack_config.reference`."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AwareDatetime, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from stack_config import (
    control_plane,
    databases,
    kubernetes_clusters,
    model_servers,
    policies,
    skypilot_kubernetes,
)
from stack_config.models import (
    CandidateGroup,
    Cluster,
    CredentialSource,
    NodeClass,
    Readiness,
    SecretReference,
    Settings,
    StackFile,
    WeightsCache,
)
from stack_config.skypilot import SkyPilotCluster, SkyPilotServer, SkyPilotTenant

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The stack", StackFile),
    ("Credential set: `gpuplane:credentials.<name>`", CredentialSource),
    ("Kubernetes secret: `apiKeySecret`", SecretReference),
    ("Node class: `gpuplane:nodeClasses.<name>`", NodeClass),
    ("Weights cache: `weightsCache`", WeightsCache),
    ("Candidate: an entry of `candidates`", CandidateGroup),
    ("Cluster: `gpuplane:clusters.<name>`", Cluster),
    ("Readiness: `readiness`", Readiness),
    ("SkyPilot server: `gpuplane:skypilotServers.<name>`", SkyPilotServer),
    *skypilot_kubernetes.SECTIONS,
    ("SkyPilot cluster: `gpuplane:skypilotClusters.<name>`", SkyPilotCluster),
    ("SkyPilot tenant: `gpuplane:skypilotTenants.<name>`", SkyPilotTenant),
    ("Settings: `gpuplane:settings`", Settings),
    *kubernetes_clusters.SECTIONS,
    *databases.SECTIONS,
    *model_servers.SECTIONS,
    *control_plane.SECTIONS,
    *policies.SECTIONS,
)

_HEAD = """\
# Configuration

<!-- Written by `gpuplane config-docs` from the models in stack_config/. A test holds both equal. -->

A stack is one file, `Pulumi.<stack>.yaml`. Its keys live under `config`, in the namespace `gpuplane`.
Pulumi.yaml declares the top-level keys; `stack_config/` checks what is inside, before anything is made.
A key that is not listed here is an error, and so is a reference to a name that is not declared. An error
names the file, the key, the rule, the nearest valid value and the next step:

```
Pulumi.prod.yaml: gpuplane:clusters.chat.nodeClass: no node class "smal"; did you mean "small"? use one of \
large, small, or declare it under gpuplane:nodeClasses
```

A smallest stack file:

```yaml
config:
  gpuplane:stackId: k3v9x2pq            # written by `gpuplane init`
  gpuplane:credentials:
    main:
      cloud: runpod
      apiKeyEnv: RUNPOD_API_KEY
  gpuplane:clusters:
    chat:
      nodes: 2
      image: vllm/vllm-openai:v0.11.0
      args: --model Qwen/Qwen3-8B
      ports: [8000/http]
      readiness: {kind: http, path: /health}
      maxHourlyUsd: 1.5
      candidates:
        - {cloud: runpod, credentials: main, gpus: [RTX4090, L40S], regions: [EU-RO-1]}
```

Names of credential sets, node classes and clusters have lower-case letters, digits and inner hyphens. A
node is called `<cluster>-<index>`; that has at most 24 characters, because it is part of the node's name
in the cloud.

Candidates are tried in this order: by `priority`, then as written; inside one entry GPU by GPU, each in
every region. `order: price` sorts them by today's price instead. Adding a candidate never replaces a
living node; removing the one that a node was made from does.

A secret is a secure value of the stack, or for an account an environment variable or a Kubernetes secret:

```
pulumi config set --secret --path 'gpuplane:credentials.main.apiKey'
```

Secrets appear in no output, log or error. `apiKey` and `sshKey` in clear text are refused: the engine would
keep them so. It writes the configuration of a refused run, too, into the backend's history: after one, use a
new key.
"""


def reference() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(title, model) for title, model in _SECTIONS)


def _section(title: str, model: type[BaseModel]) -> str:
    text = inspect.cleandoc(model.__doc__ or "")
    rows = "\n".join(_row(name, field) for name, field in model.model_fields.items())
    return f"\n## {title}\n\n{text}\n\n| key | type | default | meaning |\n|---|---|---|---|\n{rows}\n"


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{field.alias or name}`", _type(field), _default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, "", (), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _type(field: FieldInfo) -> str:
    limits = "".join(_limits(field.metadata))
    return _words(field.annotation) + (f", {limits}" if limits else "")


def _limits(metadata: list[Any]) -> Iterator[str]:
    low = next((m for m in metadata if isinstance(m, Ge | Gt)), None)
    high = next((m for m in metadata if isinstance(m, Le | Lt)), None)
    if isinstance(low, Ge) and isinstance(high, Le):
        yield f"{low.ge} to {high.le}"
    elif isinstance(low, Gt) and isinstance(high, Le):
        yield f"above {low.gt}, at most {high.le}"
    elif isinstance(low, Ge):
        yield f"at least {low.ge}"


def _words(annotation: Any) -> str:
    """A type in plain words."""
    origin = get_origin(annotation)
    if annotation is AwareDatetime:
        return "time with zone"
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        found = [m for m in metadata if isinstance(m, FieldInfo)]
        limits = "".join(_limits([m for info in found for m in info.metadata]))
        return _words(inner) + (f", {limits}" if limits else "")
    if origin in (Union, types.UnionType):
        return _words(next(arg for arg in get_args(annotation) if arg is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in get_args(annotation))
    if origin is tuple:
        return f"list of {_words(get_args(annotation)[0])}"
    if origin is dict:
        return f"object: name -> {_words(get_args(annotation)[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    return {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        SecretStr: "secret text",
        Any: "anything",
    }[annotation]


if __name__ == "__main__":
    print(reference(), end="")
