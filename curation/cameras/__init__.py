"""Camera paths: metric from stereo, up to scale from one eye."""

from curation.cameras.path import estimate_path

__all__ = ["estimate_path"]
