"""Camera paths: metric from stereo, up to scale from one eye, metric again with a model of depth."""

from curation.cameras.mono_metric import estimate_mono_path
from curation.cameras.path import estimate_path
from curation.cameras.relative import estimate_relative_path

__all__ = ["estimate_mono_path", "estimate_path", "estimate_relative_path"]
