"""Where keys and addresses come from, and that a key shows up nowhere."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from pulumi.dynamic import Config, ConfigureRequest
from pydantic import SecretStr

from dynamic_providers import base, clouds
from dynamic_providers.accounts import open_account, read_config
from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.host.call import Call, as_current
from dynamic_providers.host.secrets import concealed
from dynamic_providers.leak_guard import LeakGuardProvider
from gpu_clouds.errors import ValidationError
from stack_config import CredentialSource, SecretReference

KEY = "canary-key-55512"


def source(**more: Any) -> CredentialSource:
    return CredentialSource(cloud="runpod", **more)


def test_a_key_of_the_configuration():
    account = open_account("main", source(api_key=SecretStr(KEY), endpoint="https://example.org/v2"))
    assert (account.api_key, account.endpoint) == (KEY, "https://example.org/v2")
    assert KEY not in repr(account)
    assert concealed().redact(f"x {KEY} y") == "x [secret] y"


def test_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_KEY", f" {KEY}\n")
    assert open_account("main", source(api_key_env="SOME_KEY")).api_key == KEY
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(ValidationError, match="'main': environment variable SOME_KEY is not set"):
        open_account("main", source(api_key_env="SOME_KEY"))


def test_no_key_at_all():
    with pytest.raises(ValidationError, match="has no API key; run `pulumi config set"):
        open_account("main", source())


class KubernetesError(Exception):
    status = 403
    body = KEY


class Cluster:
    """A stand-in for the client library of Kubernetes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data: dict[str, str] | None = {"runpod": base64.b64encode(KEY.encode()).decode()}
        self.fails = False
        self.asked: list[tuple[str, str]] = []
        self.in_cluster = False
        self.config = types.ModuleType("kubernetes.config")
        client = types.ModuleType("kubernetes.client")
        vars(self.config).update(
            ConfigException=ValueError, load_incluster_config=self._in_cluster, load_kube_config=lambda: None
        )
        vars(client).update(CoreV1Api=lambda: self)
        monkeypatch.setitem(sys.modules, "kubernetes", types.ModuleType("kubernetes"))
        monkeypatch.setitem(sys.modules, "kubernetes.config", self.config)
        monkeypatch.setitem(sys.modules, "kubernetes.client", client)

    def _in_cluster(self) -> None:
        if not self.in_cluster:
            raise ValueError("not in a cluster")

    def read_namespaced_secret(self, name: str, namespace: str) -> Any:
        self.asked.append((namespace, name))
        if self.fails:
            raise KubernetesError(KEY)
        return types.SimpleNamespace(data=self.data)


REFERENCE = SecretReference(namespace="ml", name="clouds", key="runpod")


@pytest.mark.parametrize("in_cluster", [True, False])
def test_a_key_of_a_kubernetes_secret(monkeypatch: pytest.MonkeyPatch, in_cluster: bool):
    cluster = Cluster(monkeypatch)
    cluster.in_cluster = in_cluster
    assert open_account("main", source(api_key_secret=REFERENCE)).api_key == KEY
    assert cluster.asked == [("ml", "clouds")]


def test_allowed_sources_are_handed_on():
    networks = ("203.0.113.0/24",)
    assert (
        open_account("main", source(api_key=SecretStr(KEY), allowed_sources=networks)).allowed_sources
        == networks
    )


def test_a_kubernetes_secret_that_can_not_be_read(monkeypatch: pytest.MonkeyPatch):
    cluster = Cluster(monkeypatch)
    cluster.fails = True
    with pytest.raises(ValidationError, match="secret ml/clouds can't be read \\(HTTP 403\\)") as caught:
        open_account("main", source(api_key_secret=REFERENCE))
    assert KEY not in str(caught.value)
    cluster.fails, cluster.data = False, {"lambda": "eA=="}
    with pytest.raises(ValidationError, match="does not exist"):
        open_account("main", source(api_key_secret=REFERENCE))


def test_kubernetes_without_its_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "kubernetes.config", None)
    with pytest.raises(ValidationError, match=r"install gpuplane\[kubernetes\]"):
        open_account("main", source(api_key_secret=REFERENCE))


def emulator_file(folder: Path, pid: int, cloud: str = "runpod") -> None:
    urls = {"api": "http://127.0.0.1:7/v2", "proxy": "http://127.0.0.1:7/proxy/{id}-{port}"}
    (folder / "endpoints.json").write_text(json.dumps({"pid": pid, "clouds": {cloud: urls}}))


def test_the_emulator_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    here = source(api_key=SecretStr(KEY), endpoint="emulator")
    monkeypatch.delenv("GPUPLANE_EMULATOR_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError, match="is not running: start it with `make up`"):
        open_account("main", here)
    folder = tmp_path / ".gpuplane" / "emulators"
    folder.mkdir(parents=True)
    emulator_file(folder, os.getpid())
    account = open_account("main", here)
    assert account.endpoint == "http://127.0.0.1:7/v2"
    assert account.proxy_template == "http://127.0.0.1:7/proxy/{id}-{port}"

    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("GPUPLANE_EMULATOR_DIR", str(other))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    emulator_file(other, ended.pid)
    with pytest.raises(ValidationError, match="has ended: start it with `make up`"):
        open_account("main", here)
    emulator_file(other, os.getpid(), "lambda")
    with pytest.raises(ValidationError, match="plays lambda, not runpod"):
        open_account("main", here)
    (other / "endpoints.json").write_text("{")
    with pytest.raises(ValidationError, match="unreadable"):
        open_account("main", here)


def request(**values: Any) -> ConfigureRequest:
    config = {f"gpuplane:{key}": json.dumps(value) for key, value in values.items()}
    return ConfigureRequest(Config(config, "gpuplane"))


def test_configuration_of_the_provider_process():
    config = request(
        credentials={"main": {"cloud": "runpod", "apiKey": "canary-key-77777"}}, settings={"settleS": 5}
    )
    sources, settings = read_config(config.config.get)
    assert list(sources) == ["main"] and settings.settle_s == 5
    assert concealed().redact("canary-key-77777") == "[secret]"
    assert read_config(request().config.get)[0] == {}
    with pytest.raises(ValidationError, match=r"gpuplane:credentials\.main\.cloudd: unknown key") as caught:
        read_config(request(credentials={"main": {"cloudd": "x", "apiKey": KEY}}).config.get)
    assert KEY not in str(caught.value)


def test_all_providers_of_a_process_share_one_connection():
    config = {"main": {"cloud": "runpod", "apiKey": KEY}}
    node, guard, other = GpuNodeProvider(), LeakGuardProvider(), GpuNodeProvider()
    with as_current(Call(hosted=True)):
        node.configure(request(credentials=config))
        guard.configure(request(credentials=config))
        other.configure(request(credentials={"b": config["main"]}))
    assert node.shared is guard.shared and node.shared is not other.shared
    assert node.shared.cloud("main") is guard.shared.cloud("main")


def test_the_stock_host_is_named_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(base.Provider, "_warned", False)
    monkeypatch.setattr(clouds, "_shared", {})
    for provider in (GpuNodeProvider(), LeakGuardProvider()):
        provider.configure(request())
    assert capsys.readouterr().err.count("the SDK's own host") == 1
