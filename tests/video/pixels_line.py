"""A line that ends with the pixels: the real scan, plan and video stage; then every clip has been seen enough of."""

from __future__ import annotations

from typing import Any

from pipelines.clip import Clip
from pipelines.stages import PRELOAD, Stage, plan_clips, plan_print, scan, select, video
from schemas.outcome import Rejected

__all__ = ["PRELOAD", "STAGES", "plan_clips", "plan_print", "scan", "select"]


def enough(clip: Clip) -> dict[str, Any]:
    raise Rejected("seen_enough", "the line ends here")


STAGES = (
    Stage("video", 1, ("video",), (), (), video, rooms=("video",)),
    Stage("questions", 1, (), ("video",), ("sft",), enough),
)
