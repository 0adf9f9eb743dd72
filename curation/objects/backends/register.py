"""How far is an object from where its motion puts it? A shift measured by the pixels of its own points, with its doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, UInt8

from curation.cameras.matching import coarse_disparity, match_right, track
from curation.geometry import inverse, transform
from curation.objects.point_tracks import gray
from curation.objects.rig import Rig
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames

_SIGMA_PX = np.array([0.25, 0.25, 0.2])
_DEPENDENT = 3.0  # formal -> real sigma: neighbouring points share their errors
_WINDOW_PX = 11
_FAR_PX = 12.0
_CAP = 3.0
_LARGEST = 0.2  # disparity, share of the frame's width


@dataclass(frozen=True)
class Shift:
    """An offset in world axes, metres; its covariance; points that agree with it, of those that were looked for."""

    offset_m: Float[Array, "3"]
    covariance: Float[Array, "3 3"]
    agreeing: int
    wanted: int


@dataclass(frozen=True)
class Views:
    """The clip's grey images and cameras, made once for many measurements."""

    frames: ClipFrames
    path: CameraPath
    finder: Callable[[int, int, Array, Array], tuple[Array, Array]] | None = None  # a learned tracker; None: optical flow
    coarse: Float[Array, "t h2 w2"] | None = None  # rough dense disparity, where it was made already

    def find(self, a: int, b: int, points: Float[Array, "n 2"], guess: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        """Where pixels of frame a are in frame b; NaN where they are not found. Lucas-Kanade has the last word on sub-pixels."""
        rough = guess if self.finder is None else self.finder(a, b, points, guess)[0]
        found, _ = track(self.left[a], self.left[b], points, rough, window_px=_WINDOW_PX, levels=2 if self.finder is None else 0)
        return found if self.finder is None else np.where(np.isfinite(rough), found, np.nan)

    @cached_property
    def left(self) -> UInt8[Array, "t h w"]:
        """Grey left frames."""
        return gray(self.frames.left)

    @cached_property
    def right(self) -> UInt8[Array, "t h w"]:
        """Grey right frames."""
        assert self.frames.right is not None
        return gray(self.frames.right)

    @cached_property
    def disparity(self) -> Float[Array, "t h2 w2"]:
        """Rough dense disparity at half the frames' resolution, pixels of the frames; NaN unknown."""
        if self.coarse is not None:
            return self.coarse
        largest = _LARGEST * self.frames.camera.width
        return np.stack([coarse_disparity(a, b, largest)[::2, ::2] for a, b in zip(self.left, self.right, strict=True)])

    @cached_property
    def rig(self) -> Rig:
        """The stereo camera."""
        assert self.frames.baseline_m is not None
        return Rig.of(self.frames.camera, self.frames.baseline_m)

    @cached_property
    def cam_from_world(self) -> Float[Array, "t 4 4"]:
        """The inverse of the path's poses."""
        return inverse(self.path.world_from_camera)

    def seen(self, frame: int, points: Float[Array, "m 3"]) -> Float[Array, "m 3"]:
        """(u, v, disparity) of world points; NaN where they are behind the camera or outside the picture."""
        local = transform(self.cam_from_world[frame], points)
        out = self.rig.project(local)
        u, v = out[:, 0], out[:, 1]
        height, width = self.frames.left.shape[1:3]
        with np.errstate(invalid="ignore"):
            inside = (local[:, 2] > 0.1) & (u > 6) & (v > 6) & (u < width - 6) & (v < height - 6)
        out[~inside] = np.nan
        return out


def measure_shift(views: Views, a: int, b: int, points_a: Float[Array, "m 3"], points_b: Float[Array, "m 3"]) -> Shift | None:
    """How far the texture seen at ``points_a`` in frame a lies, in frame b, from ``points_b``.

    Both places are predictions of one model, so that its own errors cancel; what remains is how the object's motion between
    the two frames differs from the predicted one (as a translation).

    Returns:
        The shift, or None where fewer than six points can be found again.
    """
    at_a, at_b = views.seen(a, points_a), views.seen(b, points_b)
    use = np.flatnonzero(np.isfinite(at_a).all(1) & np.isfinite(at_b).all(1))
    if len(use) < 6:
        return None
    at_a, at_b = at_a[use], at_b[use]
    found = views.find(a, b, at_a[:, :2], at_b[:, :2])
    offset = views.path.disparity_offset_px
    here, _ = match_right(views.left[a], views.right[a], at_a[:, :2], at_a[:, 2] - offset, window_px=_WINDOW_PX)
    there, _ = match_right(views.left[b], views.right[b], found, at_b[:, 2] - offset, window_px=_WINDOW_PX)
    residual = np.column_stack([found - at_b[:, :2], (there - here) - (at_b[:, 2] - at_a[:, 2])])
    residual[np.abs(np.nan_to_num(residual)).max(1) > _FAR_PX] = np.nan
    good = np.isfinite(residual).all(1)
    if good.sum() < 6:
        return None
    rotation = views.cam_from_world[b, :3, :3]
    jacobian = views.rig.jacobian(transform(views.cam_from_world[b], points_b[use][good])) @ rotation
    shift, covariance, agreeing = _solve(jacobian, residual[good])
    return Shift(shift, covariance, agreeing, len(use))


def _solve(jacobian: Float[Array, "m 3 3"], residual: Float[Array, "m 3"]) -> tuple[Array, Array, int]:
    """Robust least squares of one offset (Tukey-like: points beyond three robust sigma do not count)."""
    scale = _SIGMA_PX * np.maximum(1.0, 1.4826 * np.median(np.abs(residual - np.median(residual, 0)), axis=0) / _SIGMA_PX)
    rows, values = jacobian / scale[:, None], residual / scale
    keep: Bool[Array, "m"] = (np.abs(values - np.median(values, 0)) < _CAP).all(1)
    offset = np.zeros(3)
    for _ in range(3):
        if keep.sum() < 4:
            break
        normal = np.einsum("mij,mik->jk", rows[keep], rows[keep]) + 1e-9 * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("mij,mi->j", rows[keep], values[keep]))
        keep = (np.abs(values - rows @ offset) < _CAP).all(1)
    normal = np.einsum("mij,mik->jk", rows[keep], rows[keep]) + 1e-9 * np.eye(3)
    return offset, np.linalg.inv(normal) * _DEPENDENT**2, int(keep.sum())
