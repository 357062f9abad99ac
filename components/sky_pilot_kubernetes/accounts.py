"""Accounts of clouds: which keys they have, and where SkyPilot looks for them. Pure.

Paths: `sky/clouds/*.py`, `sky/provision/*/…utils.py` of SkyPilot 0.14.1. Keys of Secrets: those of the
official chart where it has the cloud; it has none for Paperspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class AccountFile:
    """A file that SkyPilot reads.

    Attributes:
        path: Its path below the home.
        keys: Keys of the Secret that it is made of.
        text: What is in it, with `<key>` for the value of a key; empty: the one key's value as it is.
    """

    path: str
    keys: tuple[str, ...]
    text: str = ""


_AWS = "[default]\naws_access_key_id = <aws_access_key_id>\naws_secret_access_key = <aws_secret_access_key>\n"
_AZURE = ("azureProfile.json", "clouds.config", "config", "msal_token_cache.json")

ACCOUNTS: Mapping[str, tuple[AccountFile, ...]] = MappingProxyType(
    {
        "aws": (AccountFile(".aws/credentials", ("aws_access_key_id", "aws_secret_access_key"), _AWS),),
        "azure": tuple(AccountFile(f".azure/{key}", (key,)) for key in _AZURE),
        "gcp": (AccountFile(".config/gcloud/application_default_credentials.json", ("gcp-cred.json",)),),
        "kubernetes": (AccountFile(".kube/config", ("config",)),),
        "lambda": (AccountFile(".lambda_cloud/lambda_keys", ("api_key",), "api_key = <api_key>\n"),),
        "paperspace": (AccountFile(".paperspace/config.json", ("api_key",), '{"apiKey": "<api_key>"}\n'),),
        "runpod": (AccountFile(".runpod/config.toml", ("api_key",), '[default]\napi_key = "<api_key>"\n'),),
        "slurm": (AccountFile(".slurm/config", ("config",)),),
        "ssh": (AccountFile(".sky/ssh_node_pools.yaml", ("ssh_node_pools.yaml",)),),
        "vast": (AccountFile(".config/vastai/vast_api_key", ("api_key",), "<api_key>\n"),),
    }
)
"""Cloud -> the files that make its account."""

GCP_KEY = ACCOUNTS["gcp"][0].path


def keys_of(cloud: str) -> tuple[str, ...]:
    """Keys that the Secret of a cloud has.

    Args:
        cloud: Name of the cloud.
    """
    return tuple(key for file in ACCOUNTS[cloud] for key in file.keys)


def copies(cloud: str, folder: str) -> list[dict[str, Any]]:
    """What the start program has to copy for a cloud.

    Args:
        cloud: Name of the cloud.
        folder: Where its Secret is mounted.
    """
    return [
        {
            "to": file.path,
            "from": {key: f"{folder}/{key}" for key in file.keys},
            **({"text": file.text} if file.text else {}),
        }
        for file in ACCOUNTS[cloud]
    ]


def commands(cloud: str) -> list[list[str]]:
    """What the start program runs for a cloud, in the home: SkyPilot asks gcloud who is logged in.

    Args:
        cloud: Name of the cloud.
    """
    return [["gcloud", "auth", "activate-service-account", f"--key-file={GCP_KEY}"]] if cloud == "gcp" else []
