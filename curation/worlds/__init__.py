"""Synthetic 4D worlds with exact ground truth, rendered as stereo video."""

from curation.worlds.placement import make_world
from curation.worlds.render import RenderedWorld, render
from curation.worlds.truth import Truth
from curation.worlds.world import World

__all__ = ["RenderedWorld", "Truth", "World", "make_world", "render"]
