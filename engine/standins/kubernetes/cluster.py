"""The Kubernetes API that a provider works on."""

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from engine.standins.kubernetes.objects import metadata
from engine.standins.kubernetes.values import Object

_SECONDS = 30.0
#: Each operation of the engine may have one call in the air.
_CONNECTIONS = 128


class ApiRefused(Exception):
    """The API server has refused a call.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(Exception):
    """There is no answer from the API server, or no way to it is known."""


class UnknownKind(Exception):
    """The API server has no such kind (now: its CRD may come later)."""


@dataclass(frozen=True)
class Kind:
    """A kind as the API server has it.

    Attributes:
        prefix: of its paths, for example `/apis/apps/v1`.
        plural: its name in paths.
        namespaced: whether its objects are in namespaces.
    """

    prefix: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The path of an object, or of all in a namespace."""
        inside = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{self.prefix}{inside}/{self.plural}" + (f"/{quote(name)}" if name else "")


class Cluster:
    """Reads and changes objects. May be used from many threads.

    Args:
        client: `kubernetes.dynamic.DynamicClient`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._lock = threading.Lock()

    def kind(self, api_version: str, name: str) -> Kind:
        """Looks a kind up.

        Raises:
            UnknownKind: the server does not have it.
            ApiRefused: the server refuses to tell.
            Unreachable: no answer.
        """
        with self._lock:
            found = self._kinds.get((api_version, name))
        if found is not None:
            return found
        prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            listed = self._call("get", prefix)
        except ApiRefused as error:
            if error.status == 404:
                raise UnknownKind(f"no matches for kind {name!r} in version {api_version!r}") from error
            raise
        kinds = {
            (api_version, each["kind"]): Kind(prefix, each["name"], bool(each["namespaced"]))
            for each in listed.get("resources") or []
            if "/" not in each["name"]  # that would be a part of an object, such as deployments/status
        }
        with self._lock:
            self._kinds.update(kinds)
        if (api_version, name) not in kinds:
            raise UnknownKind(f"no matches for kind {name!r} in version {api_version!r}")
        return kinds[api_version, name]

    def apply(self, body: Object, manager: str, *, force: bool, dry_run: bool) -> Object:
        """Creates an object or changes our fields of it, by server-side apply.

        Args:
            body: the fields that are to be ours.
            manager: the name that they are managed under.
            force: whether to take fields that somebody else has.
            dry_run: whether everything but the storing is to be done.

        Raises:
            ApiRefused: with the server's message.
            UnknownKind: the server does not have this kind.
            Unreachable: no answer.
        """
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        return self._call(
            "patch",
            self._path(body),
            body=body,
            content_type="application/apply-patch+yaml",
            field_manager=manager,
            force_conflicts=force,
            **options,
        )

    def create(self, body: Object, manager: str, *, dry_run: bool) -> Object:
        """Creates an object that gets its name from the server (`generateName`). Raises as `apply`."""
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        kind = self.kind(body["apiVersion"], body["kind"])
        path = kind.path(metadata(body).get("namespace"))
        return self._call("post", path, body=body, field_manager=manager, **options)

    def get(self, body: Object) -> Object | None:
        """Reads an object; None when there is none. Raises as `apply`."""
        try:
            return self._call("get", self._path(body))
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise

    def list(
        self, api_version: str, kind: str, namespace: str | None, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """Reads the objects of a kind. Raises as `apply`.

        Args:
            api_version: of the kind.
            kind: its name.
            namespace: None for all.
            labels: selector on labels.
            fields: selector on fields.
        """
        options = {"label_selector": labels} if labels else {}
        options |= {"field_selector": fields} if fields else {}
        path = self.kind(api_version, kind).path(namespace)
        items: list[Object] = self._call("get", path, **options).get("items") or []
        return items

    def delete(self, body: Object, propagation: str) -> None:
        """Asks for the end of an object; one that is not there is no error. Raises as `apply`.

        Args:
            body: names the object; with a uid, only that very object is meant.
            propagation: `Foreground`, `Background` or `Orphan`.
        """
        options: Object = {"propagationPolicy": propagation}
        if uid := metadata(body).get("uid"):
            options["preconditions"] = {"uid": uid}
        try:
            self._call("delete", self._path(body), body=options)
        except ApiRefused as error:
            # A conflict: the object of this name is another one by now, so ours is gone.
            if error.status not in (404, 409):
                raise

    def _path(self, body: Object) -> str:
        names = metadata(body)
        return self.kind(body["apiVersion"], body["kind"]).path(names.get("namespace"), names.get("name"))

    def _call(self, method: str, path: str, **options: Any) -> Object:
        from kubernetes.client.exceptions import ApiException
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        try:
            answer = self._client.request(method, path, serialize=False, _request_timeout=_SECONDS, **options)
            found: Object = json.loads(answer.data)
        except (ApiException, DynamicApiError) as error:
            raise ApiRefused(int(error.status or 0), _message(error)) from error
        except (HTTPError, OSError, ValueError) as error:
            raise Unreachable(f"configured Kubernetes cluster is unreachable: {_cause(error)}") from error
        return found


def _message(error: Any) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(error.body)["message"])
    return f"{error.status} {error.reason}"


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _cause(reason) if isinstance(reason, BaseException) else str(error)


def connect(kubeconfig: Mapping[str, Any] | None, context: str | None) -> Cluster:
    """A client for a cluster. Calls nothing yet.

    Args:
        kubeconfig: the file's content; None for KUBECONFIG or the user's own file.
        context: the context in it; None for its current one.

    Raises:
        Unreachable: the kubeconfig does not say how the cluster is reached.
    """
    # Half a second, and only needed where there is a cluster.
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.dynamic import DynamicClient

    try:
        if kubeconfig is None:
            client = config.new_client_from_config(context=context)
        else:
            client = config.new_client_from_config_dict(dict(kubeconfig), context=context)
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(f"configured Kubernetes cluster is unreachable: {error}") from error
    client.configuration.connection_pool_maxsize = _CONNECTIONS
    client.configuration.retries = 1
    # The client's own discovery reads everything, keeps a file in the temporary folder and knows no threads.
    return Cluster(DynamicClient(client, discoverer=lambda client, cache_file: None))
