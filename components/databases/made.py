"""What every place answers once the database is declared there."""

from __future__ import annotations

from dataclasses import dataclass, field

import pulumi

from components.kubernetes_pools.naming import physical_name, tags


@dataclass(frozen=True)
class Made:
    """A declared database.

    Attributes:
        url: How to connect, password and all; secret.
        host: Name or address of the server.
        ca: Certificate of the authority that signed the server's, where it is none that everybody knows.
        ready: What has to exist before anybody connects.
    """

    url: pulumi.Output[str]
    host: pulumi.Output[str]
    ca: pulumi.Output[str] | None = None
    ready: list[pulumi.Resource] = field(default_factory=list)


@dataclass(frozen=True)
class Owner:
    """Whose resources they are.

    Attributes:
        name: Name of the database in the stack file.
        stack_id: Id of the stack.
        opts: Options of every resource: the parent, for Kubernetes the provider.
    """

    name: str
    stack_id: str
    opts: pulumi.ResourceOptions

    @property
    def physical(self) -> str:
        """Its name in a cloud."""
        return physical_name(self.name, self.stack_id)

    @property
    def tags(self) -> dict[str, str]:
        """Tags of everything in a cloud."""
        return {
            "gpuplane-database": self.name,
            **{
                key: value for key, value in tags(self.name, self.stack_id).items() if key == "gpuplane-stack"
            },
        }

    def password(self, rotation: str) -> pulumi.Output[str]:
        """A generated password of 43 characters, with a capital, a small letter and a digit: Azure's rule."""
        from dynamic_providers.generated_secret import GeneratedSecret

        made = GeneratedSecret(
            f"{self.name}-password",
            length=40,
            rotation=rotation,
            opts=pulumi.ResourceOptions(parent=self.opts.parent),
        )
        return pulumi.Output.secret(made.value.apply(lambda text: f"{text}aA1"))

    def with_options(self, **more: object) -> pulumi.ResourceOptions:
        """The options of every resource, and some more."""
        merged: pulumi.ResourceOptions = pulumi.ResourceOptions.merge(
            self.opts,
            pulumi.ResourceOptions(**more),  # type: ignore[arg-type] # options of any kind
        )
        return merged
