"""The configuration of a run. A value's doc line says what it does, its unit, and what reads it.

One class per room; a stage's fingerprint covers the section that it reads, so a changed threshold in ``questions``
reruns questions and nothing before it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class VideoConfig(Section):
    """Sources, shots, clips, frames, quality gates."""

    question_frames: int = Field(default=32, ge=2)
    """Frames of a clip that a question can name (uniform over the clip)."""
    min_clip_s: float = 3.0
    """Shorter shots are rejected as ``too_short``."""
    max_clip_s: float = 15.0
    """Longer shots are cut into equal clips of at most this length."""
    trim_s: float = 0.3
    """Cut away at both sides of a detected shot boundary (not at the ends of the file)."""
    measure_fps: float = 10.0
    """Least rate of the measuring frames; more are taken where the image moves fast."""
    max_width: int = 1280
    """Wider frames are scaled down to this width before anything is measured or published."""
    hfov_deg: float = 60.0
    """Horizontal field of view assumed for a perspective source without calibration."""
    baseline_m: float = 0.063
    """Baseline assumed for a stereo source without calibration."""
    vr180_hfov_deg: float = 60.0
    """Field of view of the perspective view cut out of VR180 video."""
    vr180_size_px: int = 512
    """Width and height of that view."""


class CamerasConfig(Section):
    """Camera paths."""

    corners: int = 1000
    """Corners tracked per frame."""
    max_relative_error: float = 0.01
    """A path whose truth-free error estimate exceeds this share of its length is rejected (``pose_uncertain``) ..."""
    max_error_m: float = 0.02
    """... unless the estimate is below this, metres."""
    min_inlier_ratio: float = 0.35
    """A path that explains a smaller share of the tracks is rejected (``pose_outliers``)."""


class DepthConfig(Section):
    """Stereo matching."""

    max_disparity_share: float = 0.2
    """Largest disparity searched, as a share of the image width."""


class ObjectsConfig(Section):
    """Moving objects."""

    backend: Literal["motion"] = "motion"
    """What finds and outlines objects."""
    max_objects: int = 8
    """Largest number of objects kept per clip."""


class RelationsConfig(Section):
    """Facts and their margins."""

    k_sigma: float = 3.0
    """A fact may be asked where the answer is at least this many sigma away from being another one."""
    max_pairs: int = 12
    """Pairs of question frames (i, j) that facts are computed for, per clip."""


class QuestionsConfig(Section):
    """Wording, options, caps."""

    max_per_clip: int = 30
    """Cap of questions per clip, spread over the kinds."""
    kinds: tuple[str, ...] = ()
    """Only these kinds; empty means all."""


class ReasoningConfig(Section):
    """Chains of thought and the training sets that use them."""

    max_per_clip: int = 6
    """Reasoned samples per clip."""


class ShardsConfig(Section):
    """The published folder."""

    rows_per_shard: int = 20000
    """Rows per Parquet file."""
    bench_share: float = 0.1
    """Share of the sources (by content hash) held out for ``bench``; they never reach a training config."""


class RunConfig(Section):
    """How the run is carried out. Nothing here changes what is published, so no fingerprint reads it."""

    runner: Literal["local", "ray"] = "local"
    """``local``: child processes of this machine. ``ray``: Ray Data on a cluster."""
    workers: int = 0
    """Clips measured at a time by the local runner; 0 means one per core."""
    clip_timeout_s: float = 900.0
    """Wall time after which a clip is given up as failed (``timeout``)."""
    max_failure_rate: float = 0.5
    """The run exits non-zero when a larger share of clips *failed* (rejections do not count)."""
    max_attempts: int = 3
    """A clip that failed this often is quarantined and not tried again."""


class Config(Section):
    """Everything that decides what a run publishes, and how it runs."""

    seed: int = 0
    """Seed of every random choice, together with the clip's id and the purpose."""
    video: VideoConfig = VideoConfig()
    cameras: CamerasConfig = CamerasConfig()
    depth: DepthConfig = DepthConfig()
    objects: ObjectsConfig = ObjectsConfig()
    relations: RelationsConfig = RelationsConfig()
    questions: QuestionsConfig = QuestionsConfig()
    reasoning: ReasoningConfig = ReasoningConfig()
    shards: ShardsConfig = ShardsConfig()
    run: RunConfig = RunConfig()
