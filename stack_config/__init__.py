"""Pydantic models of the stack file. Imports no Pulumi and nothing of ours.

`load` turns the values of the Pulumi configuration namespace `gpuplane` into a checked `StackConfig`, or
raises one `StackConfigError` that names stack file, key, rule, nearest valid value and next step.
"""

from __future__ import annotations

from stack_config.control_plane import ControlPlane, Served
from stack_config.errors import Problem, StackConfigError
from stack_config.loader import load
from stack_config.models import (
    CLOUDS,
    CandidateGroup,
    Cluster,
    CredentialSource,
    NodeClass,
    Readiness,
    SecretReference,
    Settings,
    WeightsCache,
)
from stack_config.resolved import Candidate, StackConfig, node_names, readiness_port
from stack_config.skypilot import SkyPilotCluster, SkyPilotServer, SkyPilotTenant
from stack_config.stack_file import NAMESPACE, Opaque, read_stack_file, stack_file_name

__all__ = [
    "CLOUDS",
    "NAMESPACE",
    "Candidate",
    "CandidateGroup",
    "Cluster",
    "ControlPlane",
    "CredentialSource",
    "NodeClass",
    "Opaque",
    "Problem",
    "Readiness",
    "SecretReference",
    "Served",
    "Settings",
    "SkyPilotCluster",
    "SkyPilotServer",
    "SkyPilotTenant",
    "StackConfig",
    "StackConfigError",
    "WeightsCache",
    "load",
    "node_names",
    "read_stack_file",
    "readiness_port",
    "stack_file_name",
]
