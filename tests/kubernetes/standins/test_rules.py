"""Rules of the clouds, one row each: inputs, and the one line that they get. Right inputs get none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.standins.aws import CLOUD as AWS
from engine.standins.azure_native import CLOUD as AZURE
from engine.standins.gcp import CLOUD as GCP
from engine.standins.sdk_types import Sdk
from engine.standins.validation import Validator
from engine.standins.values import UNKNOWN, Secret

GROUP, TEMPLATE, EKS = (
    "aws:eks/nodeGroup:NodeGroup",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:eks/cluster:Cluster",
)
POOL, GKE = "gcp:container/nodePool:NodePool", "gcp:container/cluster:Cluster"
AKS = "azure-native:containerservice:ManagedCluster"
AGENTS = "azure-native:containerservice:AgentPool"
SERVER = "azure-native:dbforpostgresql:Server"
ROLE = "arn:aws:iam::123456789012:role/nodes"
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "eks.amazonaws.com"}}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


RIGHT: dict[str, dict[str, Any]] = {
    GROUP: {
        "clusterName": "gpu",
        "nodeRoleArn": ROLE,
        "subnetIds": ["subnet-1"],
        "scalingConfig": {"minSize": 0, "maxSize": 2, "desiredSize": 0},
    },
    TEMPLATE: {"instanceType": "p5.48xlarge"},
    EKS: {"roleArn": ROLE, "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]}},
    "aws:ec2/placementGroup:PlacementGroup": {"strategy": "cluster"},
    "aws:ec2/vpc:Vpc": {"cidrBlock": "10.0.0.0/16"},
    "aws:iam/role:Role": {"assumeRolePolicy": document(TRUST)},
    "aws:iam/policy:Policy": {
        "policy": document({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
    },
    "aws:rds/instance:Instance": {
        "instanceClass": "db.t4g.medium",
        "engine": "postgres",
        "allocatedStorage": 20,
    },
    "aws:elasticache/replicationGroup:ReplicationGroup": {"description": "d"},
    "aws:eks/accessEntry:AccessEntry": {"clusterName": "gpu", "principalArn": ROLE},
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": {
        "clusterName": "gpu",
        "principalArn": ROLE,
        "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        "accessScope": {"type": "cluster"},
    },
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {
        "securityGroupId": "sg-1",
        "ipProtocol": "tcp",
        "cidrIpv4": "10.0.0.0/8",
    },
    POOL: {"cluster": "gpu", "nodeConfig": {"machineType": "g2-standard-8"}},
    GKE: {"initialNodeCount": 1, "location": "us-central1"},
    "gcp:compute/subnetwork:Subnetwork": {"network": "n", "ipCidrRange": "10.0.0.0/20"},
    "gcp:compute/firewall:Firewall": {"network": "n", "allows": [{"protocol": "tcp", "ports": ["443"]}]},
    "gcp:serviceaccount/account:Account": {"accountId": "gpu-nodes"},
    "gcp:projects/iAMMember:IAMMember": {"project": "p", "role": "roles/viewer", "member": "user:a@b.c"},
    "gcp:sql/databaseInstance:DatabaseInstance": {"databaseVersion": "POSTGRES_17"},
    "gcp:redis/instance:Instance": {"memorySizeGb": 1},
    AGENTS: {
        "resourceGroupName": "g",
        "resourceName": "gpu",
        "vmSize": "Standard_NC24ads_A100_v4",
        "mode": "User",
    },
    AKS: {
        "resourceGroupName": "g",
        "identity": {"type": "SystemAssigned"},
        "agentPoolProfiles": [{"name": "sys", "mode": "System", "count": 1, "vmSize": "Standard_D4ds_v5"}],
    },
    "azure-native:managedidentity:FederatedIdentityCredential": {
        "resourceGroupName": "g",
        "resourceName": "i",
        "audiences": ["api://AzureADTokenExchange"],
        "issuer": "https://issuer",
        "subject": "s",
    },
    "azure-native:authorization:RoleAssignment": {
        "principalId": "p",
        "scope": "/subscriptions/s",
        "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + "0" * 36,
    },
    SERVER: {"resourceGroupName": "g", "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"}},
    "azure-native:network:VirtualNetwork": {
        "resourceGroupName": "g",
        "addressSpace": {"addressPrefixes": ["10.0.0.0/8"]},
    },
}

INTERFACE = {"interfaceType": "efa", "networkCardIndex": 0, "deviceIndex": 0}
TARGET = {"capacityReservationTarget": {"capacityReservationId": "cr-0123456789abcdef0"}}

# (type, what is changed of the right inputs, the line)
WRONG: list[tuple[str, dict[str, Any], str]] = [
    (GROUP, {"launchTemplate": {"version": "1"}}, "launchTemplate: exactly one of id and name"),
    (GROUP, {"amiType": "CUSTOM"}, "amiType: CUSTOM needs a launch template"),
    (GROUP, {"nodeRoleArn": "nodes"}, "nodeRoleArn: 'nodes': has to be the ARN of an IAM role"),
    (GROUP, {"subnetIds": []}, "subnetIds: a node group needs a subnet"),
    (GROUP, {"labels": {"a b": "c"}}, "labels.a b: 'a b' is no name of a Kubernetes label"),
    (GROUP, {"labels": {"a": "c d"}}, "labels.a: 'c d' is no value of a Kubernetes label"),
    (GROUP, {"nodeGroupName": "-gpu"}, "nodeGroupName: '-gpu': a name of a node group"),
    (
        GROUP,
        {"updateConfig": {"maxUnavailable": 1, "maxUnavailablePercentage": 10}},
        "updateConfig.maxUnavailablePercentage: can't be given together with updateConfig.maxUnavailable",
    ),
    (TEMPLATE, {"instanceType": "p9.huge"}, "instanceType: 'p9.huge' is no EC2 instance type"),
    (
        TEMPLATE,
        {"networkInterfaces": [{"interfaceType": "efaa"}]},
        "networkInterfaces[0].interfaceType: 'efaa'",
    ),
    (
        TEMPLATE,
        {"networkInterfaces": [INTERFACE, INTERFACE]},
        "networkInterfaces[1].deviceIndex: two interfaces have card 0 and device 0",
    ),
    (
        TEMPLATE,
        {"networkInterfaces": [INTERFACE], "vpcSecurityGroupIds": ["sg-1"]},
        "vpcSecurityGroupIds: security groups stand in networkInterfaces",
    ),
    (
        TEMPLATE,
        {
            "blockDeviceMappings": [
                {"deviceName": "/dev/xvda", "ebs": {"volumeType": "io2", "throughput": 500}}
            ]
        },
        "blockDeviceMappings[0].ebs.throughput: only gp3 has it",
    ),
    (
        TEMPLATE,
        {
            "capacityReservationSpecification": {
                "capacityReservationTarget": {"capacityReservationId": "block"}
            }
        },
        "capacityReservationTarget.capacityReservationId: 'block': an id of a capacity reservation",
    ),
    (TEMPLATE, {"userData": "#!/bin/sh"}, "userData: has to be base64"),
    (TEMPLATE, {"metadataOptions": {"httpPutResponseHopLimit": 99}}, "HopLimit: 99 is not between 1 and 64"),
    (
        EKS,
        {"vpcConfig": {"subnetIds": ["subnet-1"]}},
        "vpcConfig.subnetIds: EKS needs subnets in at least two",
    ),
    (
        EKS,
        {"vpcConfig": {"subnetIds": ["a", "b"], "endpointPublicAccess": False}},
        "vpcConfig.endpointPrivateAccess: without the public endpoint",
    ),
    (EKS, {"version": "1.3"}, "version: '1.3': a Kubernetes version"),
    (
        EKS,
        {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "8.8.0.0/16"}},
        "serviceIpv4Cidr: '8.8.0.0/16' has to be private",
    ),
    (
        EKS,
        {"encryptionConfig": {"provider": {"keyArn": "k"}, "resources": ["pods"]}},
        "encryptionConfig.resources[0]: 'pods': EKS encrypts",
    ),
    (
        "aws:ec2/placementGroup:PlacementGroup",
        {"partitionCount": 2},
        "partitionCount: is for the strategy partition",
    ),
    ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.1/16"}, "cidrBlock: '10.0.0.1/16' is no IPv4 range"),
    (
        "aws:ec2/vpc:Vpc",
        {"cidrBlock": "10.0.0.0/8"},
        "cidrBlock: '10.0.0.0/8': its prefix must be between /16",
    ),
    ("aws:iam/role:Role", {"assumeRolePolicy": "{"}, "assumeRolePolicy: is no JSON"),
    (
        "aws:iam/role:Role",
        {"assumeRolePolicy": document({"Effect": "Allow", "Action": "sts:AssumeRole"})},
        "assumeRolePolicy.Statement[0]: a statement here needs Principal",
    ),
    (
        "aws:iam/policy:Policy",
        {"policy": document({"Effect": "Allow", "Action": "s3:GetObject"})},
        "policy.Statement[0]: a statement has either Resource or NotResource",
    ),
    (
        "aws:rds/instance:Instance",
        {"password": "p", "manageMasterUserPassword": True},
        "manageMasterUserPassword: can't be given together with password",
    ),
    ("aws:rds/instance:Instance", {"engine": "postgresql"}, "engine: 'postgresql': RDS calls it postgres"),
    (
        "aws:elasticache/replicationGroup:ReplicationGroup",
        {"authToken": "a" * 20},
        "authToken: needs transitEncryptionEnabled",
    ),
    (
        "aws:eks/accessEntry:AccessEntry",
        {"type": "EC2_LINUX", "kubernetesGroups": ["g"]},
        "kubernetesGroups: an entry of type EC2_LINUX",
    ),
    (
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        {"accessScope": {"type": "namespace"}},
        "accessScope.namespaces: is for the scope",
    ),
    (
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        {"ipProtocol": "-1", "fromPort": 1},
        "fromPort: a rule for all protocols (-1) has no ports",
    ),
    (POOL, {"name": "GPU"}, "name: 'GPU': a name has at most 40"),
    (POOL, {"location": "us-central"}, "location: 'us-central': a region or zone"),
    (
        POOL,
        {"autoscaling": {"maxNodeCount": 1}, "nodeCount": 1},
        "nodeCount: can't be given together with autosc",
    ),
    (POOL, {"queuedProvisioning": {"enabled": True}}, "queuedProvisioning.enabled: needs autoscaling"),
    (
        POOL,
        {"nodeConfig": {"machineType": "g4-standard-48", "diskType": "pd-ssd"}},
        "nodeConfig.diskType: g4-standard-48 boots from hyperdisk-balanced",
    ),
    (
        POOL,
        {"nodeConfig": {"spot": True, "flexStart": True}},
        "nodeConfig.flexStart: can't be given together with spot",
    ),
    (
        POOL,
        {
            "nodeConfig": {
                "reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION", "key": "k"}
            }
        },
        "nodeConfig.reservationAffinity.values: is required with SPECIFIC_RESERVATION",
    ),
    (POOL, {"nodeConfig": {"diskSizeGb": 5}}, "nodeConfig.diskSizeGb: 5 is not between 10"),
    (POOL, {"nodeConfig": {"maxRunDuration": "7d"}}, "nodeConfig.maxRunDuration: '7d': seconds"),
    (GKE, {"initialNodeCount": None}, "initialNodeCount: is required where no node pools are given"),
    (
        GKE,
        {"privateClusterConfig": {"enablePrivateEndpoint": True, "enablePrivateNodes": False}},
        "privateClusterConfig.enablePrivateEndpoint: needs enablePrivateNodes",
    ),
    (GKE, {"workloadIdentityConfig": {"workloadPool": "p"}}, "workloadPool: 'p': a pool is"),
    ("gcp:compute/subnetwork:Subnetwork", {"ipCidrRange": "10.0.0.0"}, "ipCidrRange: '10.0.0.0': its prefix"),
    ("gcp:compute/firewall:Firewall", {"denies": [{"protocol": "tcp"}]}, "allows: either allows or denies"),
    ("gcp:serviceaccount/account:Account", {"accountId": "gpu"}, "accountId: 'gpu': an id has 6 to 30"),
    ("gcp:projects/iAMMember:IAMMember", {"member": "a@b.c"}, "member: 'a@b.c': a member is kind:name"),
    ("gcp:projects/iAMMember:IAMMember", {"role": "viewer"}, "role: 'viewer': a role is roles/name"),
    (
        "gcp:sql/databaseInstance:DatabaseInstance",
        {"databaseVersion": "17"},
        "databaseVersion: '17': such as",
    ),
    ("gcp:redis/instance:Instance", {"memorySizeGb": 500}, "memorySizeGb: 500 is not between 1 and 300"),
    (AGENTS, {"minCount": 1}, "minCount: needs enableAutoScaling"),
    (AGENTS, {"mode": "System", "count": 0}, "count: a System pool has at least one node"),
    (
        AGENTS,
        {"scaleSetPriority": "Spot", "capacityReservationGroupID": "/x"},
        "capacityReservationGroupID: a Spot",
    ),
    (AGENTS, {"scaleSetPriority": "Spot", "spotMaxPrice": 0}, "spotMaxPrice: 0 is neither -1"),
    (
        AGENTS,
        {"vmSize": "Standard_D4ds_v5", "gpuProfile": {"driver": "None"}},
        "gpuProfile: Standard_D4ds_v5 has no",
    ),
    (
        AGENTS,
        {"nodeLabels": {"kubernetes.azure.com/x": "y"}},
        "labels under kubernetes.azure.com/ are AKS's own",
    ),
    (AGENTS, {"agentPoolName": "windows", "osType": "Windows"}, "agentPoolName: 'windows': a Windows pool"),
    (AKS, {"identity": None}, "identity: a cluster needs an identity"),
    (AKS, {"dnsPrefix": "-x"}, "dnsPrefix: '-x': a prefix has"),
    (
        AKS,
        {"networkProfile": {"serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.1.0.10"}},
        "networkProfile.dnsServiceIP: 10.1.0.10 is not within",
    ),
    (
        AKS,
        {"networkProfile": {"outboundType": "userAssignedNATGateway"}},
        "agentPoolProfiles[0].vnetSubnetID: is required with outboundType",
    ),
    (
        "azure-native:managedidentity:FederatedIdentityCredential",
        {"audiences": ["a", "b"]},
        "audiences: has exactly one entry",
    ),
    (
        "azure-native:authorization:RoleAssignment",
        {"roleDefinitionId": "Reader"},
        "roleDefinitionId: 'Reader': is the id of a role definition",
    ),
    (SERVER, {"administratorLogin": "admin"}, "administratorLogin: 'admin' is reserved"),
    (SERVER, {"storage": {"storageSizeGB": 100}}, "storage.storageSizeGB: 100 is no size of a disk"),
    (
        SERVER,
        {"sku": {"name": "Standard_B1ms", "tier": "GeneralPurpose"}},
        "sku.tier: Standard_B1ms is not of",
    ),
]


@pytest.fixture(scope="module")
def validators() -> dict[str, Validator]:
    return {cloud.package: Validator(cloud, Sdk(cloud.package)) for cloud in (AWS, GCP, AZURE)}


def lines(validators: dict[str, Validator], token: str, inputs: dict[str, Any]) -> list[str]:
    return [finding.line for finding in validators[token.partition(":")[0]].findings(token, inputs)]


@pytest.mark.parametrize("token", RIGHT)
def test_right(validators: dict[str, Validator], token: str) -> None:
    assert lines(validators, token, RIGHT[token]) == []


@pytest.mark.parametrize("token", RIGHT)
def test_what_is_unknown_breaks_no_rule(validators: dict[str, Validator], token: str) -> None:
    for name in RIGHT[token]:
        assert lines(validators, token, {**RIGHT[token], name: UNKNOWN}) == []


@pytest.mark.parametrize(("token", "change", "line"), WRONG)
def test_wrong(validators: dict[str, Validator], token: str, change: dict[str, Any], line: str) -> None:
    (found,) = lines(validators, token, {**RIGHT[token], **change})
    assert line in found


def test_every_rule_refuses_something() -> None:
    without = [
        token
        for cloud in (AWS, GCP, AZURE)
        for token in cloud.rules
        if token not in {each for each, _, _ in WRONG}
    ]
    # Their rules are those of a type that is in the table, or one line each.
    assert len(without) <= 12, without


def test_a_secret_is_not_in_a_message(validators: dict[str, Validator]) -> None:
    secret = {**RIGHT[SERVER], "administratorLogin": Secret("pg_canary")}
    (found,) = lines(validators, SERVER, secret)
    assert "canary" not in found and "[secret]" in found


def test_an_unknown_type(validators: dict[str, Validator]) -> None:
    (found,) = lines(validators, "aws:eks/nodeGroups:NodeGroups", {})
    assert "there is no resource type aws:eks/nodeGroups:NodeGroups in pulumi_aws" in found
