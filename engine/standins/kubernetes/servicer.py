"""The calls of the engine, as the work of `provider`."""

import json
import threading
from collections.abc import Callable
from importlib import metadata as packages
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as proto

from engine.standins.announcing import is_first
from engine.standins.kubernetes import checking, diff, functions, settings, values
from engine.standins.kubernetes.announcing import MESSAGE
from engine.standins.kubernetes.cluster import ApiRefused, UnknownKind, Unreachable
from engine.standins.kubernetes.objects import full_name, metadata
from engine.standins.kubernetes.provider import Asked, Outcome, Provider, Refused
from engine.standins.kubernetes.redaction import Redactor
from engine.standins.kubernetes.settings import BadSettings, Settings

_EXPECTED = (Refused, ApiRefused, UnknownKind, Unreachable, functions.FunctionFailed, BadSettings)
_SECRET_DATA: frozenset[values.Path] = frozenset({("data",), ("stringData",)})
_REMOTE = "(yaml.v2, helm.v4 and kustomize.v2 are remote components; yaml v1 and helm.v3.Chart are there)"


def version() -> str:
    """That of the SDK: the engine compares it with what programs ask for."""
    try:
        return packages.version("pulumi-kubernetes")
    except packages.PackageNotFoundError:
        return "0.0.0"


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """The gRPC service. Method names and arguments are those of `pulumirpc.ResourceProvider`.

    Args:
        engine: the engine's address; empty without.
    """

    def __init__(self, engine: str) -> None:
        self._engine_address = engine
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine)) if engine else None
        self._stop = threading.Event()
        self._secrets = Redactor()
        self._provider = Provider(Settings(), self._stop)
        self._warned: set[str] = set()

    # ---- the plugin

    def Handshake(self, request: Any, context: Any) -> Any:
        """What both sides can do."""
        return proto.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """The version."""
        return plugin_pb2.PluginInfo(version=version())

    def Attach(self, request: Any, context: Any) -> Any:
        """Another engine takes over (debugging)."""
        return empty_pb2.Empty()

    def GetSchema(self, request: Any, context: Any) -> Any:
        """Only the name: nobody generates an SDK from a stand-in."""
        return proto.GetSchemaResponse(schema=json.dumps({"name": "kubernetes", "version": version()}))

    def Cancel(self, request: Any, context: Any) -> Any:
        """Ends all waiting. The engine calls this at the end of every run, too."""
        self._stop.set()
        return empty_pb2.Empty()

    # ---- its configuration

    def CheckConfig(self, request: Any, context: Any) -> Any:
        """Refuses a configuration that cannot work."""
        try:
            settings.read(values.load(request.news).value)
        except BadSettings as error:
            failure = proto.CheckFailure(property=error.name, reason=self._secrets.clean(str(error)))
            return proto.CheckResponse(inputs=request.news, failures=[failure])
        return proto.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Another cluster means other objects; a new token for the same one does not."""
        olds = request.old_inputs if request.HasField("old_inputs") else request.olds
        old, new = values.load(olds).value, values.load(request.news).value
        kind = proto.DiffResponse.DIFF_NONE if old == new else proto.DiffResponse.DIFF_SOME
        replaces = ["kubeconfig"] if settings.is_other_place(old, new) else []
        return proto.DiffResponse(changes=kind, replaces=replaces)

    def Configure(self, request: Any, context: Any) -> Any:
        """Takes the configuration, and says that this is a stand-in."""
        given = values.load(request.args)
        try:
            found = settings.read(given.value)
        except BadSettings as error:
            self._fail(context, f"{error.name}: {error}")
        # Most words of a kubeconfig are in many messages: only its credentials are taken out of them.
        self._secrets.learn(given.value, given.secrets - {("kubeconfig",)})
        self._secrets.learn(settings.credentials(found.kubeconfig), [()])
        self._provider = Provider(found, self._stop)
        if is_first(self._engine_address, "kubernetes"):
            self._log("", MESSAGE, engine_pb2.WARNING, ephemeral=False)
        return proto.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    # ---- objects

    def Check(self, request: Any, context: Any) -> Any:
        """Inputs with a name and a namespace."""
        naming = checking.Naming(seed=request.randomSeed)
        if request.HasField("autonaming"):
            modes = proto.CheckRequest.AutonamingOptions.Mode
            naming = checking.Naming(
                request.autonaming.proposed_name,
                request.autonaming.mode == modes.Value("DISABLE"),
                request.randomSeed,
            )
        provider = self._provider
        checked = checking.check(
            request.urn,
            values.load(request.news),
            values.load(request.olds).value,
            naming,
            provider.is_namespaced,
            provider.settings.namespace,
        )
        return proto.CheckResponse(
            inputs=values.dump(checked.inputs.value, checked.inputs.secrets),
            failures=[proto.CheckFailure(property=name, reason=words) for name, words in checked.failures],
        )

    def Diff(self, request: Any, context: Any) -> Any:
        """What a run would change."""
        old, new = values.load(request.old_inputs).value, values.load(request.news).value
        namespace = metadata(values.load(request.olds).value).get("namespace")
        if metadata(old) and "namespace" not in metadata(old) and namespace:
            # The kind was not known when the object was made, so the namespace was filled in later.
            old = {**old, "metadata": {**metadata(old), "namespace": namespace}}
        found = diff.compare(old, new, self._provider.settings.mutable)
        response = proto.DiffResponse
        detailed = {
            path: proto.PropertyDiff(
                kind=proto.PropertyDiff.Kind.Value(how + ("_REPLACE" if path in found.replaces else "")),
                inputDiff=True,
            )
            for path, how in found.changes.items()
        }
        return response(
            changes=response.DIFF_SOME if found.changes else response.DIFF_NONE,
            replaces=found.replaces,
            diffs=diff.top_level(found.changes),
            detailedDiff=detailed,
            hasDetailedDiff=True,
            deleteBeforeReplace=found.delete_first,
        )

    def Create(self, request: Any, context: Any) -> Any:
        """Creates an object."""
        inputs = self._loaded(request.properties)
        asked = self._asked(request, preview=request.preview)
        outcome = self._do(context, lambda: self._provider.create(asked, inputs))
        self._check_ready(context, outcome, "was created and is not ready")
        return proto.CreateResponse(id=outcome.id, properties=_dumped(outcome.state))

    def Update(self, request: Any, context: Any) -> Any:
        """Changes an object."""
        inputs, state = self._loaded(request.news), self._loaded(request.olds).value
        asked = self._asked(request, preview=request.preview)
        ignored = list(request.ignoreChanges)
        outcome = self._do(context, lambda: self._provider.update(asked, request.id, state, inputs, ignored))
        self._check_ready(context, outcome, "was updated and is not ready")
        return proto.UpdateResponse(properties=_dumped(outcome.state))

    def Read(self, request: Any, context: Any) -> Any:
        """Reads an object: for a refresh, an import or `get`."""
        inputs, state = self._loaded(request.inputs), self._loaded(request.properties)
        asked = self._asked(request)
        outcome = self._do(context, lambda: self._provider.read(asked, request.id, state, inputs))
        if outcome is None:
            return proto.ReadResponse()
        self._check_ready(context, outcome, "is not ready")
        return proto.ReadResponse(
            id=outcome.id, properties=_dumped(outcome.state), inputs=_dumped(outcome.inputs)
        )

    def Delete(self, request: Any, context: Any) -> Any:
        """Deletes an object."""
        state = self._loaded(request.properties).value
        asked = self._asked(request)
        self._do(context, lambda: self._provider.delete(asked, request.id, state))
        return empty_pb2.Empty()

    # ---- functions

    def Invoke(self, request: Any, context: Any) -> Any:
        """Calls a function of the SDK."""
        arguments = self._loaded(request.args).value
        try:
            found = functions.call(request.tok, arguments, self._provider.settings.namespace)
        except functions.NoSuchFunction as error:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        except functions.FunctionFailed as error:
            self._fail(context, str(error))
        response = proto.InvokeResponse()
        getattr(response, "return").CopyFrom(values.dump({"result": found}))  # a word of Python
        return response

    def Construct(self, request: Any, context: Any) -> Any:
        """Remote components are not in the stand-in."""
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"gpuplane's stand-in for the Kubernetes plugin does not have {request.type} {_REMOTE}",
        )

    # ---- helpers

    def _loaded(self, struct: Any) -> values.Loaded:
        found = values.load(struct)
        parts = _SECRET_DATA if found.value.get("kind") == "Secret" else frozenset()
        self._secrets.learn(found.value, found.secrets | parts)
        return found

    def _asked(self, request: Any, *, preview: bool = False) -> Asked:
        urn = request.urn

        def warn(message: str) -> None:
            if message not in self._warned:
                self._warned.add(message)
                self._log(urn, message, engine_pb2.WARNING, ephemeral=False)

        return Asked(
            urn,
            request.timeout,
            preview,
            tell=lambda message: self._log(urn, message, engine_pb2.INFO, ephemeral=True),
            warn=warn,
        )

    def _do(self, context: Any, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except _EXPECTED as error:
            self._fail(context, str(error))

    def _check_ready(self, context: Any, outcome: Outcome, words: str) -> None:
        if not outcome.reasons:
            return
        kind = outcome.state.value.get("kind")
        detail = proto.ErrorResourceInitFailed(
            id=outcome.id,
            properties=_dumped(outcome.state),
            reasons=[self._secrets.clean(reason) for reason in outcome.reasons],
            inputs=_dumped(outcome.inputs),
        )
        self._fail(context, f"{kind} {full_name(outcome.state.value)} {words}", detail)

    def _fail(self, context: Any, message: str, detail: Any = None) -> NoReturn:
        """Ends a call with an error; with a detail, the engine keeps what is there of the object."""
        message = self._secrets.clean(message)
        if detail is not None:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status = status_pb2.Status(
                code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[packed]
            )
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, message)
        raise AssertionError("abort raises")

    def _log(self, urn: str, message: str, severity: Any, *, ephemeral: bool) -> None:
        if self._engine is None:
            return
        try:
            self._engine.Log(
                engine_pb2.LogRequest(
                    severity=severity, message=self._secrets.clean(message), urn=urn, ephemeral=ephemeral
                )
            )
        except grpc.RpcError:
            return  # the engine is ending


def _dumped(loaded: values.Loaded) -> Any:
    return values.dump(loaded.value, loaded.secrets)
