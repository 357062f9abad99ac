"""The service itself, called without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from engine.standins import plugin
from engine.standins.aws import CLOUD as AWS
from engine.standins.azure_native import CLOUD as AZURE
from engine.standins.gcp import CLOUD as GCP
from engine.standins.sdk_types import Sdk
from engine.standins.servicer import StandIn
from engine.standins.store import Store
from engine.standins.values import Secret, Values, decode, encode

ROLE = "aws:iam/role:Role"
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"Service": "eks.amazonaws.com"}}]}'
)


class Aborted(Exception):
    pass


class Context:
    """What gRPC hands to a method."""

    def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise Aborted(message)


CONTEXT: Any = Context()


def urn(token: str, name: str = "thing") -> str:
    return f"urn:pulumi:test::gpuplane::{token}::{name}"


class Plugin:
    """A stand-in with what it has announced."""

    def __init__(self, cloud: Any, folder: Path | None) -> None:
        self.said: list[str] = []
        store = Store(folder / "world.json") if folder else None
        self.service = StandIn(cloud, Sdk(cloud.package), store, self.said.append)

    def check(self, token: str, inputs: Values, **more: Any) -> Any:
        request = provider_pb2.CheckRequest(urn=urn(token), news=encode(inputs), randomSeed=b"1", **more)
        return self.service.Check(request, CONTEXT)

    def create(self, token: str, inputs: Values, preview: bool = False) -> Any:
        request = provider_pb2.CreateRequest(urn=urn(token), properties=encode(inputs), preview=preview)
        return self.service.Create(request, CONTEXT)

    def invoke(self, token: str, **arguments: Any) -> Values:
        answer = self.service.Invoke(provider_pb2.InvokeRequest(tok=token, args=encode(arguments)), CONTEXT)
        if answer.failures:
            raise LookupError(answer.failures[0].reason)
        return decode(getattr(answer, "return"))


@pytest.fixture
def aws(tmp_path: Path) -> Plugin:
    return Plugin(AWS, tmp_path)


def test_it_announces_itself_once(aws: Plugin) -> None:
    for _ in range(2):
        aws.service.Configure(provider_pb2.ConfigureRequest(), CONTEXT)
    assert len(aws.said) == 1 and "this is no proof that AWS accepts them" in aws.said[0]


def test_settings_of_the_provider(aws: Plugin) -> None:
    news = encode({"region": "eu-west-1", "regoin": "x", "version": "7.51.1"})
    answer = aws.service.CheckConfig(provider_pb2.CheckRequest(news=news), CONTEXT)
    assert [failure.reason for failure in answer.failures] == ["regoin: there is no such setting"]
    args = encode({"region": "eu-west-1"})
    aws.service.Configure(provider_pb2.ConfigureRequest(args=args), CONTEXT)
    assert aws.invoke("aws:index/getRegion:getRegion")["name"] == "eu-west-1"


def test_a_missing_name_is_made_up_and_kept(aws: Plugin) -> None:
    first = decode(aws.check(ROLE, {"assumeRolePolicy": TRUST}).inputs)["name"]
    assert first.startswith("thing-")
    olds = encode({"name": "thing-old"})
    assert decode(aws.check(ROLE, {"assumeRolePolicy": TRUST}, olds=olds).inputs)["name"] == "thing-old"
    options = provider_pb2.CheckRequest.AutonamingOptions
    for mode, name in ((options.ENFORCE, "wished"), (options.DISABLE, None)):
        autonaming = options(proposed_name="wished", mode=mode)
        found = decode(aws.check(ROLE, {"assumeRolePolicy": TRUST}, autonaming=autonaming).inputs)
        assert found.get("name") == name


def test_failures_name_property_and_rule(aws: Plugin) -> None:
    answer = aws.check(ROLE, {"assumeRolePolicy": Secret("{canary-1234")})
    (failure,) = answer.failures
    assert failure.property == "assumeRolePolicy"
    assert failure.reason.startswith("assumeRolePolicy: is no JSON") and "canary" not in failure.reason
    (failure,) = aws.check("aws:iam/role:Rolle", {}).failures
    assert "there is no resource type" in failure.reason


def test_made_read_changed_deleted(aws: Plugin) -> None:
    inputs = {"name": "nodes", "assumeRolePolicy": TRUST, "description": Secret("canary-1234")}
    made = aws.create(ROLE, inputs)
    assert made.id == "nodes"
    state = decode(made.properties)
    assert state["arn"] == "arn:aws:iam::123456789012:role/nodes"
    with pytest.raises(Aborted, match="'nodes' already exists"):
        aws.create(ROLE, inputs)

    read = aws.service.Read(
        provider_pb2.ReadRequest(
            urn=urn(ROLE), id="nodes", properties=made.properties, inputs=encode(inputs)
        ),
        CONTEXT,
    )
    assert decode(read.properties) == state and decode(read.inputs) == inputs
    imported = aws.service.Read(provider_pb2.ReadRequest(urn=urn(ROLE), id="nodes"), CONTEXT)
    assert "description" not in decode(imported.inputs), "a secret that only the state knew"

    news = {**inputs, "maxSessionDuration": 7200}
    update = provider_pb2.UpdateRequest(
        urn=urn(ROLE), id="nodes", olds=made.properties, news=encode(news), old_inputs=encode(inputs)
    )
    assert decode(aws.service.Update(update, CONTEXT).properties)["maxSessionDuration"] == 7200
    delete = provider_pb2.DeleteRequest(urn=urn(ROLE), id="nodes", properties=made.properties)
    aws.service.Delete(delete, CONTEXT)
    gone = aws.service.Read(
        provider_pb2.ReadRequest(urn=urn(ROLE), id="nodes", properties=made.properties), Context()
    )
    assert not gone.id
    with pytest.raises(Aborted, match="is gone"):
        aws.service.Update(update, CONTEXT)


def test_what_replaces(aws: Plugin) -> None:
    olds, news = {"name": "a", "description": "x"}, {"name": "b", "description": "y"}
    request = provider_pb2.DiffRequest(urn=urn(ROLE), old_inputs=encode(olds), news=encode(news))
    answer = aws.service.Diff(request, CONTEXT)
    assert (list(answer.diffs), list(answer.replaces)) == (["description", "name"], ["name"])
    assert answer.detailedDiff["name"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


def test_without_a_folder_only_previews_are_answered() -> None:
    aws = Plugin(AWS, None)
    inputs = {"name": "nodes", "assumeRolePolicy": TRUST}
    preview = decode(aws.create(ROLE, inputs, preview=True).properties)
    assert preview["name"] == "nodes" and repr(preview["arn"]) == "[unknown]"
    with pytest.raises(Aborted, match="which creates nothing: no cloud is behind it"):
        aws.create(ROLE, inputs)
    with pytest.raises(Aborted, match="which reads nothing"):
        aws.service.Read(provider_pb2.ReadRequest(urn=urn(ROLE), id="nodes"), CONTEXT)


def test_what_is_not_ours_is_left_alone(aws: Plugin) -> None:
    properties = encode({"name": "real"})
    read = provider_pb2.ReadRequest(urn=urn(ROLE), id="real", properties=properties)
    delete = provider_pb2.DeleteRequest(urn=urn(ROLE), id="real", properties=properties)
    update = provider_pb2.UpdateRequest(urn=urn(ROLE), id="real", olds=properties, news=properties)
    for call, request in (
        (aws.service.Read, read),
        (aws.service.Delete, delete),
        (aws.service.Update, update),
    ):
        with pytest.raises(Aborted, match="was not made by this stand-in"):
            call(request, CONTEXT)


def test_its_own_mistakes_are_one_line(aws: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws.service, "_kind", lambda token: 1 / 0)
    with pytest.raises(Aborted, match="the stand-in failed: ZeroDivisionError"):
        aws.create(ROLE, {})


def test_what_it_has_no_answer_to_is_one_line(aws: Plugin) -> None:
    with pytest.raises(LookupError, match="aws:ec2/getAmi:getAmi: only the cloud knows the answer"):
        aws.invoke("aws:ec2/getAmi:getAmi")
    with pytest.raises(LookupError, match="name is required and missing"):
        aws.invoke("aws:eks/getCluster:getCluster")
    with pytest.raises(Aborted, match="a stand-in has no GetSchema"):
        aws.service.GetSchema(provider_pb2.GetSchemaRequest(), CONTEXT)


def test_answers_of_aws(aws: Plugin) -> None:
    zones = aws.invoke("aws:index/getAvailabilityZones:getAvailabilityZones", state="available")
    assert zones["names"][:2] == ["us-east-1a", "us-east-1b"] and zones["zoneIds"][0] == "ue1-az1"
    assert aws.invoke("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == "123456789012"
    assert aws.invoke("aws:index/getPartition:getPartition")["partition"] == "aws"
    statement = {"actions": ["s3:GetObject"], "resources": ["a", "b"], "sid": "Read"}
    condition = {"test": "StringEquals", "variable": "aws:RequestedRegion", "values": ["us-east-1"]}
    document = aws.invoke(
        "aws:iam/getPolicyDocument:getPolicyDocument", statements=[{**statement, "conditions": [condition]}]
    )
    assert (
        document["minifiedJson"]
        == '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Sid": "Read",'
        ' "Action": "s3:GetObject", "Resource": ["a", "b"],'
        ' "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}}]}'
    )
    with pytest.raises(LookupError, match="there is no cluster 'gpu' among what is pretended"):
        aws.invoke("aws:eks/getCluster:getCluster", name="gpu")
    made = aws.create("aws:eks/cluster:Cluster", {"name": "gpu", "vpcConfig": {"subnetIds": []}})
    cluster = aws.invoke("aws:eks/getCluster:getCluster", name="gpu")
    assert cluster["endpoint"] == decode(made.properties)["endpoint"]
    assert cluster["certificateAuthorities"][0]["data"]


def test_answers_of_google_cloud(tmp_path: Path) -> None:
    gcp = Plugin(GCP, tmp_path)
    assert gcp.invoke("gcp:compute/getZones:getZones", region="us-east1")["names"][0] == "us-east1-b"
    assert gcp.invoke("gcp:organizations/getProject:getProject")["projectId"] == "gpuplane-stand-in"
    gcp.create("gcp:container/cluster:Cluster", {"name": "gpu", "location": "us-central1"})
    found = gcp.invoke("gcp:container/getCluster:getCluster", name="gpu", location="us-central1")
    assert found["masterAuths"][0]["clusterCaCertificate"]
    with pytest.raises(LookupError):
        gcp.invoke("gcp:container/getCluster:getCluster", name="gpu", location="us-east1")


def test_answers_of_azure(tmp_path: Path) -> None:
    azure = Plugin(AZURE, tmp_path)
    assert azure.invoke("azure-native:authorization:getClientConfig")["subscriptionId"].startswith("0000")
    names = {"resourceGroupName": "g", "resourceName": "gpu"}
    azure.create("azure-native:containerservice:ManagedCluster", names)
    found = azure.invoke("azure-native:containerservice:listManagedClusterUserCredentials", **names)
    assert isinstance(found["kubeconfigs"][0]["value"], Secret)


def test_a_python_without_the_sdk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> Sdk:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(plugin, "Sdk", missing)
    monkeypatch.setattr(plugin, "raise_fence", lambda: None)
    with pytest.raises(SystemExit, match="lacks pulumi-aws"):
        plugin.serve(AWS, [])
