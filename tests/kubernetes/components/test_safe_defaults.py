"""What a cluster is like when nobody says anything: private, encrypted, with identities of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.eks import policies
from tests.kubernetes.components.declared import USER_KUBECONFIG
from tests.kubernetes.components.test_declared_clusters import built
from tests.unit.components.kubernetes_pools.clusters import cluster

pytestmark = pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning")

SDKS = {"eks": "aws", "gke": "gcp", "aks": "azure-native"}
EXISTING: dict[str, dict[str, Any]] = {
    "eks": {
        "existing": {"name": "old", "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]}
    },
    "gke": {"existing": {"name": "old", "location": "us-central1"}},
    "aks": {"existing": {"name": "old", "resourceGroup": "theirs"}, "adminGroupIds": None},
}
CALLS = {
    "aws:eks/getCluster:getCluster": {
        "arn": "arn:aws:eks:us-east-1:123456789012:cluster/old",
        "endpoint": "https://203.0.113.7",
        "certificateAuthorities": [{"data": "Y2E="}],
        "vpcConfig": {"clusterSecurityGroupId": "sg-0123456789abcdef0", "vpcId": "vpc-0123456789abcdef0"},
    },
    "gcp:container/getCluster:getCluster": {
        "endpoint": "203.0.113.8",
        "masterAuths": [{"clusterCaCertificate": "Y2E="}],
    },
    "azure-native:containerservice:listManagedClusterUserCredentials": {
        "kubeconfigs": [{"name": "clusterUser", "value": USER_KUBECONFIG}]
    },
}


def test_eks():
    found = built("eks", cluster("eks", {"image": "al2023"}))
    made = found.one("Cluster", "train")
    assert made["vpcConfig"]["endpointPublicAccess"] is False
    assert made["vpcConfig"]["endpointPrivateAccess"] is True
    assert made["accessConfig"]["authenticationMode"] == "API"
    assert all(subnet["mapPublicIpOnLaunch"] is False for subnet in found.of("Subnet").values())
    for template in found.of("LaunchTemplate").values():
        assert template["metadataOptions"]["httpTokens"] == "required"
        assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
        assert all(each["ebs"]["encrypted"] == "true" for each in template["blockDeviceMappings"])
    private = {name for name in found.of("Subnet") if "private" in name}
    assert len(private) == 2
    addons = {addon["addonName"] for addon in found.of("Addon").values()}
    assert "eks-pod-identity-agent" in addons
    assert "DaemonSet" in found.types()


def test_eks_gives_no_right_with_a_star_but_the_listed_ones():
    found = built("eks", cluster("eks"))
    for policy in found.of("RolePolicy").values():
        for statement in json.loads(policy["policy"])["Statement"]:
            assert not [action for action in statement["Action"] if "*" in action]
            if statement["Resource"] == "*":
                assert set(statement["Action"]) <= set(policies.STARS)
    attached = {one["policyArn"].rsplit("/", 1)[-1] for one in found.of("RolePolicyAttachment").values()}
    assert not [name for name in attached if "FullAccess" in name or "Administrator" in name]


def test_gke():
    found = built("gke", cluster("gke"))
    made = found.one("Cluster", "train")
    assert made["privateClusterConfig"]["enablePrivateNodes"] is True
    assert made["privateClusterConfig"]["enablePrivateEndpoint"] is True
    assert made["workloadIdentityConfig"]["workloadPool"] == "inference-prod.svc.id.goog"
    for pool in found.of("NodePool").values():
        assert pool["networkConfig"]["enablePrivateNodes"] is True
        assert pool["nodeConfig"]["workloadMetadataConfig"]["mode"] == "GKE_METADATA"
        assert pool["nodeConfig"]["serviceAccount"].startswith("train-teststck@")
        assert pool["nodeConfig"]["shieldedInstanceConfig"]["enableSecureBoot"] is True
    roles = {one["role"] for one in found.of("IAMMember").values()}
    assert roles == {"roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"}


def test_aks():
    found = built("aks", cluster("aks"))
    made = found.one("ManagedCluster", "train")
    assert made["apiServerAccessProfile"]["enablePrivateCluster"] is True
    assert made["disableLocalAccounts"] is True
    assert made["securityProfile"]["workloadIdentity"]["enabled"] is True
    assert made["oidcIssuerProfile"]["enabled"] is True
    pools = [*found.of("AgentPool").values(), *made["agentPoolProfiles"]]
    assert all(pool["enableNodePublicIP"] is False and pool["osDiskType"] == "Managed" for pool in pools)
    right = found.one("RoleAssignment", "train-network-rights")
    assert "/subnets/" in right["scope"]
    assert found.outputs["kubeconfig"] == "apiVersion: v1\nkind: Config\n"


@pytest.mark.parametrize("cloud", EXISTING)
def test_an_existing_cluster_only_gets_pools(cloud):
    found = built(cloud, cluster(cloud, **EXISTING[cloud]), calls=CALLS)
    assert found.findings == []
    assert not found.types() & {"Cluster", "ManagedCluster", "Vpc", "Network", "VirtualNetwork", "Deployment"}
    assert found.types() & {"NodeGroup", "NodePool", "AgentPool"}
    assert found.outputs["cluster_name"] == "old"
    assert "kubeconfig" in found.secrets


@pytest.mark.parametrize("cloud", SDKS)
def test_one_cloud_declares_nothing_of_another(cloud):
    found = built(cloud, cluster(cloud))
    packages = {typ.split(":")[0] for typ, _ in found.inputs if not typ.startswith(("gpuplane:", "pulumi:"))}
    assert packages <= {SDKS[cloud], "kubernetes"}
