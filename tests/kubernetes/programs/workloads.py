"""Twelve objects of the kinds that most programs have. Configuration: `namespace`, `message`, `secret`."""

import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
namespace = config.require("namespace")
here = {"namespace": namespace}
labels = {"app": "web"}


def named(name: str, **more: object) -> dict[str, object]:
    return {"name": name, **here, **more}


def pod(app: str, **more: object) -> dict[str, object]:
    spec = {"containers": [{"name": "main", "image": "example/app:1", **more}]}
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


account = k8s.core.v1.ServiceAccount("web", metadata=named("web"))
role = k8s.rbac.v1.Role(
    "web",
    metadata=named("web"),
    rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["list"]}],
)
k8s.rbac.v1.RoleBinding(
    "web",
    metadata=named("web"),
    role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
    subjects=[{"kind": "ServiceAccount", "name": account.metadata.name, "namespace": namespace}],
)
settings = k8s.core.v1.ConfigMap("settings", metadata=here, data={"message": config.get("message") or "one"})
secret = k8s.core.v1.Secret("secret", metadata=here, string_data={"password": config.require("secret")})
web = k8s.apps.v1.Deployment(
    "web",
    metadata=named("web", annotations={"pulumi.com/patchForce": config.get("force") or "false"}),
    spec={
        "replicas": 2,
        "selector": {"match_labels": labels},
        "template": pod(
            "web",
            env=[
                {
                    "name": "PASSWORD",
                    "value_from": {"secret_key_ref": {"name": secret.metadata.name, "key": "password"}},
                }
            ],
            env_from=[{"config_map_ref": {"name": settings.metadata.name}}],
            # Kubernetes writes these in its own way: no change for the program.
            resources={"requests": {"cpu": "0.50", "memory": "1024Mi"}},
        ),
    },
)
service = k8s.core.v1.Service(
    "web", metadata=named("web"), spec={"selector": labels, "ports": [{"port": 80, "target_port": 8080}]}
)
k8s.core.v1.PersistentVolumeClaim(
    "claim",
    metadata=named("claim"),
    spec={"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
)
k8s.apps.v1.StatefulSet(
    "data",
    metadata=named("data"),
    spec={
        "replicas": 2,
        "service_name": "data",
        "selector": {"match_labels": {"app": "data"}},
        "template": pod("data"),
        "volume_claim_templates": [
            {
                "metadata": {"name": "disk"},
                "spec": {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        ],
    },
)
k8s.batch.v1.Job(
    "job",
    metadata=named("job"),
    spec={"template": {"spec": {"containers": [{"name": "j", "image": "x:1"}], "restart_policy": "Never"}}},
)
k8s.policy.v1.PodDisruptionBudget(
    "web", metadata=named("web"), spec={"min_available": 1, "selector": {"match_labels": labels}}
)
k8s.networking.v1.Ingress(
    "web",
    metadata=named("web", annotations={"pulumi.com/skipAwait": "true"}),
    spec={
        "rules": [
            {
                "host": "web.example",
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "path_type": "Prefix",
                            "backend": {"service": {"name": service.metadata.name, "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ]
    },
)
pulumi.export("ip", service.spec.cluster_ip)
pulumi.export("settings", settings.metadata.name)
pulumi.export("uid", web.metadata.uid)
