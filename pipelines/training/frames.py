"""What Qwen's vision-language models are shown of a clip: exactly its question frames, with their true times.

Trainers sample videos by rates of their own; a question that names "frame 12 of 31" is then about another picture. Here the
frames are those that the question counted. Decoding is by PyAV and patches are cut here, so that neither torchvision (whose
CUDA build cannot be imported beside a CPU torch) nor FFmpeg's shared libraries are needed; tests compare the patches with
those of transformers' own processors.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from transformers import AutoConfig, AutoTokenizer, BatchFeature, Qwen2_5_VLProcessor, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize
from transformers.utils import cached_file
from transformers.video_utils import VideoMetadata

from curation.video.reading import open_pictures
from curation.video.sampling import question_indices
from schemas.camera import Array

PROCESSORS = {"qwen3_vl": Qwen3VLProcessor, "qwen3_vl_moe": Qwen3VLProcessor, "qwen2_5_vl": Qwen2_5_VLProcessor}
_CONFIGS = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
_LEAST_TOKENS = 4  # of a frame, however small the budget


class Patching(NamedTuple):
    """How a checkpoint cuts a video: edge of a patch, frames per patch, patches per token and side, normalisation."""

    patch_size: int
    temporal_patch_size: int
    merge_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Frames(NamedTuple):
    """The question frames of a clip: pixels (t, h, w, 3), their places in the file, and their times since its start."""

    rgb: UInt8[Array, "t h w 3"]
    indices: list[int]
    times_s: list[float]


def read_frames(path: str | Path, count: int) -> Frames:
    """The question frames of a clip.

    Args:
        path: a published mp4.
        count: question frames (``video.question_frames`` of the run).

    Raises:
        Rejected: the file cannot be read as video.
        ValueError: fewer pictures came out than the container announces.
    """
    pictures = open_pictures(path)
    wanted = question_indices(len(pictures.times_s()), count).tolist()
    found: dict[int, tuple[Any, float]] = {}
    for index, picture in enumerate(pictures.read()):
        if picture is not None and index in wanted:
            found[index] = picture.rgb(), picture.time_s
    if len(found) != len(set(wanted)):
        raise ValueError(f"expected {len(set(wanted))} question frames in {path}, got {len(found)}: the file is damaged")
    return Frames(np.stack([found[index][0] for index in wanted]), wanted, [found[index][1] for index in wanted])


def to_patches(
    frames: UInt8[Array, "t h w 3"], how: Patching, frame_pixels: int
) -> tuple[Float[torch.Tensor, "n d"], tuple[int, int, int]]:
    """Resize, normalise and cut frames into the rows that the vision tower reads.

    Args:
        frames: RGB.
        how: of the checkpoint.
        frame_pixels: at most this many pixels of a frame are kept.

    Returns:
        Rows of (channel, time, y, x) values, merge neighbours together; and the grid (t, h, w) in patches.
    """
    cell = how.patch_size * how.merge_size
    least = _LEAST_TOKENS * cell**2
    size = smart_resize(frames.shape[1], frames.shape[2], cell, min_pixels=least, max_pixels=max(frame_pixels, least))
    height, width = int(size[0]), int(size[1])
    resized = np.stack([np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BICUBIC)) for f in frames])
    values = (resized.astype(np.float32) / 255.0 - np.asarray(how.mean, np.float32)) / np.asarray(how.std, np.float32)
    if missing := -len(values) % how.temporal_patch_size:
        values = np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
    t, h, w = len(values) // how.temporal_patch_size, height // how.patch_size, width // how.patch_size
    m, p = how.merge_size, how.patch_size
    cut = values.reshape(t, how.temporal_patch_size, h // m, m, p, w // m, m, p, 3)
    rows = cut.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(t * h * w, -1)
    return torch.from_numpy(np.ascontiguousarray(rows)), (t, h, w)


class QuestionFrames:
    """Stands where a processor has its video processor; takes paths of published clips."""

    model_input_names = ("pixel_values_videos", "video_grid_thw")

    def __init__(self, how: Patching, frames: int, frame_pixels: int) -> None:
        self.how, self.frames, self.frame_pixels = how, frames, frame_pixels
        self.merge_size, self.temporal_patch_size, self.patch_size = how.merge_size, how.temporal_patch_size, how.patch_size
        # A group of generations asks for the same clip one time each, and so does a prompt with and without its answer.
        self._read = lru_cache(maxsize=4)(self._patches)

    def __call__(self, videos: Any, **_: Any) -> BatchFeature:
        """``pixel_values_videos`` (rows of all videos), ``video_grid_thw`` (v, 3) and ``video_metadata``."""
        found = [self._read(path) for path in _flat(videos)]
        return BatchFeature(
            {
                "pixel_values_videos": torch.cat([rows for rows, _, _ in found]),
                "video_grid_thw": torch.tensor([grid for _, grid, _ in found]),
                "video_metadata": [_metadata(times_s) for _, _, times_s in found],
            }
        )

    def _patches(self, path: str) -> tuple[torch.Tensor, tuple[int, int, int], list[float]]:
        frames = read_frames(path, self.frames)
        rows, grid = to_patches(frames.rgb, self.how, self.frame_pixels)
        return rows, grid, frames.times_s

    def __deepcopy__(self, memo: dict[int, Any]) -> QuestionFrames:
        return self


def load_processor(model: str, frames: int, frame_pixels: int) -> Any:
    """A checkpoint's processor (tokenizer, chat template, images) that reads videos by ``QuestionFrames``.

    Args:
        model: folder or Hub id.
        frames: question frames of a clip.
        frame_pixels: budget of one frame.

    Raises:
        ValueError: the checkpoint is of another family, or has no chat template.
    """
    kind = AutoConfig.from_pretrained(model).model_type
    if kind not in PROCESSORS:
        raise ValueError(f"expected a checkpoint of {', '.join(PROCESSORS)}, got {kind!r} in {model}")
    files = {name: json.loads(Path(file).read_text()) for name in _CONFIGS if (file := _file(model, name))}
    video = files.get("processor_config.json", {}).get("video_processor") or files.get("video_preprocessor_config.json")
    video = video or files.get("preprocessor_config.json", {})
    size = 16 if kind.startswith("qwen3") else 14
    how = Patching(
        int(video.get("patch_size", size)),
        int(video.get("temporal_patch_size", 2)),
        int(video.get("merge_size", 2)),
        tuple(video.get("image_mean", (0.5, 0.5, 0.5))),
        tuple(video.get("image_std", (0.5, 0.5, 0.5))),
    )
    images = Qwen2VLImageProcessorPil(
        patch_size=how.patch_size, merge_size=how.merge_size, image_mean=list(how.mean), image_std=list(how.std)
    )
    tokenizer = AutoTokenizer.from_pretrained(model)
    template = tokenizer.chat_template or _chat_template(model)
    if not template:
        raise ValueError(f"expected a chat template in {model}, found none: take an Instruct checkpoint")
    processor = _tolerant(PROCESSORS[kind])(images, tokenizer, QuestionFrames(how, frames, frame_pixels), chat_template=template)
    processor.kept_files = files
    return processor


@cache
def _tolerant(base: type) -> type:
    """``base`` with a video processor that is none of transformers' own classes."""

    class Processor(base):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            own = isinstance(argument, QuestionFrames)
            return type(argument) if own else super().check_argument_for_proper_class(argument_name, argument)

        def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
            """The checkpoint's own files again: whoever loads the result gets the processor that the base model has."""
            folder = Path(save_directory)
            folder.mkdir(parents=True, exist_ok=True)
            self.tokenizer.save_pretrained(folder)
            for name, value in self.kept_files.items():
                (folder / name).write_text(json.dumps(value, indent=2) + "\n")
            (folder / "chat_template.jinja").write_text(self.chat_template)
            return [str(folder / name) for name in self.kept_files]

    Processor.__name__ = base.__name__
    return Processor


def _metadata(times_s: list[float]) -> VideoMetadata:
    """The times as transformers takes them, index / fps, for videos of any frame rate: a "frame" is a second here."""
    span_s = (times_s[-1] - times_s[0]) or 1.0
    seconds: Any = span_s * len(times_s) / max(1, len(times_s) - 1)  # so that sampled_fps is frames by time between them
    return VideoMetadata(total_num_frames=seconds, fps=1.0, frames_indices=list(times_s))  # type: ignore[arg-type]


def _file(model: str, name: str) -> str | None:
    return cached_file(model, name, _raise_exceptions_for_missing_entries=False)


def _chat_template(model: str) -> str:
    """Where older checkpoints keep it: a file of its own."""
    if file := _file(model, "chat_template.jinja"):
        return Path(file).read_text()
    if file := _file(model, "chat_template.json"):
        return str(json.loads(Path(file).read_text())["chat_template"])
    return ""


def _flat(videos: Any) -> list[str]:
    if isinstance(videos, (str, Path)):
        return [str(videos)]
    return [path for item in videos for path in _flat(item)]
