"""The engine's provider service, answered without a cloud.

Without a folder for pretended objects (`GPUPLANE_STAND_IN_STATE`) only previews are answered: an `up` that
makes nothing, or a refresh that finds nothing, would be a lie that the stack's state keeps.
"""

from __future__ import annotations

import functools
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from engine.standins import naming, outputs
from engine.standins.cloud import Asked, Cloud, NoAnswer
from engine.standins.diffing import differences
from engine.standins.reading import inputs_now
from engine.standins.references import Planned, missing
from engine.standins.sdk_types import Sdk
from engine.standins.store import Store, Taken, unhide
from engine.standins.tables import Kind
from engine.standins.validation import Validator
from engine.standins.values import Values, decode, encode, plain, redact

STATE_VARIABLE = "GPUPLANE_STAND_IN_STATE"
_KINDS = provider_pb2.PropertyDiff.Kind
_Method = TypeVar("_Method", bound=Callable[..., Any])


class Refused(Exception):
    """What a stand-in does not do. The message is one line."""


def _answered(method: _Method) -> _Method:
    """Turns what a method raises into one line in the engine's output, without the request's secrets."""

    @functools.wraps(method)
    def answer(self: StandIn, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except (Refused, Taken) as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Exception as error:
            context.abort(grpc.StatusCode.INTERNAL, f"the stand-in failed: {type(error).__name__}: {error}")

    return cast(_Method, answer)


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """A plugin for one cloud.

    Args:
        cloud: which one.
        sdk: its SDK package.
        store: the pretended objects; None: there are none, and only previews are answered.
        announce: prints a warning in the engine's output.
    """

    def __init__(self, cloud: Cloud, sdk: Sdk, store: Store | None, announce: Callable[[str], None]) -> None:
        self._cloud, self._sdk, self._store = cloud, sdk, store
        self._announce = functools.cache(announce)
        self._validator = Validator(cloud, sdk)
        self._tables = self._validator.tables
        self._settings = cloud.settings({})
        self._planned = Planned()
        self.cancelled = threading.Event()

    # -- the plugin itself

    def Handshake(self, request: Any, context: Any) -> Any:
        """Secrets are kept."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """The version of the SDK that inputs are checked against."""
        return plugin_pb2.PluginInfo(version=self._sdk.version)

    def Attach(self, request: Any, context: Any) -> Any:
        """Nothing to do: there is no other process."""
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        """Nothing to wait for: no operation takes time."""
        return empty_pb2.Empty()

    @_answered
    def CheckConfig(self, request: Any, context: Any) -> Any:
        """The provider's own configuration: its names, since its values may be JSON in strings."""
        known = self._sdk.provider_inputs()
        # The engine's own keys are in it too.
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"{name}: there is no such setting")
            for name in decode(request.news)
            if name not in known
            and name not in ("version", "pluginDownloadURL")
            and not name.startswith("__")
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """No setting replaces what was made with it."""
        changed = decode(request.old_inputs) != decode(request.news)
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some if changed else none)

    @_answered
    def Configure(self, request: Any, context: Any) -> Any:
        """Takes the settings, and says what this is."""
        self._settings = self._cloud.settings(plain(decode(request.args)))
        self._announce(self._cloud.announcement)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=False)

    # -- resources

    @_answered
    def Check(self, request: Any, context: Any) -> Any:
        """Makes up a missing name and checks everything."""
        token, inputs = _token(request.urn), decode(request.news)
        kind = self._kind(token)
        if kind.auto and kind.name and kind.name not in inputs and self._sdk.has(token):
            name = self._name(kind, request)
            if name:
                inputs[kind.name] = name
        findings = self._validator.findings(token, inputs)
        if not findings and self._store is not None:
            findings = list(missing(token, plain(inputs), self._tables, self._store, self._planned))
        failures = [provider_pb2.CheckFailure(property=each.path, reason=each.line) for each in findings]
        return provider_pb2.CheckResponse(inputs=encode(inputs), failures=failures)

    def _name(self, kind: Kind, request: Any) -> str:
        old = plain(decode(request.olds)).get(kind.name)
        if isinstance(old, str):
            return old
        wish = request.autonaming if request.HasField("autonaming") else None
        if wish is not None and wish.mode == provider_pb2.CheckRequest.AutonamingOptions.DISABLE:
            return ""
        if wish is not None and wish.proposed_name:
            return str(wish.proposed_name)
        logical = request.urn.rpartition("::")[2]
        return naming.made_up(logical, request.randomSeed or secrets.token_bytes(16), kind)

    @_answered
    def Diff(self, request: Any, context: Any) -> Any:
        """Property by property; what replaces is in the cloud's table."""
        olds, news = plain(decode(request.old_inputs)), plain(decode(request.news))
        found = differences(olds, news, self._tables.replacement.get(_token(request.urn), ()))
        detail = {
            each.path: provider_pb2.PropertyDiff(
                kind=_KINDS.Value(each.change.upper() + ("_REPLACE" if each.replaces else "")), inputDiff=True
            )
            for each in found
        }
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if found else none,
            diffs=sorted({_top(each.path) for each in found}),
            replaces=sorted({_top(each.path) for each in found if each.replaces}),
            detailedDiff=detail,
            hasDetailedDiff=True,
        )

    @_answered
    def Create(self, request: Any, context: Any) -> Any:
        """Pretends to make an object; refuses a name that another one has."""
        token, inputs = _token(request.urn), decode(request.properties)
        kind, computed = self._kind(token), self._computed(token)
        if request.preview:
            self._planned.add(token, inputs)
            return provider_pb2.CreateResponse(properties=encode(outputs.preview(inputs, computed, kind)))
        store, seed = self._pretending("creates"), secrets.token_hex(16)
        identifier = naming.identifier(kind, inputs, self._settings, seed)
        filling = naming.Filling({**inputs, "id": identifier}, self._settings, seed)
        made = outputs.created(inputs, computed, kind, filling)
        store.add(token, identifier, made, functools.partial(naming.is_same, kind, plain(made)))
        return provider_pb2.CreateResponse(id=identifier, properties=encode(made))

    @_answered
    def Update(self, request: Any, context: Any) -> Any:
        """Pretends to change an object."""
        token, inputs, olds = _token(request.urn), decode(request.news), decode(request.olds)
        _ours(olds, request.id)
        self._refuse_immutable(token, plain(decode(request.old_inputs)), plain(inputs))
        made = outputs.updated(
            inputs, olds, decode(request.old_inputs), self._kind(token), in_preview=request.preview
        )
        if not request.preview:
            store = self._pretending("updates")
            if store.get(token, request.id) is None:
                raise Refused(f"{token} {request.id!r} is gone")
            store.put(token, request.id, made)
        return provider_pb2.UpdateResponse(properties=encode(made))

    @_answered
    def Read(self, request: Any, context: Any) -> Any:
        """What the file of pretended objects says now: for refresh, import and `get`."""
        token, state = _token(request.urn), decode(request.properties)
        if state:
            _ours(state, request.id)
        found = self._pretending("reads").get(token, request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        values: Values = unhide(found, state)
        now = inputs_now(values, decode(request.inputs), self._sdk.inputs(token), self._kind(token))
        return provider_pb2.ReadResponse(id=request.id, properties=encode(values), inputs=encode(now))

    @_answered
    def Delete(self, request: Any, context: Any) -> Any:
        """Forgets a pretended object."""
        _ours(decode(request.properties), request.id)
        self._pretending("deletes").remove(_token(request.urn), request.id)
        return empty_pb2.Empty()

    @_answered
    def Invoke(self, request: Any, context: Any) -> Any:
        """Answers the functions that the cloud's table has."""
        arguments = decode(request.args)
        function = self._cloud.functions.get(request.tok)
        try:
            if function is None:
                raise NoAnswer("only the cloud knows the answer, and none is asked")
            answer = function(Asked(plain(arguments), self._settings, self._store))
        except NoAnswer as error:
            reason = redact(f"stand-in for {self._cloud.plugin}: {request.tok}: {error}", arguments)
            return provider_pb2.InvokeResponse(failures=[provider_pb2.CheckFailure(reason=reason)])
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(encode(answer))  # `return` is no name in Python
        return response

    # -- parts

    def _kind(self, token: str) -> Kind:
        return self._tables.kinds.get(token, Kind())

    def _refuse_immutable(self, token: str, olds: Values, news: Values) -> None:
        """What the cloud refuses to change although the plugin doesn't replace for it."""
        table = self._tables.immutable.get(token, ())
        for each in differences(olds, news, table):
            if each.replaces:
                raise Refused(
                    f"{each.path}: {self._cloud.title} refuses to change it, and the plugin does not replace "
                    "for it: name it in the resource option replace_on_changes"
                )

    def _computed(self, token: str) -> dict[str, Any]:
        given = self._sdk.inputs(token)
        return {name: kind for name, kind in self._sdk.outputs(token).items() if name not in given}

    def _pretending(self, what: str) -> Store:
        if self._store is None:
            raise Refused(
                f"this is a stand-in for {self._cloud.plugin}, which {what} nothing: no cloud is behind it. "
                f"Install the official plugin; to pretend, for a test, set {STATE_VARIABLE} to a folder"
            )
        return self._store


def _token(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _ours(outputs_so_far: Mapping[str, Any], identifier: str) -> None:
    if outputs.MARK not in outputs_so_far:
        raise Refused(
            f"{identifier} was not made by this stand-in: it may be a real object, which only the official "
            "plugin can look after"
        )


def _unknown_method(name: str) -> Callable[..., NoReturn]:
    def refuse(self: StandIn, request: object, context: grpc.ServicerContext) -> NoReturn:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"a stand-in has no {name}")
        raise AssertionError("abort always raises")

    return refuse


# The generated base class raises instead, which gRPC prints with a traceback.
for _method in provider_pb2.DESCRIPTOR.services_by_name["ResourceProvider"].methods:
    if _method.name not in vars(StandIn):
        setattr(StandIn, _method.name, _unknown_method(_method.name))
