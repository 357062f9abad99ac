"""The functions behind `yaml.ConfigFile`, `yaml.ConfigGroup`, `helm.v3.Chart` and `kustomize.Directory`."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from engine.kubernetes_api.programs import installed_tool
from engine.standins.kubernetes.objects import metadata
from engine.standins.kubernetes.values import Object

_SECONDS = 300.0
#: Objects with these in the annotation `helm.sh/hook` are for `helm test`.
_TEST_HOOKS = frozenset({"test", "test-success", "test-failure"})


class FunctionFailed(Exception):
    """A function could not do what was asked; the message is meant for a person."""


class NoSuchFunction(Exception):
    """The stand-in does not have the function."""


def call(name: str, arguments: Object, namespace: str) -> list[Object]:
    """Calls a function.

    Args:
        name: its token.
        arguments: as the SDK sends them.
        namespace: of objects that name none.

    Returns:
        The objects.

    Raises:
        FunctionFailed: with the message of the program that failed, or of the YAML reader.
        NoSuchFunction: there is no such function here.
    """
    if name == "kubernetes:yaml:decode":
        return list(documents(str(arguments.get("text") or "")))
    if name == "kubernetes:helm:template":
        options = json.loads(arguments["jsonOpts"])
        rendered = _run(helm_command(options, namespace), yaml.safe_dump(options.get("values") or {}))
        return list(without_tests(documents(rendered), bool(options.get("include_test_hook_resources"))))
    if name == "kubernetes:kustomize:directory":
        return list(documents(_run(["kubectl", "kustomize", str(arguments["directory"])], "")))
    raise NoSuchFunction(f"gpuplane's stand-in for the Kubernetes plugin does not have the function {name}")


def documents(text: str) -> Iterator[Object]:
    """The objects of a YAML text; the items of lists one by one.

    Raises:
        FunctionFailed: it is not YAML, or has something that is no object.
    """
    try:
        found = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise FunctionFailed(f"not YAML: {error}") from error
    for each in found:
        if not each:
            continue
        if not isinstance(each, dict) or not each.get("kind") or not each.get("apiVersion"):
            raise FunctionFailed("a YAML document has no apiVersion or no kind")
        if str(each["kind"]).endswith("List") and isinstance(each.get("items"), list):
            yield from each["items"]
        else:
            yield each


def helm_command(options: Any, namespace: str) -> Sequence[str]:
    """The command that renders a chart; the values go to its standard input.

    Args:
        options: of `helm.v3.Chart`, in the names of any SDK.
        namespace: where the chart goes unless the options say it.
    """

    def option(name: str) -> Any:
        words = name.split("_")
        return options.get(name, options.get(words[0] + "".join(word.title() for word in words[1:])))

    fetch = option("fetch_opts") or {}
    chart = option("path") or option("chart")
    command = ["helm", "template", str(option("release_name") or "release"), str(chart)]
    command += ["--namespace", str(option("namespace") or namespace), "--values", "-"]
    for flag, value in (
        ("--repo", fetch.get("repo")),
        ("--version", option("version") or fetch.get("version")),
        ("--kube-version", option("kube_version")),
    ):
        command += [flag, str(value)] if value else []
    if option("repo") and not option("path"):
        command[3] = f"{option('repo')}/{chart}"
    for version in option("api_versions") or []:
        command += ["--api-versions", str(version)]
    if not option("skip_crd_rendering"):
        command.append("--include-crds")
    return command


def without_tests(objects: Iterable[Object], keep: bool) -> Iterator[Object]:
    """The objects without those that are only for `helm test`.

    Args:
        objects: of a chart.
        keep: whether those stay, too.
    """
    for each in objects:
        hooks = str((metadata(each).get("annotations") or {}).get("helm.sh/hook") or "")
        if keep or not _TEST_HOOKS.intersection(word.strip() for word in hooks.split(",")):
            yield each


def _run(command: Sequence[str], text: str) -> str:
    program = installed_tool(command[0]) or shutil.which(command[0])
    if program is None:
        raise FunctionFailed(
            f"{command[0]} is not on PATH: the stand-in for the Kubernetes plugin needs it for this "
            "(the official plugin does not)"
        )
    try:
        done = subprocess.run(
            [str(program), *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FunctionFailed(f"{command[0]} did not end within {_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise FunctionFailed(f"{' '.join(command[:2])}: {done.stderr.strip() or 'failed without a word'}")
    return done.stdout
