"""Small worlds, rendered once per session."""

from __future__ import annotations

import pytest

from curation.worlds import RenderedWorld, make_world, render

SIZE = {"width": 320, "height": 200, "noise": 0.0}


@pytest.fixture(scope="session")
def orbit() -> RenderedWorld:
    """A turning and moving camera, two movers and a parked body, no noise."""
    return render(make_world(21, camera="orbit", frames=4, fps=4.0, movers=2, parked=1, scene="indoor", event="free", **SIZE))


@pytest.fixture(scope="session")
def street() -> RenderedWorld:
    """A forward camera outdoors."""
    return render(make_world(4, camera="forward", frames=4, fps=4.0, movers=3, parked=1, scene="outdoor", event="free", **SIZE))
