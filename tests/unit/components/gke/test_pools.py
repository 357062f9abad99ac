"""What is decided about GKE's pools without Google Cloud."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.gke.control_plane import NODE_ROLES, account_id
from components.gke.pools import first_nodes
from stack_config.kubernetes_clusters import GkePool


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 4))
def test_a_pool_starts_with_no_more_than_it_may_have(low, more, zones):
    pool = GkePool(gpu="L4", min=low, max=low + more, zones=tuple(f"z{n}" for n in range(zones)))
    first = first_nodes(pool) * zones
    assert first <= pool.max
    assert first >= pool.min or pool.max < -(-pool.min // zones) * zones


@given(st.from_regex(r"[a-z][a-z0-9-]{0,22}[a-z0-9]", fullmatch=True))
def test_ids_of_service_accounts(name):
    found = account_id(f"{name}-k3v9x2pq")
    assert 6 <= len(found) <= 30
    assert found.endswith("-k3v9x2pq")


def test_nodes_can_not_edit_the_project():
    assert not [role for role in NODE_ROLES if role in ("roles/editor", "roles/owner") or "admin" in role]
