"""What is really there, per source frame, and how it is written and read."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from schemas.camera import Array, Intrinsics

TRUTH, MASKS, DEPTH = "truth.npz", "masks.npz", "depth.npz"


@dataclass(frozen=True)
class Truth:
    """Exact truth of a rendered world. World frame = the left camera of frame 0, metres, OpenCV axes.

    N source frames, K bodies, P pieces of a body (1 unless it has limbs), M points on its surface.

    Attributes:
        world_from_camera: (N, 4, 4) of the left eye.
        names, categories, colours: K words each; the order of all arrays below.
        is_mover: (K,) moves at some time of the clip.
        rigid: (K,) False for bodies with swinging limbs.
        moving: (N, K) moves at that frame (some point of it faster than 0.05 m/s).
        world_from_object: (N, K, 4, 4) pose of the body (of a rolling ball: of its path, without the roll).
        model_m: per body (M, 3), material points of its surface in the frame of their piece; the first ``spread[k]`` of them are
            spread evenly by area, the rest are the mesh's corners.
        piece: per body (M,) which piece each point belongs to.
        world_from_piece: per body (N, P, 4, 4).
        spread: (K,) number of evenly spread points.
        labels: (N, H, W) which body the ray through each pixel's centre of the left eye meets: k + 1, or 0.
        depth_m: (N, H, W) float32 depth along +Z there; inf where sky. None where not kept.
        visible_fraction: (N, K) visible pixels over the pixels that the body would cover alone in an unbounded image.
        info: plain JSON values: fps, baseline_m, camera (fx fy cx cy width height), scenario, seed.
    """

    world_from_camera: Float[Array, "n 4 4"]
    names: tuple[str, ...]
    categories: tuple[str, ...]
    colours: tuple[str, ...]
    is_mover: Bool[Array, "k"]
    rigid: Bool[Array, "k"]
    moving: Bool[Array, "n k"]
    world_from_object: Float[Array, "n k 4 4"]
    model_m: tuple[Float[Array, "m 3"], ...]
    piece: tuple[Int[Array, "m"], ...]
    world_from_piece: tuple[Float[Array, "n p 4 4"], ...]
    spread: Int[Array, "k"]
    labels: UInt8[Array, "n h w"]
    depth_m: Float[Array, "n h w"] | None
    visible_fraction: Float[Array, "n k"]
    info: dict[str, Any]

    @cached_property
    def points_m(self) -> tuple[Float[Array, "n m 3"], ...]:
        """Per body the same material points at every frame, world frame."""
        out = []
        for model, piece, poses in zip(self.model_m, self.piece, self.world_from_piece, strict=True):
            of_point = poses[:, piece]
            out.append(np.einsum("nmij,mj->nmi", of_point[..., :3, :3], model) + of_point[..., :3, 3])
        return tuple(out)

    @cached_property
    def centroid_m(self) -> Float[Array, "n k 3"]:
        """Mean of each body's evenly spread points: a fixed material point of a rigid body, the mean of a walker."""
        means = [p[:, :n].mean(1) for p, n in zip(self.points_m, self.spread, strict=True)]
        return np.stack(means, 1) if means else np.zeros((len(self.labels), 0, 3))

    @property
    def camera(self) -> Intrinsics:
        """Of the left eye (for VR180: of the perspective view that ``labels`` are given in)."""
        return Intrinsics(**self.info["camera"])

    def mask(self, frame: int, body: int) -> Bool[Array, "h w"]:
        """Visible pixels of a body."""
        return np.asarray(self.labels[frame] == body + 1)


def _write(path: Path, arrays: dict[str, Array]) -> None:
    """An .npz with the same bytes for the same arrays: fixed dates, fixed order."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED)


def save_truth(truth: Truth, folder: Path) -> None:
    """Write ``truth.npz`` (poses, bodies), ``masks.npz`` (labels) and, where depth was kept, ``depth.npz`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {"names": truth.names, "categories": truth.categories, "colours": truth.colours, "info": truth.info}
    arrays: dict[str, Array] = {"words": np.frombuffer(json.dumps(words, sort_keys=True).encode(), np.uint8)}
    for name in ("world_from_camera", "is_mover", "rigid", "moving", "world_from_object", "spread", "visible_fraction"):
        arrays[name] = getattr(truth, name)
    for k in range(len(truth.names)):
        arrays[f"model_m_{k}"] = truth.model_m[k]
        arrays[f"piece_{k}"] = truth.piece[k].astype(np.uint8)
        arrays[f"world_from_piece_{k}"] = truth.world_from_piece[k]
    _write(folder / MASKS, {"labels": truth.labels})
    if truth.depth_m is not None:
        _write(folder / DEPTH, {"depth_m": truth.depth_m})
    _write(folder / TRUTH, arrays)  # last: its presence says that the folder is complete


def load_truth(folder: Path) -> Truth:
    """The inverse of ``save_truth``.

    Raises:
        FileNotFoundError: the folder holds no finished truth.
    """
    if not (folder / TRUTH).exists():
        raise FileNotFoundError(f"expected {TRUTH} in {folder}, as pipelines.simulate writes it; found none")
    with np.load(folder / TRUTH) as stored:
        arrays = dict(stored)
    with np.load(folder / MASKS) as stored:
        labels = stored["labels"]
    depth = None
    if (folder / DEPTH).exists():
        with np.load(folder / DEPTH) as stored:
            depth = stored["depth_m"]
    words = json.loads(arrays["words"].tobytes())
    count = range(len(words["names"]))
    return Truth(
        world_from_camera=arrays["world_from_camera"],
        names=tuple(words["names"]),
        categories=tuple(words["categories"]),
        colours=tuple(words["colours"]),
        is_mover=arrays["is_mover"],
        rigid=arrays["rigid"],
        moving=arrays["moving"],
        world_from_object=arrays["world_from_object"],
        model_m=tuple(arrays[f"model_m_{k}"] for k in count),
        piece=tuple(arrays[f"piece_{k}"].astype(np.int64) for k in count),
        world_from_piece=tuple(arrays[f"world_from_piece_{k}"] for k in count),
        spread=arrays["spread"],
        labels=labels,
        depth_m=depth,
        visible_fraction=arrays["visible_fraction"],
        info=words["info"],
    )
