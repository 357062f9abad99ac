"""A Deployment on a pool of GPU nodes. Configuration: `namespace`, `gpus`, `pool`, `seconds`."""

import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
namespace, pool = config.require("namespace"), config.require("pool")
k8s.core.v1.ConfigMap("other", metadata={"namespace": namespace}, data={})
k8s.apps.v1.Deployment(
    "model",
    metadata={"name": "model", "namespace": namespace},
    spec={
        "selector": {"match_labels": {"app": "model"}},
        "strategy": {"type": "Recreate"},
        "template": {
            "metadata": {"labels": {"app": "model"}},
            "spec": {
                "node_selector": {"gpuplane-test/pool": pool},
                "tolerations": [{"key": "gpuplane-test/pool", "operator": "Exists"}],
                "containers": [
                    {
                        "name": "vllm",
                        "image": "example/vllm:1",
                        "resources": {"limits": {"nvidia.com/gpu": config.require("gpus")}},
                    }
                ],
            },
        },
    },
    opts=pulumi.ResourceOptions(
        custom_timeouts=pulumi.CustomTimeouts(
            create=config.get("seconds") or "10m", update=config.get("seconds") or "10m"
        )
    ),
)
