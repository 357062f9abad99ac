"""ModelServer: a model that vLLM serves on a Kubernetes pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pydantic import BaseModel, ConfigDict, Field

from components.kubernetes_pools.extras import require
from components.kubernetes_pools.refusal import refuse
from components.model_serving import objects
from components.model_serving.pods import Uses, labels, script
from components.model_serving.rules import broken_rules
from stack_config.model_servers import ModelServerSpec


class ModelServerArgs(BaseModel):
    """Arguments of a ModelServer.

    Attributes:
        spec: What the stack file says of it.
        pools: Cluster -> pool -> what it says of itself, as `pools` of EksGpuCluster and the others; of the
            cluster that `spec` names.
        provider: Kubernetes provider of the cluster; that of kubectl if None.
        api_key: Key that is asked of callers, instead of the one in the stack file. Secret.
        hf_token: Token of Hugging Face, in the same way. Secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    spec: ModelServerSpec
    pools: Mapping[str, Mapping[str, Mapping[str, Any]]] = Field(default_factory=dict)
    provider: pulumi.ProviderResource | None = None
    api_key: pulumi.Output[str] | str | None = Field(default=None, repr=False)
    hf_token: pulumi.Output[str] | str | None = Field(default=None, repr=False)


class ModelServer(pulumi.ComponentResource):
    """**Pulumi type:** `gpuplane:kubernetes:ModelServer`. OpenAI's API for one model, by vLLM.

    A Deployment where a copy of the model fits on one node, else a StatefulSet for each copy, whose pods work
    together. Callers need the key. Every rule is checked before anything is registered.

    Args:
        name: Its name in the stack file; its objects are called so.
        args: Arguments.
        opts: Resource options.

    Attributes:
        url: Base URL for OpenAI's clients, `…/v1`: of the ingress, or inside the cluster without one.
        api_key: Key of the callers; secret.
        model: Name of the model in requests.

    Raises:
        pulumi.RunError: A rule is broken; one line for each.
    """

    url: pulumi.Output[str]
    api_key: pulumi.Output[str]
    model: str

    def __init__(self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        refuse(broken_rules(name, args.spec, args.pools))
        require(f"model server {name}", "kubernetes")
        super().__init__("gpuplane:kubernetes:ModelServer", name, None, opts)
        self._name, self._spec, self._args = name, args.spec, args
        self._opts = pulumi.ResourceOptions(parent=self, provider=args.provider)
        spec, place = args.spec, args.spec.kubernetes
        self.api_key = self._key()
        uses = self._uses()
        workloads = self._single(uses) if spec.nodes == 1 else self._several(uses)
        self._around(workloads)
        self.model = spec.served_name or spec.model
        # Nobody calls it before it answers.
        self.url = pulumi.Output.all(*(each.urn for each in workloads)).apply(
            lambda _: (
                f"https://{spec.ingress.host}/v1"
                if spec.ingress
                else f"http://{name}.{place.namespace}.svc/v1"
            )
        )
        self.register_outputs({"url": self.url, "apiKey": self.api_key, "model": self.model})

    def _meta(self, name: str | None = None, **more: Any) -> dict[str, Any]:
        return {
            "namespace": self._spec.kubernetes.namespace,
            "labels": {**labels(self._name), "app.kubernetes.io/managed-by": "pulumi"},
            **({"name": name} if name else {}),
            **more,
        }

    def _key(self) -> pulumi.Output[str]:
        if self._args.api_key is not None:
            return pulumi.Output.secret(self._args.api_key)
        if self._spec.api_key is not None:
            return pulumi.Output.secret(self._spec.api_key.get_secret_value())
        from dynamic_providers.generated_secret import GeneratedSecret

        made = GeneratedSecret(
            f"{self._name}-api-key",
            length=48,
            rotation=self._spec.key_rotation,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return pulumi.Output.secret(made.value)

    def _secret(self, what: str, texts: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
        """A Secret whose name changes with its content, so that pods start anew; its name."""
        from pulumi_kubernetes import core

        made = core.v1.Secret(
            f"{self._name}-{what}",
            metadata=self._meta(),
            string_data={key: pulumi.Output.secret(text) for key, text in texts.items()},
            opts=self._opts,
        )
        name: pulumi.Output[str] = made.metadata.name
        return name

    def _uses(self) -> Uses:
        from pulumi_kubernetes import core

        spec, token = self._spec, self._args.hf_token
        if token is None and spec.hf_token is not None:
            token = spec.hf_token.get_secret_value()
        scripts = None
        if spec.nodes > 1:
            made = core.v1.ConfigMap(
                f"{self._name}-scripts",
                metadata=self._meta(),
                data={each: script(each) for each in ("start.sh", "probe.py")},
                opts=self._opts,
            )
            scripts = made.metadata.name
        return Uses(
            key=self._secret("key", {"api-key": self.api_key}),
            token=self._secret("token", {"token": token}) if token is not None else spec.hf_token_secret,
            claim=self._claim(),
            scripts=scripts,
            account=spec.service_account or self._account(),
        )

    def _account(self) -> pulumi.Output[str]:
        """A service account without any right."""
        from pulumi_kubernetes import core

        made = core.v1.ServiceAccount(
            f"{self._name}-account",
            metadata=self._meta(self._name),
            automount_service_account_token=False,
            opts=self._opts,
        )
        name: pulumi.Output[str] = made.metadata.name
        return name

    def _claim(self) -> pulumi.Input[str] | None:
        from pulumi_kubernetes import core

        weights = self._spec.weights
        if weights is None or weights.claim:
            return weights.claim if weights else None
        name = f"{self._name}-weights"
        made = core.v1.PersistentVolumeClaim(
            name,
            # A class that binds with the first pod would be waited for, before there is a pod.
            metadata=self._meta(name, annotations={"pulumi.com/skipAwait": "true"}),
            spec={
                "accessModes": [weights.access_mode],
                "resources": {"requests": {"storage": weights.size}},
                **({"storageClassName": weights.storage_class} if weights.storage_class else {}),
            },
            opts=pulumi.ResourceOptions.merge(
                self._opts, pulumi.ResourceOptions(retain_on_delete=weights.keep)
            ),
        )
        found: pulumi.Output[str] = made.metadata.name
        return found

    @property
    def _pool(self) -> objects.Pool:
        place = self._spec.kubernetes
        return self._args.pools.get(place.cluster, {}).get(place.pool)

    def _patient(self, **more: Any) -> pulumi.ResourceOptions:
        """Options of the workloads: how long their pods are waited for."""
        spec = self._spec
        seconds = f"{spec.wait_s or spec.start_s + objects.NEW_NODE_S}s"
        patient = pulumi.ResourceOptions(
            custom_timeouts=pulumi.CustomTimeouts(create=seconds, update=seconds), **more
        )
        merged: pulumi.ResourceOptions = pulumi.ResourceOptions.merge(self._opts, patient)
        return merged

    def _single(self, uses: Uses) -> list[pulumi.Resource]:
        from pulumi_kubernetes import apps

        return [
            apps.v1.Deployment(
                self._name,
                metadata=self._meta(self._name),
                spec=objects.deployment(self._name, self._spec, self._pool, uses),
                # The autoscaler sets the number, once there is one.
                opts=self._patient(ignore_changes=["spec.replicas"] if self._spec.scaling else []),
            )
        ]

    def _several(self, uses: Uses) -> list[pulumi.Resource]:
        from pulumi_kubernetes import apps, core

        made: list[pulumi.Resource] = []
        for number in range(self._spec.replicas):
            group = f"{self._name}-{number}"
            names = core.v1.Service(
                f"{group}-pods",
                metadata=self._meta(group, annotations={"pulumi.com/skipAwait": "true"}),
                spec=objects.headless_service(self._name, group),
                opts=self._opts,
            )
            made.append(
                apps.v1.StatefulSet(
                    group,
                    metadata=self._meta(group),
                    spec=objects.stateful_set(self._name, group, self._spec, self._pool, uses),
                    # Pod by pod, an update would wait for ever: none is well without the others.
                    opts=self._patient(
                        depends_on=[names],
                        replace_on_changes=["spec.template", "spec.replicas"],
                        delete_before_replace=True,
                    ),
                )
            )
        return made

    def _around(self, workloads: list[pulumi.Resource]) -> None:
        """Service, policy, disruption budget, scaling and ingress."""
        from pulumi_kubernetes import apiextensions, autoscaling, core, networking, policy

        name, spec = self._name, self._spec
        after = pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(depends_on=workloads))
        networking.v1.NetworkPolicy(
            f"{name}-network", metadata=self._meta(name), spec=objects.policy(name), opts=self._opts
        )
        policy.v1.PodDisruptionBudget(
            f"{name}-budget", metadata=self._meta(name), spec=objects.disruption_budget(name), opts=self._opts
        )
        # A server that was scaled to none is no service that one could wait for.
        idle = {"annotations": {"pulumi.com/skipAwait": "true"}} if spec.replicas == 0 else {}
        service = core.v1.Service(
            f"{name}-service",
            metadata=self._meta(name, **idle),
            spec=objects.service(name, spec),
            opts=after,
        )
        if spec.scaling is not None and spec.scaling.kind == "hpa":
            autoscaling.v2.HorizontalPodAutoscaler(
                f"{name}-scaling",
                metadata=self._meta(name),
                spec=objects.autoscaler(name, spec.scaling),
                opts=after,
            )
        elif spec.scaling is not None:
            apiextensions.CustomResource(
                f"{name}-scaling",
                api_version="keda.sh/v1alpha1",
                kind="ScaledObject",
                metadata=self._meta(name),
                spec=objects.scaled_object(name, spec.kubernetes.namespace, spec.scaling),
                opts=after,
            )
        if spec.ingress is not None:
            networking.v1.Ingress(
                f"{name}-ingress",
                metadata=self._meta(name, annotations=objects.ingress_annotations(spec.ingress)),
                spec=objects.ingress(name, spec.ingress),
                opts=pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(depends_on=[service])),
            )
