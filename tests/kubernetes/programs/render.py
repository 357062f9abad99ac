"""A provider that writes files. Configuration: `folder`, `image`."""

import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
files = k8s.Provider("files", render_yaml_to_directory=config.require("folder"))
opts = pulumi.ResourceOptions(provider=files)
k8s.core.v1.Secret(
    "key", metadata={"name": "key"}, string_data={"k": config.require_secret("word")}, opts=opts
)
k8s.apps.v1.Deployment(
    "web",
    metadata={"name": "web", "namespace": "apps"},
    spec={
        "selector": {"match_labels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": config.require("image")}]},
        },
    },
    opts=opts,
)
k8s.apiextensions.v1.CustomResourceDefinition(
    "things",
    metadata={"name": "things.example.com"},
    spec={
        "group": "example.com",
        "scope": "Cluster",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"open_apiv3_schema": {"type": "object"}},
            }
        ],
    },
    opts=opts,
)
