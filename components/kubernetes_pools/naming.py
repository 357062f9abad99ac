"""Names and tags that clouds see. Pure."""

from __future__ import annotations


def physical_name(name: str, stack_id: str) -> str:
    """What a cluster is called in the cloud: two stacks in one account can both have a `train`.

    Args:
        name: Its name in the stack file.
        stack_id: The stack's id; empty where there is none.
    """
    return f"{name}-{stack_id}" if stack_id else name


def tags(name: str, stack_id: str) -> dict[str, str]:
    """Tags or labels of everything that a cluster consists of; valid on all three clouds."""
    return {"gpuplane-cluster": name, **({"gpuplane-stack": stack_id} if stack_id else {})}
