"""YAML text and a Helm chart. Configuration: `namespace`, `chart`, `replicas`."""

import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
namespace = config.require("namespace")
TEXT = f"""
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {{name: first, namespace: {namespace}}}
  data: {{mode: "fast"}}
- apiVersion: v1
  kind: ConfigMap
  metadata: {{name: second, namespace: {namespace}}}
---
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: third, namespace: {namespace}}}
"""
k8s.yaml.ConfigGroup("text", yaml=[TEXT])
k8s.helm.v3.Chart(
    "release",
    k8s.helm.v3.LocalChartOpts(
        path=config.require("chart"),
        namespace=namespace,
        values={"replicas": int(config.get("replicas") or "1")},
    ),
)
