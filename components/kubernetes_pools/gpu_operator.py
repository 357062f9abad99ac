"""NVIDIA's GPU Operator, from its chart: it has no shorter form."""

from __future__ import annotations

import pulumi

NAMESPACE = "gpu-operator"


def gpu_operator(name: str, chart: str, opts: pulumi.ResourceOptions) -> None:
    """Installs the operator. It then owns driver and device plugin of the pools with `driver: operator`.

    Args:
        name: Name of the cluster, for the resources' names.
        chart: Path of the chart, unpacked.
        opts: Provider of the cluster, and the parent.
    """
    from pulumi_kubernetes import core, helm, meta

    namespace = core.v1.Namespace(
        f"{name}-gpu-operator",
        metadata=meta.v1.ObjectMetaArgs(
            name=NAMESPACE,
            # It loads kernel modules.
            labels={"pod-security.kubernetes.io/enforce": "privileged"},
        ),
        opts=opts,
    )
    helm.v3.Chart(
        f"{name}-gpu-operator",
        helm.v3.LocalChartOpts(
            path=chart,
            namespace=NAMESPACE,
            values={
                "driver": {"enabled": True},
                "toolkit": {"enabled": True},
                "devicePlugin": {"enabled": True},
                "daemonsets": {"tolerations": [{"operator": "Exists"}]},
                "operator": {"defaultRuntime": "containerd"},
            },
        ),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[namespace])),
    )
