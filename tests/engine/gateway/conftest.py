"""Sites of the gateway's tests: one emulator for all of them, a stack for each; no process is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.gateway.site import Site
from tests.engine.nodes.conftest import NewWorld, emulator, new_world

__all__ = ["emulator", "new_world"]

NewSite = Callable[..., Site]


@pytest.fixture
def new_site(new_world: NewWorld) -> Iterator[NewSite]:
    """Makes sites; arguments are those of `Site`."""
    made: list[Site] = []

    def make(plane: dict[str, Any] | None = None, **clusters: Any) -> Site:
        made.append(Site(new_world, plane, **clusters))
        return made[-1]

    yield make
    left = [process for site in made for process in site.processes()]
    for process in left:
        process.kill()
    assert not left


@pytest.fixture
def site(new_site: NewSite) -> Site:
    """A site with one cluster of two nodes."""
    return new_site()
