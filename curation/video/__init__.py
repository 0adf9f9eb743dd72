"""Find video, cut it into clips, decode them: ``scan`` -> ``plan_clips`` -> ``decode_clip``.

A source is a file, a pair of files, or folders of images, with an optional calibration beside it. What cannot be used
is refused with one counted word (``schemas.outcome.Rejected``), and nothing else is lost with it.
"""

from curation.video.clips import ClipPlan, plan_clips
from curation.video.decode import decode_clip
from curation.video.sources import ScanResult, scan

__all__ = ["ClipPlan", "ScanResult", "decode_clip", "plan_clips", "scan"]
