"""The pack's server: the SDK's, which also reads the stack's own configuration.

The engine tells a pack the configuration of the stack, of which the SDK passes on nothing (1.21). One key
of it is read here, `gpuplane:policies`, which holds no secret; all others are left alone. To `pulumi policy
analyze` the engine tells none: there `--policy-pack-config` counts, which `gpuplane policies` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import policy as sdk

from policies.hidden import hiding, secret_paths
from stack_config import StackConfigError
from stack_config.loader import load_policies
from stack_config.policies import Policies, pack_config

KEY = "gpuplane:policies"
_LEVELS = {
    "advisory": analyzer_pb2.ADVISORY,
    "mandatory": analyzer_pb2.MANDATORY,
    "disabled": analyzer_pb2.DISABLED,
}


class Servicer(sdk._PolicyAnalyzerServicer):
    """Method names and arguments are those of the service `pulumirpc.Analyzer`."""

    _of_stack: Policies | None = None

    def ConfigureStack(self, request: Any, context: Any) -> Any:
        """Reads the stack's limits; ends the run with one clear error where they are wrong."""
        try:
            self._of_stack = policies_of(request.config, request.stack)
        except StackConfigError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        return super().ConfigureStack(request, context)

    def Configure(self, request: Any, context: Any) -> Any:
        """Takes the stack's limits where there is a stack, else what the engine was given."""
        mine = request if self._of_stack is None else as_request(self._of_stack)
        return super().Configure(mine, context)  # type: ignore[no-untyped-call]

    def Analyze(self, request: Any, context: Any) -> Any:
        """Looks at one resource, with its secrets known as such."""
        with hiding(secret_paths(json_format.MessageToDict(request.properties))):
            return super().Analyze(request, context)  # type: ignore[no-untyped-call]


def policies_of(config: Mapping[str, str], stack: str) -> Policies:
    """The section of the stack's configuration; the defaults where it has none.

    Args:
        config: Full key -> text, as the engine has it.
        stack: Name of the stack, for errors.

    Raises:
        StackConfigError: The section breaks a rule.
    """
    return load_policies(json.loads(config.get(KEY) or "{}"), stack)


def as_request(policies: Policies) -> Any:
    """What the engine would send for the same as `--policy-pack-config`."""
    request = analyzer_pb2.ConfigureAnalyzerRequest()
    for name, told in pack_config(policies).items():
        sent = request.policyConfig[name]
        sent.enforcementLevel = _LEVELS[told.pop("enforcementLevel")]
        sent.properties.update(told)
    return request
