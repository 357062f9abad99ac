"""A CRD, a resource of it, and a change to somebody else's ConfigMap. Configuration: `namespace`, `group`."""

import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
namespace, group = config.require("namespace"), config.require("group")
k8s.apiextensions.v1.CustomResourceDefinition(
    "models",
    metadata={"name": f"models.{group}"},
    spec={
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": "models", "singular": "model", "kind": "Model"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "open_apiv3_schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"gpus": {"type": "integer"}}}
                        },
                    }
                },
            }
        ],
    },
)
# Without depends_on: the API server has the kind a moment later.
k8s.apiextensions.CustomResource(
    "llama",
    api_version=f"{group}/v1",
    kind="Model",
    metadata={"name": "llama", "namespace": namespace},
    spec={"gpus": 8},
)
# Neither is anything known about namespaces of the kind when the first run checks this one.
k8s.apiextensions.CustomResource(
    "second", api_version=f"{group}/v1", kind="Model", metadata={"name": "second"}, spec={"gpus": 1}
)
k8s.core.v1.ConfigMapPatch(
    "patch",
    metadata={
        "name": "theirs",
        "namespace": namespace,
        "annotations": {"pulumi.com/patchForce": "true"},
    },
    data={"ours": "yes"},
)
