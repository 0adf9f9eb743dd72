"""Decode one clip: the frames that are measured, and the mp4 that is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from curation.video.encode import ClipWriter, constant_rate
from curation.video.gates import Stillness, blur_px, check_blur, check_light, small_gray
from curation.video.layouts import Eyes, eye_view, plan_eyes
from curation.video.reading import Picture, Pictures, open_pictures
from curation.video.sampling import Motion, between, question_indices
from curation.video.stereo_gates import check_alignment, check_single, match_eyes
from curation.video.synchrony import Synchrony
from schemas.camera import Array
from schemas.clip import ClipFrames, ClipSpec
from schemas.config import VideoConfig
from schemas.outcome import Rejected

_MOTION_WIDTH = 160
_JUDGED_FRAMES = 6

View = UInt8[Array, "h w 3"]


def decode_clip(spec: ClipSpec, config: VideoConfig, video_path: Path | None) -> ClipFrames:
    """The measuring frames of a clip, and (where ``video_path`` is given) the mp4 of all frames of its left view.

    Holds the measuring frames and the frames between two question frames in memory, nothing more. The mp4 appears
    only when the clip was accepted.

    Raises:
        Rejected: ``too_dark``, ``too_bright``, ``too_blurred``, ``frozen``, ``eyes_swapped``, ``not_rectified``,
            ``not_parallel``, ``eyes_differ``, ``eyes_unsynchronised``, ``decode_error``, and what opening a file raises.
    """
    source = spec.source
    pictures = open_pictures(source.left, source.fps, both_views=source.layout == "mv_hevc")
    eyes = plan_eyes(source.layout, pictures.width, pictures.height, pictures.pixel_aspect, source.camera, config)
    right = open_pictures(source.right, source.fps) if source.right else None
    size = eyes.camera.width, eyes.camera.height
    with ExitStack() as stack:
        writer = stack.enter_context(ClipWriter(video_path, *size, pictures.fps, config.crf)) if video_path else None
        kept = _collect(spec, config, eyes, _views(spec, pictures, right, eyes), writer)
        times_s = np.asarray(kept.times_s)
        rate = constant_rate(kept.times_s)
        if rate is not None:  # the container rounded the times
            times_s = np.arange(len(times_s)) / float(rate)
        questions = [kept.index.index(int(q)) for q in question_indices(len(times_s), config.question_frames)]
        _judge(kept, questions, config)
        if writer:
            writer.finish([float(t) for t in times_s])
    index = np.asarray(kept.index)
    return ClipFrames(
        clip_id=spec.clip_id,
        left=kept.left[: len(index)],
        right=kept.right[: len(index)] if kept.right is not None else None,
        times_s=times_s[index],
        video_index=index,
        source_index=index + spec.start_frame,
        question=np.asarray(questions),
        camera=eyes.camera,
        baseline_m=source.baseline_m,
        assumed=source.assumed,
    )


@dataclass
class _Kept:
    """What stays of a clip after one pass: measuring frames, and one small number or so per frame.

    ``left`` and ``right`` have room for the most frames there can be; pages that are not written cost no memory.
    """

    left: UInt8[Array, "most h w 3"]
    right: UInt8[Array, "most h w 3"] | None
    index: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    luma: list[float] = field(default_factory=list)
    stillness: Stillness = field(default_factory=Stillness)
    synchrony: Synchrony = field(default_factory=Synchrony)


def _views(spec: ClipSpec, pictures: Pictures, right: Pictures | None, eyes: Eyes) -> Iterator[tuple[float, View, View | None]]:
    """(time, left view, right view) of each frame of the clip."""
    count = spec.end_frame - spec.start_frame
    lefts = pictures.read(spec.start_s)
    rights = _Partner(right, spec.start_s, 0.5 / pictures.fps) if right else None
    for k in range(count):
        picture = next(lefts, None)
        if picture is None:
            raise Rejected("decode_error", f"frame {k} of {count} of the clip cannot be decoded: the file is damaged there")
        if k == 0 and abs(picture.time_s - spec.start_s) > 1e-4:
            raise Rejected("decode_error", f"the frame planned at {spec.start_s:.3f} s is not found; did the file change?")
        stored = picture.rgb()
        left_view = eye_view(stored, eyes.left, eyes)
        right_view = None
        if eyes.right is not None:
            right_view = eye_view(rights.at(picture.time_s).rgb() if rights else stored, eyes.right, eyes)
        yield picture.time_s, left_view, right_view


class _Partner:
    """Gives the right eye's picture for each time of the left eye's."""

    def __init__(self, pictures: Pictures, start_s: float, tolerance_s: float) -> None:
        self._pictures = pictures.read(max(0.0, start_s - 2 * tolerance_s)) if start_s > 0 else pictures.read()
        self._tolerance_s = tolerance_s

    def at(self, time_s: float) -> Picture:
        for picture in self._pictures:
            if picture is None:
                raise Rejected("decode_error", f"the right eye is damaged near {time_s:.2f} s")
            if picture.time_s > time_s + self._tolerance_s:
                raise Rejected(
                    "eyes_unsynchronised", f"the right eye has no frame at {time_s:.3f} s, the next is at {picture.time_s:.3f} s"
                )
            if picture.time_s >= time_s - self._tolerance_s:
                return picture
        raise Rejected("eyes_differ", f"the right eye ends before {time_s:.2f} s of the left one")


def _collect(
    spec: ClipSpec,
    config: VideoConfig,
    eyes: Eyes,
    views: Iterator[tuple[float, View, View | None]],
    writer: ClipWriter | None,
) -> _Kept:
    """One pass over the clip: everything into the mp4, the measuring frames into memory."""
    count = spec.end_frame - spec.start_frame
    questions = question_indices(count, config.question_frames)
    shape = (min(count, max(config.max_measure_frames, len(questions))), eyes.camera.height, eyes.camera.width, 3)
    kept, motion = _Kept(np.empty(shape, np.uint8), np.empty(shape, np.uint8) if eyes.right else None), Motion()
    waiting: list[tuple[View, View | None]] = []  # frames since the last question frame
    moved, first_s, asked = 0.0, 0.0, 0
    for k, (time_s, left, right) in enumerate(views):
        if writer:
            writer.add(left)
        first_s = time_s if k == 0 else first_s
        small = small_gray(left, _MOTION_WIDTH)
        kept.times_s.append(time_s - first_s)
        kept.luma.append(float(small.mean()))
        if right is not None:
            kept.synchrony.add(small, small_gray(right, _MOTION_WIDTH))
        kept.stillness.add(left)
        moved += motion.add(small)
        waiting.append((left, right))
        if k == questions[asked]:
            previous = int(questions[asked - 1]) if asked else -1
            budget = (config.max_measure_frames - len(kept.index)) // (len(questions) - asked)
            duration_s = kept.times_s[k] - kept.times_s[previous] if asked else 0.0
            step = config.measure_motion_share
            chosen = between(previous, k, duration_s, moved, config.measure_fps, step, budget) if asked else [0]
            for frame in chosen:
                a, b = waiting[frame - previous - 1]
                kept.left[len(kept.index)] = a
                if kept.right is not None:
                    kept.right[len(kept.index)] = b
                kept.index.append(frame)
            waiting, moved, asked = [], 0.0, asked + 1
    return kept


def _judge(kept: _Kept, questions: list[int], config: VideoConfig) -> None:
    check_light(np.asarray(kept.luma), config)
    kept.stillness.check()
    some = [questions[int(i)] for i in np.linspace(0, len(questions) - 1, min(_JUDGED_FRAMES, len(questions)))]
    check_blur(np.array([blur_px(kept.left[i]) for i in some]), config)
    if kept.right is None:
        check_single([kept.left[i] for i in some[::2]])
        return
    kept.synchrony.check()
    check_alignment(match_eyes([kept.left[i] for i in some], [kept.right[i] for i in some]), config)
