"""Camera paths: metric from stereo, up to scale from one eye."""

from curation.cameras.path import estimate_path
from curation.cameras.relative import estimate_relative_path

__all__ = ["estimate_path", "estimate_relative_path"]
