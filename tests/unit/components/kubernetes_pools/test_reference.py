"""The tables of machines in the documentation are those of the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.kubernetes_pools.reference import table
from components.kubernetes_pools.shapes import shapes

DOCS = Path(__file__).resolve().parents[4] / "docs"


@pytest.mark.parametrize("cloud", ["eks", "gke", "aks"])
def test_the_page_of_a_cloud_has_its_table(cloud):
    page = (DOCS / f"{cloud}.md").read_text(encoding="utf-8")
    assert table(cloud) in page, f"python -m components.kubernetes_pools.reference {cloud}"
    assert all(f"`{shape.name}`" in page for shape in shapes(cloud))
