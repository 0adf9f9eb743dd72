"""Synthetic 4D worlds with exact ground truth, rendered as stereo video."""
