"""What a component declares, with Pulumi's mocks in the engine's place.

Every input is held to the SDK's types and to the rules of the stand-ins. No cloud has seen any of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi.runtime
from pulumi.runtime import mocks

from dynamic_providers.host.sdk import SIGNATURE_KEY
from engine.standins import aws, azure_native, gcp, naming, outputs
from engine.standins.cloud import Cloud
from engine.standins.sdk_types import Sdk
from engine.standins.tables import Kind
from engine.standins.validation import Validator

CLOUDS: dict[str, Cloud] = {
    "aws": aws.CLOUD,
    "gcp": gcp.CLOUD,
    "azure-native": azure_native.CLOUD,
}
VALIDATORS = {name: Validator(cloud, Sdk(name)) for name, cloud in CLOUDS.items()}

USER_KUBECONFIG = "YXBpVmVyc2lvbjogdjEKa2luZDogQ29uZmlnCg=="


@dataclass
class Declared:
    """Everything that was registered.

    Attributes:
        inputs: (type, name) -> inputs.
        options: (type, name) -> what the engine is told beside the inputs.
        findings: What the validator has against it.
        outputs: Outputs of the component, by attribute.
        secrets: Those of them that are secret.
    """

    inputs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    options: dict[tuple[str, str], Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Name -> inputs, of one type, which is named by its last part: `NodeGroup`."""
        return {name: inputs for (typ, name), inputs in self.inputs.items() if typ.split(":")[-1] == kind}

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """The inputs of one resource."""
        return self.of(kind)[name]

    def told(self, kind: str, name: str) -> Any:
        """What the engine is told about one resource, beside its inputs."""
        return next(
            told for (typ, each), told in self.options.items() if typ.split(":")[-1] == kind and each == name
        )

    def types(self) -> set[str]:
        """Last parts of all types."""
        return {typ.split(":")[-1] for typ, _ in self.inputs}


def _open(value: Any) -> Any:
    """The same without the marks of secrets, at any depth: what a plugin sees."""
    if isinstance(value, dict):
        if SIGNATURE_KEY in value:
            return _open(value["value"])
        return {key: _open(inner) for key, inner in value.items()}
    return [_open(inner) for inner in value] if isinstance(value, list) else value


def _answer(cloud: Cloud, token: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Id and outputs as the stand-in makes them."""
    kind, settings = cloud.tables.kinds.get(token, Kind()), cloud.settings({})
    values = _open(inputs)
    if kind.name:
        values.setdefault(kind.name, name)
    identifier = naming.identifier(kind, values, settings, name)
    filling = naming.Filling({**values, "id": identifier}, settings, name)
    made = outputs.created(values, {}, kind, filling)
    if token.endswith(":ManagedCluster"):
        made["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {}}
    return identifier, made


class _Mocks(mocks.Mocks):
    def __init__(self, declared: Declared, calls: dict[str, dict[str, Any]], preview: bool) -> None:
        self._declared, self._calls, self._preview = declared, calls, preview
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self._lock = threading.Lock()

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        with self._lock:
            self.loops.add(asyncio.get_event_loop())
            self._declared.inputs[args.typ, args.name] = args.inputs
            validator = VALIDATORS.get(args.typ.split(":")[0])
            # In a preview, mocks leave unknown inputs out.
            if validator and not self._preview:
                found = validator.findings(args.typ, _open(args.inputs))
                self._declared.findings += [f"{args.typ} {args.name}: {each.line}" for each in found]
        if args.typ.endswith(":GeneratedSecret"):
            return "0123456789abcdef", {**args.inputs, "value": "g" * int(args.inputs["length"])}
        if validator is None or args.typ.startswith("pulumi:"):
            return f"{args.name}-id", args.inputs
        return _answer(CLOUDS[args.typ.split(":")[0]], args.typ, args.name, args.inputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        with self._lock:
            self.loops.add(asyncio.get_event_loop())
        answers = {
            "azure-native:containerservice:listManagedClusterUserCredentials": {
                "kubeconfigs": [{"name": "clusterUser", "value": USER_KUBECONFIG}]
            },
            **self._calls,
        }
        return answers[args.token], []


class _Monitor(mocks.MockMonitor):
    """Keeps what the engine is told beside the inputs."""

    def __init__(self, declared: Declared, mine: mocks.Mocks) -> None:
        super().__init__(mine)
        self._declared = declared

    def RegisterResource(self, request: Any) -> Any:
        self._declared.options[request.type, request.name] = request
        register: Callable[[Any], Any] = super().RegisterResource
        return register(request)


def declare(
    build: Callable[[], Any],
    *attributes: str,
    preview: bool = False,
    calls: dict[str, dict[str, Any]] | None = None,
) -> Declared:
    """Runs a component.

    Args:
        build: Makes it.
        attributes: Its attributes to be read.
        preview: Nothing is there yet, so that outputs are unknown.
        calls: Function -> answer.
    """
    declared = Declared()
    recorder = _Mocks(declared, calls or {}, preview)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(
        recorder,
        project="gpuplane",
        stack="test",
        preview=preview,
        monitor=_Monitor(declared, recorder),
    )

    @pulumi.runtime.test
    def run() -> Any:
        component = build()

        async def collect() -> None:
            for name in attributes:
                output = pulumi.Output.from_input(getattr(component, name))
                declared.outputs[name] = await output.future()
                if await output.is_secret():
                    declared.secrets.add(name)

        return pulumi.Output.from_input(collect())

    try:
        run()
    except BaseException:
        # It is passed on here. What waited for it would log it once more when it is collected.
        loop.set_exception_handler(lambda loop, context: None)
        raise
    finally:
        asyncio.set_event_loop(None)
        for each in {loop, *recorder.loops}:
            each.close()
    return declared
