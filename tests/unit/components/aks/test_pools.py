"""What is decided about AKS's pools without Azure."""

from __future__ import annotations

import pytest

from components.aks.pools import DRIVERS, taint_text
from stack_config.kubernetes_clusters import PoolTaint


@pytest.mark.parametrize(
    ("taint", "text"),
    [
        (PoolTaint(key="sku", value="gpu"), "sku=gpu:NoSchedule"),
        (PoolTaint(key="dedicated", effect="NoExecute"), "dedicated:NoExecute"),
    ],
)
def test_taints_as_text(taint, text):
    assert taint_text(taint) == text


def test_only_the_cloud_installs_for_the_cloud():
    assert [owner for owner, driver in DRIVERS.items() if driver == "Install"] == ["cloud"]
