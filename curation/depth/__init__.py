"""Stereo matching: metres and their per-pixel sigma."""

from curation.depth.stereo import Disparity, depth_m, disparity_map

__all__ = ["Disparity", "depth_m", "disparity_map"]
