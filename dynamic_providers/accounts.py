"""From a credential set of the stack file to an account that can be connected: its key and its address.

Keys come from the configuration (secure values), the environment or a Kubernetes secret, only when the
provider is configured: no key is ever an input or an output of a resource.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from dynamic_providers.host.secrets import conceal
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.errors import ValidationError
from gpu_clouds.registry import cloud_info
from stack_config import CredentialSource, SecretReference, Settings
from stack_config.explain import explain
from stack_config.models import EMULATOR, StackFile

START_EMULATOR = "start it with `make up`"


def read_config(get: Any) -> tuple[Mapping[str, CredentialSource], Settings]:
    """The credential sets and the settings of the stack.

    Args:
        get: `ConfigureRequest.config.get`: key -> value, objects as JSON text.

    Raises:
        ValidationError: They break a rule; one line for each.
    """
    values = {key: _plain(get(key)) for key in ("credentials", "settings") if get(key)}
    try:
        parsed = StackFile.model_validate_json(json.dumps(values))
    except pydantic.ValidationError as error:
        problems = "\n".join(f"  {problem}" for problem in explain(error, values))
        raise ValidationError(f"the stack's configuration is not valid:\n{problems}") from None
    conceal(
        source.api_key.get_secret_value()
        for source in parsed.credentials.values()
        if source.api_key is not None
    )
    return parsed.credentials, parsed.settings


def open_account(name: str, source: CredentialSource) -> CredentialSet:
    """The account with its key.

    Args:
        name: Name of the credential set.
        source: What the stack file says of it.

    Raises:
        ValidationError: The key can't be found, or the emulator does not run.
    """
    key = _key(name, source)
    conceal([key])
    endpoint, proxy = source.endpoint, ""
    if endpoint == EMULATOR:
        endpoint, proxy = emulator_address(name, source.cloud)
    return CredentialSet(
        name,
        source.cloud,
        key,
        endpoint,
        proxy,
        allowed_sources=source.allowed_sources,
        features=frozenset(source.features),
        user=source.user,
        ca_file=source.ca_file,
        allow_insecure=source.allow_insecure,
        workspace=source.workspace,
    )


def emulator_folder() -> Path:
    """`GPUPLANE_EMULATOR_DIR`, else `.gpuplane/emulators` of the project, which the host starts in."""
    return Path(os.environ.get("GPUPLANE_EMULATOR_DIR") or Path.cwd() / ".gpuplane" / "emulators")


def emulator_address(name: str, cloud: str) -> tuple[str, str]:
    """Base URL of this checkout's emulated cloud, and how its nodes are reached.

    Raises:
        ValidationError: The emulator does not run, or does not play this cloud.
    """
    where = f"credential set {name!r}: the emulator of this checkout"
    path = emulator_folder() / "endpoints.json"
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        pid, clouds = int(written["pid"]), dict(written["clouds"])
    except FileNotFoundError:
        raise ValidationError(f"{where} is not running: {START_EMULATOR}", cloud=cloud) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValidationError(f"{where} has left an unreadable endpoints.json: {START_EMULATOR}") from None
    if not _alive(pid):
        raise ValidationError(f"{where} has ended: {START_EMULATOR}", cloud=cloud)
    if cloud not in clouds:
        raise ValidationError(f"{where} plays {', '.join(sorted(clouds))}, not {cloud}", cloud=cloud)
    return str(clouds[cloud]["api"]), str(clouds[cloud].get("proxy", ""))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _key(name: str, source: CredentialSource) -> str:
    where = f"credential set {name!r}"
    if source.api_key is not None:
        return source.api_key.get_secret_value()
    if source.api_key_env:
        key = os.environ.get(source.api_key_env, "").strip()
        if not key:
            raise ValidationError(
                f"{where}: environment variable {source.api_key_env} is not set; export it, or run "
                f"`pulumi config set --secret --path gpuplane:credentials.{name}.apiKey`",
                cloud=source.cloud,
            )
        return key
    if source.api_key_secret is not None:
        return _kubernetes_key(where, source.api_key_secret)
    if not cloud_info(source.cloud).needs_key:
        return ""
    raise ValidationError(
        f"{where} has no API key; run `pulumi config set --secret --path gpuplane:credentials.{name}.apiKey`",
        cloud=source.cloud,
    )


def _kubernetes_key(where: str, reference: SecretReference) -> str:
    """Reads one key of one secret with the service account of a pod, else with the user's kubeconfig."""
    what = f"{where}: key {reference.key!r} of Kubernetes secret {reference.namespace}/{reference.name}"
    try:
        config: Any = importlib.import_module("kubernetes.config")
        client: Any = importlib.import_module("kubernetes.client")
    except ImportError:
        raise ValidationError(
            f"{what} needs the package `kubernetes`: install gpuplane[kubernetes], or use apiKeyEnv"
        ) from None
    try:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            config.load_kube_config()
        secret = client.CoreV1Api().read_namespaced_secret(reference.name, reference.namespace)
        encoded = (secret.data or {}).get(reference.key)
    except Exception as error:
        # The library raises many kinds; none of its texts is repeated, they can hold parts of the answer.
        status = getattr(error, "status", None)
        told = f"HTTP {status}" if status else type(error).__name__
        raise ValidationError(f"{what} can't be read ({told}): check the name and who may read it") from None
    if not encoded:
        raise ValidationError(f"{what} does not exist; the secret has other keys")
    return base64.b64decode(encoded).decode("utf-8").strip()


def _plain(value: Any) -> Any:
    """An object of the configuration; the engine hands it over as JSON text."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
