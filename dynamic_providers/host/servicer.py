"""The engine's provider service, answered by the program's dynamic providers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from dynamic_providers.host import diff, errors, sdk
from dynamic_providers.host.call import Call, as_current, type_token
from dynamic_providers.host.messages import EngineLog
from dynamic_providers.host.providers import Providers
from dynamic_providers.host.results import PartialState
from dynamic_providers.host.secrets import Secrets, concealed, decode

VERSION = "1.0.0"
_Answer = TypeVar("_Answer")


class _HalfDone(Exception):
    """A PartialState, ready to be sent."""

    def __init__(self, detail: provider_pb2.ErrorResourceInitFailed) -> None:
        super().__init__("\n".join(detail.reasons))
        self.detail = detail


class Operation:
    """What one request is about: its properties in plain Python, its provider and its secrets.

    Args:
        host: The servicer.
        urn: URN of the resource.
        groups: The property groups of the request; the provider is looked up by the last one that names it.
    """

    def __init__(self, host: Host, urn: str, *groups: struct_pb2.Struct) -> None:
        self.host = host
        self.token = type_token(urn)
        self.values: list[dict[str, Any]] = []
        self.secrets = host.config_secrets | concealed()
        for group in groups:
            values, secrets = decode(group)
            self.values.append(values)
            self.secrets |= secrets
        host.seen.texts.update(self.secrets.texts)
        blobs = [values[sdk.PROVIDER_KEY] for values in self.values if sdk.PROVIDER_KEY in values]
        self.blob = next((blob for blob in reversed(blobs) if isinstance(blob, str)), None)
        sdk.set_up_thread(host.project, urn.partition("::")[0].rpartition(":")[2])
        self.provider = host.providers.get(self.token, self.blob)

    def send(self, values: Mapping[str, Any], *, outputs: bool = True) -> struct_pb2.Struct:
        """Inputs or outputs for the engine: with the provider's own key, and secrets marked."""
        blob = self.blob or sdk.pickle_provider(self.provider)
        names: frozenset[str] = (
            getattr(self.provider, "secret_outputs", frozenset()) if outputs else frozenset()
        )
        # A `configure` or the operation itself may have told of further secrets.
        return sdk.to_struct((self.secrets | concealed()).protect({**values, sdk.PROVIDER_KEY: blob}, names))

    def half_done(self, error: PartialState, inputs: struct_pb2.Struct | None) -> _HalfDone:
        """The error that keeps the id and the outputs in the state."""
        secrets = self.secrets | concealed()
        return _HalfDone(
            provider_pb2.ErrorResourceInitFailed(
                id=error.id,
                properties=self.send(error.outs),
                reasons=[secrets.redact(reason) for reason in error.reasons],
                inputs=inputs,
            )
        )


class Host(provider_pb2_grpc.ResourceProviderServicer):
    """One plugin process.

    Args:
        providers: Where providers come from.
        project: Name of the Pulumi project.
        log: Where messages go.
        cancel: Set when the engine asks to stop.
        seen: Collects every secret text of this process, to keep it out of messages.
    """

    def __init__(
        self, providers: Providers, project: str, log: EngineLog, cancel: threading.Event, seen: Secrets
    ) -> None:
        self.providers = providers
        self.project = project
        self.log = log
        self.cancel = cancel
        self.seen = seen
        self.config_secrets = Secrets()
        self._stables: dict[str, list[str]] = {}

    # -- the life of the process

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Keep the stack's configuration for the providers."""
        config, secrets = decode(request.args)
        self.config_secrets = Secrets(texts=secrets.texts)
        self.seen.texts.update(secrets.texts)
        self.providers.set_config(config)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """The version of this host."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """The user pressed ^C, or the run is over."""
        self.cancel.set()
        return empty_pb2.Empty()

    # -- operations on one resource

    def Check(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Validate inputs and fill in defaults."""

        def check() -> provider_pb2.CheckResponse:
            operation = Operation(self, request.urn, request.olds, request.news)
            olds, news = operation.values
            result = operation.provider.check(olds, news)
            return provider_pb2.CheckResponse(
                inputs=operation.send(news if result.inputs is None else result.inputs, outputs=False),
                failures=[
                    provider_pb2.CheckFailure(
                        property=failure.property, reason=operation.secrets.redact(failure.reason)
                    )
                    for failure in result.failures or []
                ],
            )

        return self._run("check", request.urn, context, check)

    def Diff(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """What a change of inputs does."""

        def compare() -> provider_pb2.DiffResponse:
            operation = Operation(self, request.urn, request.olds, request.old_inputs, request.news)
            olds, old_inputs, news = operation.values
            result = operation.provider.diff(request.id, olds, news)
            self._stables[request.urn] = list(result.stables or [])
            return diff.response(result, old_inputs, news)

        return self._run("diff", request.urn, context, compare)

    def Create(
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Make a resource, or in a preview say what is known of it."""

        def create() -> provider_pb2.CreateResponse:
            operation = Operation(self, request.urn, request.properties)
            (props,) = operation.values
            if request.preview:
                foresee = getattr(operation.provider, "create_preview", None)
                known = {**props, **(foresee(props) if foresee else {})}
                return provider_pb2.CreateResponse(properties=operation.send(known))
            try:
                result = operation.provider.create(props)
            except PartialState as error:
                raise operation.half_done(error, request.properties) from error
            return provider_pb2.CreateResponse(id=result.id, properties=operation.send(result.outs or {}))

        return self._run("create", request.urn, context, create, request.preview, request.timeout)

    def Update(
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Change a resource, or in a preview say what is known of it."""

        def update() -> provider_pb2.UpdateResponse:
            operation = Operation(self, request.urn, request.olds, request.news)
            olds, news = operation.values
            if request.preview:
                foresee = getattr(operation.provider, "update_preview", None)
                # The engine itself does nothing with what the diff called stable.
                stable = {key: olds[key] for key in self._stables.get(request.urn, ()) if key in olds}
                known = {**stable, **news, **(foresee(request.id, olds, news) if foresee else {})}
                return provider_pb2.UpdateResponse(properties=operation.send(known))
            try:
                result = operation.provider.update(request.id, olds, news)
            except PartialState as error:
                raise operation.half_done(error, request.news) from error
            return provider_pb2.UpdateResponse(properties=operation.send(result.outs or {}))

        return self._run("update", request.urn, context, update, request.preview, request.timeout)

    def Read(
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        """The live state: for refresh, import and `get`."""

        def read() -> provider_pb2.ReadResponse:
            operation = Operation(self, request.urn, request.inputs, request.properties)
            inputs, state = operation.values
            imported = not state and not inputs
            try:
                result = operation.provider.read(request.id, state or inputs)
            except PartialState as error:
                old_inputs = None if imported else request.inputs
                raise operation.half_done(error, old_inputs) from error
            if not result.id:
                return provider_pb2.ReadResponse()
            outs = result.outs or {}
            new_inputs = result.inputs if result.inputs is not None else (outs if imported else None)
            return provider_pb2.ReadResponse(
                id=result.id,
                properties=operation.send(outs),
                inputs=None if new_inputs is None else operation.send(new_inputs, outputs=False),
            )

        return self._run("read", request.urn, context, read, timeout=request.timeout)

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Delete a resource."""

        def delete() -> empty_pb2.Empty:
            operation = Operation(self, request.urn, request.old_inputs, request.properties)
            operation.provider.delete(request.id, operation.values[1])
            return empty_pb2.Empty()

        return self._run("delete", request.urn, context, delete, timeout=request.timeout)

    def _run(
        self,
        operation: str,
        urn: str,
        context: grpc.ServicerContext,
        body: Callable[[], _Answer],
        preview: bool = False,
        timeout: float = 0.0,
    ) -> _Answer:
        call = Call(
            urn=urn,
            preview=preview,
            timeout_s=timeout or None,
            cancel=self.cancel,
            hosted=True,
            operation=operation,
        )
        with as_current(call):
            try:
                return body()
            except _HalfDone as error:
                message, detail = str(error), error.detail
            except BaseException as error:  # also SystemExit: no provider may end the process
                message, detail = self._report(call, error), None
            finally:
                self.log.flush(urn)
        return _abort(context, message, detail)

    def _report(self, call: Call, error: BaseException) -> str:
        secrets = self.seen | concealed()
        if trace := errors.debug_trace(error):
            self.log.send(call, secrets.redact(trace), True)
        return secrets.redact(errors.describe(error))


def _abort(
    context: grpc.ServicerContext, message: str, detail: provider_pb2.ErrorResourceInitFailed | None
) -> NoReturn:
    if detail is not None:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort always raises")


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Host, request: object, context: grpc.ServicerContext) -> NoReturn:
        hint = ": import with --generate-code=false" if name == "GetSchema" else ""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"dynamic providers have no {name}{hint}")
        raise AssertionError("abort always raises")

    return refuse


# The generated base class raises instead, which gRPC prints with a traceback.
for _method in provider_pb2.DESCRIPTOR.services_by_name["ResourceProvider"].methods:
    if _method.name not in vars(Host):
        setattr(Host, _method.name, _refuse(_method.name))
