"""The Azure functions that are answered, from small tables and from what is pretended to be there."""

from __future__ import annotations

import base64

from engine.standins.cloud import Asked, Function, NoAnswer
from engine.standins.values import Secret, Values

_CLUSTER = "azure-native:containerservice:ManagedCluster"


def client_config(asked: Asked) -> Values:
    """authorization.getClientConfig: the made-up subscription."""
    return {
        "clientId": "00000000-0000-4000-8000-00000000c11e",
        "objectId": "00000000-0000-4000-8000-0000000000b1",
        "subscriptionId": asked.settings["subscription"],
        "tenantId": asked.settings["tenant"],
    }


def client_token(asked: Asked) -> Values:
    """authorization.getClientToken: a token that opens nothing."""
    return {"token": Secret("stand-in")}


def _found(asked: Asked) -> tuple[str, Values]:
    name, group = asked.text("resourceName"), asked.text("resourceGroupName")
    for identifier, values in (asked.store.all(_CLUSTER) if asked.store else {}).items():
        if values.get("resourceName") == name and values.get("resourceGroupName") == group:
            return identifier, values
    raise NoAnswer(f"there is no cluster {name!r} in the group {group!r} among what is pretended")


def cluster(asked: Asked) -> Values:
    """containerservice.getManagedCluster: a cluster that is pretended to be there."""
    identifier, values = _found(asked)
    return {**{key: value for key, value in values.items() if not key.startswith("__")}, "id": identifier}


def credentials(asked: Asked) -> Values:
    """containerservice.listManagedClusterUserCredentials: a kubeconfig whose token opens nothing."""
    _, values = _found(asked)
    name, server = values["resourceName"], f"https://{values['fqdn']}:443"
    text = (
        f"apiVersion: v1\nkind: Config\ncurrent-context: {name}\n"
        f"clusters:\n- name: {name}\n  cluster:\n    server: {server}\n"
        f"contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: stand-in\n"
        "users:\n- name: stand-in\n  user:\n    token: stand-in\n"
    )
    encoded = base64.b64encode(text.encode()).decode()
    return {"kubeconfigs": [{"name": "clusterUser", "value": Secret(encoded)}]}


def redis_keys(asked: Asked) -> Values:
    """Keys of a Redis database: keys that open nothing."""
    return {"primaryKey": Secret("stand-in-primary-key"), "secondaryKey": Secret("stand-in-secondary-key")}


def group(asked: Asked) -> Values:
    """resources.getResourceGroup: a group that is pretended to be there."""
    name = asked.text("resourceGroupName")
    for identifier, values in (
        asked.store.all("azure-native:resources:ResourceGroup") if asked.store else {}
    ).items():
        if values.get("resourceGroupName") == name:
            return {
                **{key: value for key, value in values.items() if not key.startswith("__")},
                "id": identifier,
            }
    raise NoAnswer(f"there is no resource group {name!r} among what is pretended")


FUNCTIONS: dict[str, Function] = {
    "azure-native:authorization:getClientConfig": client_config,
    "azure-native:authorization:getClientToken": client_token,
    "azure-native:containerservice:getManagedCluster": cluster,
    "azure-native:containerservice:listManagedClusterUserCredentials": credentials,
    "azure-native:containerservice:listManagedClusterAdminCredentials": credentials,
    "azure-native:redisenterprise:listDatabaseKeys": redis_keys,
    "azure-native:redis:listRedisKeys": redis_keys,
    "azure-native:resources:getResourceGroup": group,
}
