"""Azure, for the stand-in of the plugin azure-native."""

from pathlib import Path

from engine.standins.azure_native import aks, others
from engine.standins.azure_native.functions import FUNCTIONS
from engine.standins.cloud import Cloud, Settings, text
from engine.standins.values import Values


def settings(config: Values) -> Settings:
    """Location, subscription and tenant; those that stand in for none exist nowhere."""
    return {
        "location": text(config, "location", "eastus"),
        "subscription": text(config, "subscriptionId", "00000000-0000-4000-8000-000000000001"),
        "tenant": text(config, "tenantId", "00000000-0000-4000-8000-000000000002"),
    }


CLOUD = Cloud(
    package="azure-native",
    title="Azure",
    folder=Path(__file__).resolve().parent,
    settings=settings,
    rules={
        "azure-native:containerservice:AgentPool": (aks.agent_pool,),
        "azure-native:containerservice:ManagedCluster": (aks.cluster,),
        "azure-native:resources:ResourceGroup": (others.group,),
        "azure-native:network:VirtualNetwork": (others.virtual_network,),
        "azure-native:network:Subnet": (others.subnet,),
        "azure-native:managedidentity:FederatedIdentityCredential": (others.federated_credential,),
        "azure-native:authorization:RoleAssignment": (others.role_assignment,),
        "azure-native:dbforpostgresql:Server": (others.postgres,),
        "azure-native:keyvault:Vault": (others.vault,),
    },
    functions=FUNCTIONS,
)
