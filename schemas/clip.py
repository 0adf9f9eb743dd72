"""A source of video, a clip of it (the unit of work), and the pixels of a clip as rooms measure them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from schemas.camera import Array, Intrinsics

Layout = Literal["mono", "pair", "side_by_side", "over_under", "vr180_side_by_side", "vr180_over_under", "mv_hevc"]
STEREO_LAYOUTS: tuple[str, ...] = ("pair", "side_by_side", "over_under", "vr180_side_by_side", "vr180_over_under", "mv_hevc")


@dataclass(frozen=True)
class Source:
    """One video (or pair of videos or image folders) found in the input.

    Attributes:
        name: path relative to the input root, POSIX style, without extension; only a label.
        layout: how the eyes lie in the files.
        left: path of the file or image folder that holds the left eye (or both eyes).
        right: path of the right eye's file or folder, None where ``left`` holds both or the source is mono.
        sha256: hash of the video bytes (of all files of the source, in order); the identity of the content.
        fps: frame rate for image folders; None for videos, whose timestamps are read.
        camera: calibration as given: fx fy cx cy width height, or hfov_deg; empty where nothing was given.
        baseline_m: distance between the eyes, metres; None where mono.
        assumed: names of the values above that came from config defaults and not from a calibration.
        annotations: folder of what was measured of the source elsewhere (see ``curation.imports.folder``); empty where none.
        annotations_sha256: hash of that folder's files and their names; empty where there is none.
    """

    name: str
    layout: Layout
    left: str
    right: str | None
    sha256: str
    fps: float | None
    camera: dict[str, float]
    baseline_m: float | None
    assumed: tuple[str, ...]
    annotations: str = ""
    annotations_sha256: str = ""


@dataclass(frozen=True)
class ClipSpec:
    """A clip still to be measured: a source and a frame range [start_frame, end_frame) of it. JSON-serialisable."""

    source: Source
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    pixel_options: str  # canonical JSON of the config values that change pixels; part of the clip's identity

    @functools.cached_property
    def clip_id(self) -> str:
        """Content hash: video bytes, time span and the options that change pixels; never a path."""
        text = json.dumps(
            [
                self.source.sha256,
                self.source.layout,
                self.source.camera,
                self.source.baseline_m,
                self.source.fps,
                self.start_frame,
                self.end_frame,
                self.pixel_options,
            ],
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``from_json`` reads them back."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> ClipSpec:
        """The inverse of ``to_json``."""
        source = dict(value["source"])
        source["assumed"] = tuple(source["assumed"])
        return ClipSpec(**{**value, "source": Source(**source)})


@dataclass(frozen=True)
class ClipFrames:
    """The measuring frames of one clip: rectified, of one size, in time order.

    Attributes:
        left: (T, H, W, 3) RGB of the left eye, as published (the clip's mp4 holds these pixels).
        right: (T, H, W, 3) RGB of the right eye, rows aligned with the left; None where mono.
        times_s: (T,) presentation time since the clip's start, strictly increasing, first is 0.
        video_index: (T,) index of each measuring frame among the frames of the clip's mp4.
        source_index: (T,) index of each measuring frame among the decoded frames of the source.
        question: (Q,) index of each question frame among the measuring frames; the first is 0. Question frame k is
            the mp4's frame ``round(linspace(0, N - 1, Q))[k]``, which is how trainers sample.
        camera: of both eyes.
        baseline_m: the right eye stands at +X by this much; None where mono.
        assumed: calibration values that were assumed, not given.
    """

    clip_id: str
    left: UInt8[Array, "t h w 3"]
    right: UInt8[Array, "t h w 3"] | None
    times_s: Float[Array, "t"]
    video_index: Int[Array, "t"]
    source_index: Int[Array, "t"]
    question: Int[Array, "q"]
    camera: Intrinsics
    baseline_m: float | None
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.right is not None and self.right.shape != self.left.shape:
            raise ValueError(f"expected eyes of one size, got left {self.left.shape} and right {self.right.shape}")
        if len(self.times_s) != len(self.left) or np.any(np.diff(self.times_s) <= 0):
            raise ValueError("expected one strictly increasing time per frame")
        if self.left.shape[1:3] != (self.camera.height, self.camera.width):
            raise ValueError(f"frames are {self.left.shape[1:3]}, the camera says {self.camera}")

    @property
    def stereo(self) -> bool:
        """Whether both eyes are there, with a baseline."""
        return self.right is not None and self.baseline_m is not None
