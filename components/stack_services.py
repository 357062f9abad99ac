"""The databases and the model servers that a stack file declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from components.databases.rules import SECTION as DATABASES
from components.databases.rules import broken_rules as broken_databases
from components.kubernetes_pools.outputs import pool_outputs
from components.kubernetes_pools.plan import PoolPlan
from components.model_serving.rules import SECTION as MODELS
from components.model_serving.rules import broken_rules as broken_models
from stack_config import Problem, StackConfig, StackConfigError, stack_file_name
from stack_config.databases import KubernetesPlace, PostgresServer, RedisServer

if TYPE_CHECKING:
    from components.kubernetes_clusters import KubernetesClusters
    from components.model_server import ModelServer
    from components.postgres_service import PostgresService
    from components.redis_service import RedisService

Pools = dict[str, dict[str, dict[str, Any]]]


class StackServices:
    """Declares the databases and model servers of a stack.

    The rules of all of them are looked at first, before anything is registered. What is not declared is not
    imported.

    Args:
        config: The checked configuration.
        kubernetes: The clusters of the stack; declared before `declare` is called.

    Attributes:
        postgres: PostgreSQL databases by name.
        redis: Redis databases by name.
        models: Model servers by name.

    Raises:
        pulumi.RunError: A rule is broken; one line for each.
    """

    postgres: Mapping[str, PostgresService]
    redis: Mapping[str, RedisService]
    models: Mapping[str, ModelServer]

    def __init__(self, config: StackConfig, kubernetes: KubernetesClusters) -> None:
        if problems := broken_rules(config):
            raise pulumi.RunError(StackConfigError(stack_file_name(config.stack), problems).message)
        self._config, self._kubernetes = config, kubernetes
        self._providers: dict[tuple[str, str], pulumi.ProviderResource] = {}
        self.postgres, self.redis, self.models = {}, {}, {}

    def declare(self) -> None:
        """Declares them all."""
        config = self._config
        if config.postgres_services:
            from components.postgres_service import PostgresService, PostgresServiceArgs

            self.postgres = {
                name: PostgresService(name, PostgresServiceArgs(server=server, **self._places(server)))
                for name, server in config.postgres_services.items()
            }
        if config.redis_services:
            from components.redis_service import RedisService, RedisServiceArgs

            self.redis = {
                name: RedisService(name, RedisServiceArgs(server=server, **self._places(server)))
                for name, server in config.redis_services.items()
            }
        if config.model_servers:
            from components.model_server import ModelServer, ModelServerArgs

            pools = pools_of(config)
            self.models = {
                name: ModelServer(
                    name,
                    ModelServerArgs(spec=spec, pools=pools, provider=self._provider(spec.kubernetes)),
                )
                for name, spec in config.model_servers.items()
            }

    def outputs(self) -> dict[str, Any]:
        """How each is reached; URLs of databases and keys of models are secrets."""
        made: dict[str, PostgresService | RedisService] = {**self.postgres, **self.redis}
        databases = {
            name: {
                "url": each.url,
                "host": each.host,
                "secretName": each.secret_name,
                "estimatedHourly": dict(each.estimated_hourly),
            }
            for name, each in made.items()
        }
        models = {
            name: {"url": each.url, "apiKey": each.api_key, "model": each.model}
            for name, each in self.models.items()
        }
        return {
            **({"databases": databases} if databases else {}),
            **({"modelServers": models} if models else {}),
        }

    def _places(self, server: PostgresServer | RedisServer) -> dict[str, Any]:
        """The arguments that say where."""
        found: dict[str, Any] = {"stack_id": self._config.stack_id}
        if server.target == "kubernetes":
            found["provider"] = self._provider(server.kubernetes)
        if server.connection is not None:
            found["connection_provider"] = self._provider(server.connection)
        return found

    def _provider(self, place: KubernetesPlace) -> pulumi.ProviderResource | None:
        """Provider of a cluster of this stack, or of a kubeconfig; None for that of kubectl."""
        if place.cluster:
            return self._kubernetes.provider(place.cluster)
        if not place.kubeconfig and not place.context:
            return None
        from pulumi_kubernetes import Provider

        key = (place.kubeconfig, place.context)
        if key not in self._providers:
            self._providers[key] = Provider(
                f"kubernetes-{len(self._providers)}",
                kubeconfig=place.kubeconfig or None,
                context=place.context or None,
            )
        return self._providers[key]


def broken_rules(config: StackConfig) -> list[Problem]:
    """Every broken rule of the databases and model servers of a stack.

    Args:
        config: The checked configuration.
    """
    pools = pools_of(config)
    clusters = frozenset(pools)
    problems: list[Problem] = []
    for name, postgres in config.postgres_services.items():
        problems += broken_databases("postgres", name, postgres, clusters)
    for name, redis in config.redis_services.items():
        problems += broken_databases("redis", name, redis, clusters)
    for name, spec in config.model_servers.items():
        problems += broken_models(name, spec, pools)
    return problems + _twice(config)


def _twice(config: StackConfig) -> list[Problem]:
    """Names that two have: their objects on Kubernetes would have the same names."""
    sections = {
        DATABASES["postgres"]: config.postgres_services,
        DATABASES["redis"]: config.redis_services,
        MODELS: config.model_servers,
    }
    first: dict[str, str] = {}
    problems = []
    for section, names in sections.items():
        for name in names:
            if name in first:
                problems.append(Problem(f"{section}.{name}", f"is a name in {first[name]} already"))
            first.setdefault(name, section)
    return problems


def pools_of(config: StackConfig) -> Pools:
    """Cluster -> pool -> what it says of itself, of all clusters of a stack.

    Args:
        config: The checked configuration.
    """
    if not (config.postgres_services or config.redis_services or config.model_servers):
        return {}
    plans: dict[str, list[PoolPlan]] = {}
    if config.eks_clusters:
        from components.eks.rules import plan_eks

        plans |= {name: plan_eks(name, each)[0] for name, each in config.eks_clusters.items()}
    if config.gke_clusters:
        from components.gke.rules import plan_gke

        plans |= {name: plan_gke(name, each)[0] for name, each in config.gke_clusters.items()}
    if config.aks_clusters:
        from components.aks.rules import plan_aks

        plans |= {name: plan_aks(name, each)[0] for name, each in config.aks_clusters.items()}
    return {name: {plan.name: pool_outputs(plan) for plan in found} for name, found in plans.items()}
