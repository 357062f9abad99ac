"""The stand-in Kubernetes plugin in the real engine, on a real API."""

from __future__ import annotations

import base64
import secrets
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.standins.kubernetes.announcing import MESSAGE
from tests.engine.harness import Result, wait_until

PROGRAMS = Path(__file__).resolve().parent / "programs"
CORE, APPS = "/api/v1/namespaces", "/apis/apps/v1/namespaces"
SECRET = "correct-horse-battery"


def text_of(name: str) -> str:
    return (PROGRAMS / name).read_text()


def inline(body: str) -> str:
    return "import pulumi\nimport pulumi_kubernetes as k8s\n" + textwrap.dedent(body)


def changes(result: Result) -> dict[str, str]:
    """Name -> operation of everything that a run does not leave as it is."""
    return {name: op for name, op in result.ops().items() if op != "same"}


def detail(result: Result, name: str) -> dict[str, Any]:
    """The places of a resource that a run changes."""
    found: dict[str, Any] = {}
    for event in result.events:
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            step = event.get(kind, {}).get("metadata", {})
            if step.get("urn", "").endswith(f"::{name}"):
                found |= step.get("detailedDiff") or {}
    return found


def drift(result: Result) -> dict[str, str]:
    """Name -> what a refresh has found out, without what is as it was."""
    steps = [event["resOutputsEvent"]["metadata"] for event in result.events if "resOutputsEvent" in event]
    return {
        step["urn"].rpartition("::")[2]: step["op"] for step in steps if step["op"] not in ("same", "refresh")
    }


def test_twelve_objects_from_the_preview_to_the_end(new_stack, namespace, objects, kubectl):
    stack = new_stack(text_of("workloads.py"), config={"namespace": namespace})
    stack.set_secret("secret", SECRET)

    seen = stack.preview().expect_ok()
    assert set(seen.ops()) == {"web", "settings", "secret", "claim", "data", "job"}
    assert set(seen.ops().values()) == {"create"}
    assert len([each for each in seen.diagnostics() if MESSAGE in each["message"]]) == 1
    assert objects.names(f"{APPS}/{namespace}/deployments") == [], "a preview changes nothing"

    stack.up().expect_ok()
    deployment = objects.get(f"{APPS}/{namespace}/deployments/web")
    assert deployment["status"]["availableReplicas"] == 2
    assert objects.get(f"{APPS}/{namespace}/statefulsets/data")["status"]["readyReplicas"] == 2
    assert objects.get(f"{CORE}/{namespace}/persistentvolumeclaims/claim")["status"]["phase"] == "Bound"
    assert objects.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/job")["status"]["succeeded"] == 1
    outputs = stack.outputs()
    assert outputs["ip"] == objects.get(f"{CORE}/{namespace}/services/web")["spec"]["clusterIP"]
    assert outputs["uid"] == deployment["metadata"]["uid"]

    state = stack.state_text()
    assert SECRET not in state
    assert base64.b64encode(SECRET.encode()).decode() not in state
    stored = objects.get(f"{CORE}/{namespace}/secrets")["items"][0]["data"]["password"]
    assert base64.b64decode(stored).decode() == SECRET

    assert changes(stack.up().expect_ok()) == {}
    assert drift(stack.refresh().expect_ok()) == {}, "0.50 CPU are 500m, and that is no drift"

    kubectl("-n", namespace, "scale", "deployment", "web", "--replicas", "3")
    found = stack.refresh().expect_ok()
    assert drift(found) == {"web": "update"}
    assert "spec.replicas" in detail(found, "web")

    conflict = stack.up()
    assert not conflict.ok
    assert "conflict" in conflict.output and ".spec.replicas" in conflict.output
    stack.set_config({"force": "true"})
    assert changes(stack.up().expect_ok()) == {"web": "update"}
    assert objects.get(f"{APPS}/{namespace}/deployments/web")["spec"]["replicas"] == 2

    before = stack.outputs()["settings"]
    stack.set_config({"message": "two"})
    stack.set_secret("secret", "another-long-password")
    stack.up().expect_ok()
    after = stack.outputs()["settings"]
    names = objects.names(f"{CORE}/{namespace}/configmaps")
    assert after != before and after in names and before not in names
    template = objects.get(f"{APPS}/{namespace}/deployments/web")["spec"]["template"]
    assert template["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"] == after
    assert len(objects.names(f"{CORE}/{namespace}/secrets")) == 1

    stack.destroy().expect_ok()
    for path in (f"{APPS}/{namespace}/deployments", f"{CORE}/{namespace}/secrets"):
        assert objects.names(path) == []
    assert objects.names(f"{CORE}/{namespace}/configmaps") == ["kube-root-ca.crt"]
    assert stack.resources() == {}


def test_more_gpus_than_a_node_has_stay_pending_with_the_schedulers_reason(
    new_stack, namespace, objects, gpu_pool
):
    pool = gpu_pool(1, gpus=8).selector["gpuplane-test/pool"]
    stack = new_stack(
        text_of("gpus.py"), config={"namespace": namespace, "gpus": "9", "pool": pool, "seconds": "8s"}
    )
    failed = stack.up()
    assert not failed.ok
    assert "0/1 Pods available" in failed.output
    assert "Insufficient nvidia.com/gpu" in failed.output
    pods = objects.get(f"{CORE}/{namespace}/pods")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Pending"]
    kept = stack.resources()["model"]
    assert any("Insufficient nvidia.com/gpu" in error for error in kept["initErrors"])

    again = stack.refresh()
    assert "Insufficient nvidia.com/gpu" in again.output
    stack.set_config({"gpus": "8"})
    assert changes(stack.up().expect_ok()) == {"model": "update"}
    assert not stack.resources()["model"].get("initErrors")
    pods = objects.get(f"{CORE}/{namespace}/pods")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Running"]
    stack.destroy().expect_ok()


def test_sigterm_while_a_pod_is_pending_keeps_what_was_made(new_stack, namespace, objects, gpu_pool):
    pool = gpu_pool(1, gpus=8).selector["gpuplane-test/pool"]
    stack = new_stack(text_of("gpus.py"), config={"namespace": namespace, "gpus": "99", "pool": pool})
    running = stack.start_operation("up")
    wait_until(lambda: objects.names(f"{CORE}/{namespace}/pods"), 90, "the pod is there")
    running.process.terminate()
    ended = running.wait()
    assert not ended.ok
    assert set(stack.resources()) >= {"model", "other"}
    assert stack.pending_operations() == []
    stack.set_config({"gpus": "2"})
    stack.up().expect_ok()
    assert len(objects.names(f"{APPS}/{namespace}/deployments")) == 1
    stack.destroy().expect_ok()


def test_a_crd_its_resource_and_a_change_to_somebody_elses_object(new_stack, namespace, objects, kubectl):
    group = f"g{secrets.token_hex(4)}.example.com"
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"a": "1"}}
    kubectl("-n", namespace, "apply", "-f", "-", input=yaml.safe_dump(theirs))
    config = {"namespace": namespace, "group": group, "kubernetes:namespace": namespace}
    stack = new_stack(text_of("custom.py"), config=config)
    stack.preview().expect_ok()
    stack.up().expect_ok()
    model = objects.get(f"/apis/{group}/v1/namespaces/{namespace}/models/llama")
    assert model["spec"] == {"gpus": 8}
    assert objects.exists(f"/apis/{group}/v1/namespaces/{namespace}/models/second")
    path = f"{CORE}/{namespace}/configmaps/theirs"
    assert objects.get(path)["data"] == {"a": "1", "ours": "yes"}
    assert changes(stack.up().expect_ok()) == {}
    stack.destroy().expect_ok()
    assert objects.get(path)["data"] == {"a": "1"}, "a patch gives its fields back and leaves the object"
    assert not objects.exists(f"/apis/{group}/v1")


def test_yaml_text_and_a_helm_chart(new_stack, namespace, objects):
    chart = str(PROGRAMS / "chart")
    stack = new_stack(text_of("documents.py"), config={"namespace": namespace, "chart": chart})
    stack.up().expect_ok()
    assert objects.get(f"{CORE}/{namespace}/configmaps/first")["data"] == {"mode": "fast"}
    assert objects.exists(f"{CORE}/{namespace}/configmaps/second")
    assert objects.exists(f"{CORE}/{namespace}/serviceaccounts/third")
    path = f"{APPS}/{namespace}/deployments/release-small"
    assert objects.get(path)["status"]["availableReplicas"] == 1
    assert objects.names(f"{CORE}/{namespace}/pods") != ["release-test"], "that is for helm test only"
    stack.set_config({"replicas": "2"})
    assert list(changes(stack.up().expect_ok()).values()) == ["update"]
    assert objects.get(path)["status"]["availableReplicas"] == 2
    stack.destroy().expect_ok()


def test_files_instead_of_a_cluster(new_stack, tmp_path):
    folder = tmp_path / "manifests"
    stack = new_stack(
        text_of("render.py"),
        config={"folder": str(folder), "image": "x:1"},
        env={"KUBECONFIG": str(tmp_path / "none")},
    )
    stack.set_secret("word", SECRET)
    stack.preview().expect_ok()
    assert not folder.exists()
    first = stack.up().expect_ok()
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.yaml"))
    assert files == [
        "0-crd/apiextensions.k8s.io_v1-customresourcedefinition-default-things.example.com.yaml",
        "1-manifest/apps_v1-deployment-apps-web.yaml",
        "1-manifest/v1-secret-default-key.yaml",
    ]
    assert "in clear text" in first.output
    assert yaml.safe_load((folder / files[2]).read_text())["stringData"] == {"k": SECRET}
    assert SECRET not in stack.state_text()
    stack.set_config({"image": "x:2"})
    assert changes(stack.up().expect_ok()) == {"web": "update"}
    assert "x:2" in (folder / files[1]).read_text()
    assert drift(stack.refresh().expect_ok()) == {}
    stack.destroy().expect_ok()
    assert list(folder.rglob("*.yaml")) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            """
            k8s.core.v1.Service("s", metadata=HERE, spec={"ports": [{"port": 99999}]})
            """,
            ["spec.ports[0].port", "between 1 and 65535"],
            id="value",
        ),
        pytest.param(
            """
            k8s.apps.v1.Deployment("d", metadata=HERE, spec={
                "selector": {"match_labels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "c"}},
                             "spec": {"containers": [{"name": "c", "image": "x"}]}},
            })
            """,
            ["selector", "template"],
            id="selector",
        ),
        pytest.param(
            """
            k8s.core.v1.ConfigMap("c", metadata={**HERE, "labels": {
                "x": pulumi.Output.secret("not a label: correct-horse-battery")}})
            """,
            ["metadata.labels", "[secret]"],
            id="secret",
        ),
        pytest.param(
            """k8s.core.v1.ConfigMapPatch("p", metadata=HERE, data={})""",
            ["needs the name"],
            id="patch without a name",
        ),
        pytest.param(
            """k8s.core.v1.ConfigMap("c", metadata={**HERE, "name": "kube-root-ca.crt"})""",
            ["exists already", "import"],
            id="of somebody else",
        ),
        pytest.param(
            """
            k8s.helm.v3.Release("r", chart="x", namespace=HERE["namespace"])
            """,
            ["helm.v3.Release is not in the stand-in"],
            id="release",
        ),
        pytest.param(
            """
            p = k8s.Provider("p", kubeconfig="/no/such/file")
            """,
            ["kubeconfig", "cannot be read"],
            id="kubeconfig",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_the_preview(new_stack, namespace, body, words):
    here = f"HERE = {{'namespace': {namespace!r}}}\n"
    refused = new_stack(inline(here + textwrap.dedent(body))).preview()
    assert not refused.ok
    for word in words:
        assert word in refused.output
    assert "Traceback" not in refused.output
    assert SECRET not in refused.output


def test_a_remote_component_is_said_to_be_missing(new_stack, namespace):
    program = f"""k8s.helm.v4.Chart("r", chart="x", namespace={namespace!r})"""
    refused = new_stack(inline(program)).preview()
    assert not refused.ok
    assert "does not have kubernetes:helm.sh/v4:Chart (yaml.v2, helm.v4" in refused.output


def test_a_fixed_name_is_deleted_before_it_is_replaced(new_stack, namespace, objects):
    body = "k8s.core.v1.ConfigMap('c', metadata={'name': 'c', 'namespace': %r}, data={'k': %r})"
    stack = new_stack(inline(body % (namespace, "1")))
    stack.up().expect_ok()
    path = f"{CORE}/{namespace}/configmaps/c"
    uid = objects.get(path)["metadata"]["uid"]
    stack.set_program(inline(body % (namespace, "2")))
    seen = stack.preview().expect_ok()
    assert detail(seen, "c") == {"data.k": {"diffKind": "update-replace", "inputDiff": True}}
    stack.up().expect_ok()
    found = objects.get(path)
    assert found["data"] == {"k": "2"} and found["metadata"]["uid"] != uid

    stack.destroy().expect_ok()


def test_import_of_an_object_that_is_there(new_stack, namespace, objects, kubectl):
    kubectl("-n", namespace, "create", "configmap", "there", "--from-literal", "k=v")
    program = f"""
    k8s.core.v1.ConfigMap("there", data={{"k": "v"}},
        metadata={{"name": "there", "namespace": {namespace!r}}},
        opts=pulumi.ResourceOptions(import_={f"{namespace}/there"!r}))
    """
    stack = new_stack(inline(program))
    assert changes(stack.up().expect_ok()) == {"there": "import"}
    assert stack.resources()["there"]["id"] == f"{namespace}/there"
    stack.destroy().expect_ok()
    assert not objects.exists(f"{CORE}/{namespace}/configmaps/there")


def test_a_load_balancer_is_waited_for_and_a_cluster_without_an_answer_is_said_so(
    new_stack, namespace, objects, cluster
):
    program = f"""
    k8s.core.v1.Service("lb", metadata={{"name": "lb", "namespace": {namespace!r}}},
        spec={{"type": "LoadBalancer", "ports": [{{"port": 80}}]}})
    """
    stack = new_stack(inline(program))
    running = stack.start_operation("up")
    path = f"{CORE}/{namespace}/services/lb"
    wait_until(lambda: objects.exists(path), 90, "the Service is there")
    wait_until(lambda: "no address" in running.output, 30, "the wait is shown")
    cluster.api.text(
        f"{path}/status",
        "PATCH",
        {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}},
        "application/merge-patch+json",
    )
    running.wait().expect_ok()
    assert stack.resources()["lb"]["outputs"]["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.7"

    kubeconfig = cluster.kubeconfig.read_text().replace(cluster.api.url, "https://127.0.0.1:1")
    stack.env["KUBECONFIG"] = str(stack.root / "unreachable")
    Path(stack.env["KUBECONFIG"]).write_text(kubeconfig)
    gone = stack.destroy()
    assert not gone.ok
    assert "configured Kubernetes cluster is unreachable" in gone.output and "Traceback" not in gone.output
    stack.env["KUBECONFIG"] = str(cluster.kubeconfig)
    stack.destroy().expect_ok()


def test_two_providers_in_a_run_announce_the_stand_in_once(new_stack, namespace, cluster):
    program = f"""
    for name in ("a", "b"):
        provider = k8s.Provider(name, kubeconfig={str(cluster.kubeconfig)!r}, namespace={namespace!r})
        k8s.core.v1.ConfigMap(name, opts=pulumi.ResourceOptions(provider=provider))
    """
    result = new_stack(inline(program)).preview().expect_ok()
    assert len([each for each in result.diagnostics() if MESSAGE in each["message"]]) == 1


def test_a_killed_engine_leaves_no_plugin_and_the_next_run_takes_over_what_was_made(
    new_stack, namespace, objects, gpu_pool
):
    pool = gpu_pool(1, gpus=8).selector["gpuplane-test/pool"]
    stack = new_stack(text_of("gpus.py"), config={"namespace": namespace, "gpus": "99", "pool": pool})
    running = stack.start_operation("up")
    wait_until(lambda: objects.names(f"{CORE}/{namespace}/pods"), 90, "the pod is there")
    plugins = plugin_pids(str(stack.project))
    assert plugins
    running.kill_engine()
    wait_until(lambda: not plugin_pids(str(stack.project)), 20, "the plugin ended")
    assert "model" not in stack.resources()
    stack.cancel().expect_ok()
    stack.set_config({"gpus": "1"})
    stack.up().expect_ok()
    assert len(objects.names(f"{APPS}/{namespace}/deployments")) == 1
    stack.destroy().expect_ok()


def plugin_pids(folder: str) -> list[int]:
    """The stand-ins that serve programs in a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes() if process.name.isdigit() else b""
            # The project's folder is the working folder of its plugins.
            if b"standins/start.py" in command and (process / "cwd").resolve() == Path(folder).resolve():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_what_an_autoscaler_has_set_is_left_alone(new_stack, namespace, objects, kubectl):
    body = """
    labels = {"app": "web"}
    k8s.apps.v1.Deployment("web", metadata={"name": "web", "namespace": %r}, spec={
        "replicas": 1,
        "selector": {"match_labels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": %r}]}},
    }, opts=pulumi.ResourceOptions(ignore_changes=["spec.replicas"]))
    """
    stack = new_stack(inline(body % (namespace, "x:1")))
    stack.up().expect_ok()
    kubectl("-n", namespace, "scale", "deployment", "web", "--replicas", "3")
    stack.set_program(inline(body % (namespace, "x:2")))
    assert changes(stack.up().expect_ok()) == {"web": "update"}
    found = objects.get(f"{APPS}/{namespace}/deployments/web")
    assert found["spec"]["replicas"] == 3
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "x:2"
    assert changes(stack.up("--refresh").expect_ok()) == {}
    stack.destroy().expect_ok()


def test_nothing_waits_when_it_need_not(new_stack, namespace):
    """`pulumi.com/skipAwait` for a Deployment whose pods can never run."""
    program = f"""
    k8s.apps.v1.Deployment("d", metadata={{"name": "d", "namespace": {namespace!r},
        "annotations": {{"pulumi.com/skipAwait": "true"}}}}, spec={{
        "selector": {{"match_labels": {{"a": "b"}}}},
        "template": {{"metadata": {{"labels": {{"a": "b"}}}}, "spec": {{
            "node_selector": {{"no": "such"}}, "containers": [{{"name": "c", "image": "x"}}]}}}}}})
    """
    stack = new_stack(inline(program))
    begun = time.monotonic()
    stack.up().expect_ok()
    stack.destroy().expect_ok()
    assert time.monotonic() - begun < 300, "it would have waited for 600 s"
