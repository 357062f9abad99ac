"""LocalService: a supervised process on this machine, as a resource.

The thin skin: starting, adopting, looking and ending are in `local_services`.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi import dynamic

from dynamic_providers.base import Inputs, Provider, checked, inputs_in, own_props, parse
from dynamic_providers.host import fence
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind, PartialState, root_of
from dynamic_providers.local_service_inputs import REPLACING, STEERING, ServiceInputs, broken_rules
from gpu_clouds.errors import GpuCloudError, ValidationError
from gpu_clouds.intents import state_root
from local_services.ports import is_free, told_holder
from local_services.record import services_of
from local_services.service import Running, Service
from local_services.spec import ServiceSpec

COMPUTED = ("pid", "startedAt", "url", "logFile", "state", "machine", "folder")
RUNNING, UNHEALTHY, GONE, FAILED = "running", "unhealthy", "gone", "failed"
_REPLACE = {Kind.ADD: Kind.ADD_REPLACE, Kind.DELETE: Kind.DELETE_REPLACE, Kind.UPDATE: Kind.UPDATE_REPLACE}


class LocalServiceProvider(Provider):
    """One service; its id is `<stackId>/<name>`."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Rules alone: nothing of the machine is looked at, and nothing is started."""
        parsed = parse(ServiceInputs, news)
        failures = list(parsed.failures)
        if parsed.model is not None:
            failures += broken_rules(parsed.model, parsed.unknown)
        return checked(news, parsed.model, parsed.unknown, failures)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Another name is another service; everything else is changed in place, by a restart where needed."""
        found = {
            path: _REPLACE[kind] if root_of(path) in REPLACING else kind
            for path, kind in compare(_old_inputs(olds), own_props(news)).items()
        }
        if olds.get("state", RUNNING) != RUNNING:
            found["state"] = Kind.UPDATE
        return DetailedDiff(found)

    def create_preview(self, props: dict[str, Any]) -> dict[str, Any]:
        """Where it will log. Says so when a port is taken now; starts nothing.

        Its URL is not told, though it is known: what is made with it would be looked for there.
        """
        parsed = parse(ServiceInputs, props)
        if parsed.model is None:
            return {}
        folder = self._folder(parsed.model.service)
        if not _service(parsed.model, folder).exists():
            for port in parsed.model.spec().all_ports():
                if not is_free(port):
                    progress(f"[{parsed.model.service}] {told_holder(port)}: the up will fail", keep=True)
        known = _known_before(parsed.model, folder, parsed.unknown)
        known.pop("url", None)
        return known

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Finds or starts the service and waits until it answers.

        Raises:
            PartialState: It did not come up, and can't be ended.
            GpuCloudError: It did not come up, and nothing of it is left.
        """
        inputs = _inputs(props)
        folder = self._folder(inputs.service)
        id = f"{folder.parent.name}/{folder.name}"
        service = _service(inputs, folder)
        try:
            running = service.ensure(inputs.spec(current_call().timeout_s))
        except GpuCloudError as error:
            if not service.exists():
                raise
            raise PartialState(id, _outputs(props, inputs, folder, FAILED), error.message) from error
        return dynamic.CreateResult(id, _outputs(props, inputs, folder, RUNNING, running))

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Whether it runs and answers. One that does not stays in the state: the next `up` starts it anew."""
        outs = own_props(props)
        if "folder" not in outs:
            return dynamic.ReadResult("", {})  # an import: nothing tells the command
        inputs = ServiceInputs.model_validate(_old_inputs(outs))
        folder = Path(outs["folder"])
        if _is_elsewhere(outs):
            progress(f"[{inputs.service}] runs on {outs['machine']}: not looked at from here", keep=True)
            return dynamic.ReadResult(id, outs, _old_inputs(outs))
        service = _service(inputs, folder)
        running = service.running()
        state = GONE
        if running is not None:
            state = RUNNING if service.healthy(inputs.spec()) else UNHEALTHY
        if state != RUNNING:
            progress(f"[{inputs.service}] is {state}: the next up starts it anew", keep=True)
        new = _outputs(outs, inputs, folder, state, running)
        return dynamic.ReadResult(id, new, _old_inputs(outs))

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """What stays known: all but the process, where it is started anew."""
        parsed = parse(ServiceInputs, news)
        if parsed.model is None or "folder" not in olds:
            return {}
        known = _known_before(parsed.model, Path(olds["folder"]), parsed.unknown)
        if not self._restarts(olds, news):
            known |= {name: olds[name] for name in ("pid", "startedAt", "state") if name in olds}
        return known

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Makes it what is declared, in place.

        Raises:
            PartialState: It does not come up; the next `up` goes on.
            ValidationError: It runs on another machine.
        """
        inputs = _inputs(news)
        _refuse_elsewhere(inputs, olds)
        folder = Path(olds["folder"])
        service = _service(inputs, folder)
        try:
            running = service.ensure(
                inputs.spec(current_call().timeout_s), restart=olds.get("state") != RUNNING
            )
        except GpuCloudError as error:
            raise PartialState(id, _outputs(news, inputs, folder, FAILED), error.message) from error
        return dynamic.UpdateResult(_outputs(news, inputs, folder, RUNNING, running))

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Ends every process of it and removes its folder. Absent is success.

        Raises:
            GpuCloudError: A process or a port of it is still there; the state keeps it.
        """
        inputs = ServiceInputs.model_validate(_old_inputs(props))
        _refuse_elsewhere(inputs, props)
        _service(inputs, Path(props["folder"])).remove(inputs.spec())

    def _folder(self, name: str) -> Path:
        """The folder of a service of this stack; a stack without a stackId goes by its name."""
        parts = current_call().urn.split("::")
        named = f"{parts[1]}.{parts[0].rpartition(':')[2]}" if len(parts) == 4 else "default"
        stack = self.shared.stack_id or re.sub(r"[^A-Za-z0-9._-]", "-", named)
        return services_root() / stack / name

    def _restarts(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
        found = compare(_old_inputs(olds), own_props(news))
        return olds.get("state") != RUNNING or any(root_of(path) not in STEERING for path in found)


class LocalService(dynamic.Resource, module="local", name="LocalService"):
    """**Pulumi type:** `pulumi-python:dynamic/local:LocalService`. One supervised process on this machine.

    Args:
        name: Name of the resource, and of the service if `service` is not given.
        args: Inputs by their camelCase names, see `dynamic_providers.local_service_inputs.ServiceInputs`.
            `env` and `files` are made secret.
        opts: Resource options; `delete_before_replace` is always on: two can't hold one port.
    """

    pid: pulumi.Output[int | None]
    startedAt: pulumi.Output[str | None]
    url: pulumi.Output[str]
    logFile: pulumi.Output[str]
    state: pulumi.Output[str]
    machine: pulumi.Output[str]
    folder: pulumi.Output[str]

    def __init__(
        self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props: dict[str, Any] = {"service": name, **args}
        for key in ("env", "files"):
            if key in props:
                props[key] = pulumi.Output.secret(props[key])
        before = pulumi.ResourceOptions(delete_before_replace=True)
        super().__init__(
            LocalServiceProvider(),
            name,
            {**dict.fromkeys(COMPUTED), **props},
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), before),
        )


def services_root() -> Path:
    """Where the folders of all services of this machine are, by stack."""
    return state_root().absolute() / "services"


def end_services(stack: str) -> None:
    """Ends every service of a stack that is still here: also what a killed run has started.

    Args:
        stack: The stackId.

    Raises:
        GpuCloudError: One can't be ended.
    """
    call = current_call()
    for name, folder in services_of(services_root(), stack).items():
        service = Service(name, folder, tell=lambda text: progress(text, call=call), cancel=call.cancel)
        if service.exists():
            progress(f"ended service {name}, which no state knew", keep=True)
        service.remove()


def _service(inputs: ServiceInputs, folder: Path) -> Service:
    call = current_call()
    return Service(
        inputs.service,
        folder,
        tell=lambda text: progress(text, call=call),
        cancel=call.cancel,
        may_start=fence.check,
    )


def _inputs(props: Mapping[str, Any]) -> ServiceInputs:
    """The inputs of a real operation, where everything is known."""
    parsed = parse(ServiceInputs, props)
    failures = list(parsed.failures)
    if parsed.model is not None:
        failures += broken_rules(parsed.model, frozenset())
    if parsed.model is None or failures:
        raise ValidationError(f"{failures[0].property}: {failures[0].reason}")
    return parsed.model


def _old_inputs(outs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that outputs repeat: the log file is one of them where it is not the usual one."""
    inputs = inputs_in(ServiceInputs, outs)
    if inputs.get("logFile") == str(ServiceSpec(command=()).log_in(Path(outs["folder"]))):
        del inputs["logFile"]
    return inputs


def _known_before(inputs: ServiceInputs, folder: Path, unknown: frozenset[str]) -> dict[str, Any]:
    """Outputs that are known before it runs."""
    known: dict[str, Any] = {"machine": platform.node(), "folder": str(folder)}
    if "logFile" not in unknown:
        known["logFile"] = str(inputs.spec().log_in(folder))
    if not unknown & {"healthUrl", "healthPort"}:
        known["url"] = inputs.url
    return known


def _outputs(
    props: Mapping[str, Any],
    inputs: ServiceInputs,
    folder: Path,
    state: str,
    running: Running | None = None,
) -> dict[str, Any]:
    return {
        **own_props(props),
        "pid": running.pid if running else None,
        "startedAt": running.started_at if running else None,
        "url": inputs.url,
        "logFile": str(inputs.spec().log_in(folder)),
        "state": state,
        "machine": platform.node(),
        "folder": str(folder),
    }


def _is_elsewhere(outs: Mapping[str, Any]) -> bool:
    """Whether it was started on another machine: another name, and nothing of it here."""
    return outs.get("machine") != platform.node() and not Path(outs["folder"]).is_dir()


def _refuse_elsewhere(inputs: Inputs, outs: Mapping[str, Any]) -> None:
    if _is_elsewhere(outs):
        raise ValidationError(
            f"[{outs['service']}] runs on {outs['machine']}: run this command there, or, if that machine is "
            "gone, take the service out of the state with `pulumi state delete`"
        )
