"""What somebody else measured of a source, as one value: the currency between foreign formats and the rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16

from schemas.camera import Array


@dataclass(frozen=True)
class Doubt:
    """One-sigma errors that the annotation's maker states; None where nothing is stated (config then assumes a value).

    Attributes:
        position_sigma_m: of each camera centre, per axis, independent from frame to frame.
        drift_share: of a camera centre relative to the first, as a share of the way between them (it adds to the former).
        rotation_sigma_deg: of each camera's orientation, per axis.
        scale_sigma_rel: relative error that all lengths of the clip share.
        point_sigma_m: of each 3D point, per axis, independent.
        point_sigma_rel: the same as a share of the point's distance to the camera (adds to the former).
        depth_sigma_rel: of a depth map's value, relative.
        box_sigma_m: of a 3D box's centre, per axis, frame to frame.
    """

    position_sigma_m: float | None = None
    drift_share: float | None = None
    rotation_sigma_deg: float | None = None
    scale_sigma_rel: float | None = None
    point_sigma_m: float | None = None
    point_sigma_rel: float | None = None
    depth_sigma_rel: float | None = None
    box_sigma_m: float | None = None


@dataclass(frozen=True)
class Named:
    """An annotated object. ``number`` is its value in masks, points and boxes (1, 2, ...); words may be empty."""

    number: int
    category: str = ""
    description: str = ""


@dataclass(frozen=True)
class Points:
    """3D tracks of material points, ragged: one row per observation.

    Attributes:
        track: (R,) which track the observation belongs to, 0 .. count - 1.
        frame: (R,) source frame.
        xyz_m: (R, 3) in the annotation's world.
        number: (count,) object of each track; 0 is the standing world, -1 unknown (motion then decides).
    """

    track: Int[Array, "r"]
    frame: Int[Array, "r"]
    xyz_m: Float[Array, "r 3"]
    number: Int[Array, "n"]


@dataclass(frozen=True)
class Boxes:
    """3D boxes of objects, one row per object and frame.

    Attributes:
        number: (B,) object; frame: (B,) source frame.
        world_from_object: (B, 4, 4); the origin is the middle of the box, axes along its sides.
        size_m: (B, 3) full extents along these axes.
        clear: (B,) the object is seen well enough there to be asked about (not mostly hidden or cut off).
    """

    number: Int[Array, "b"]
    frame: Int[Array, "b"]
    world_from_object: Float[Array, "b 4 4"]
    size_m: Float[Array, "b 3"]
    clear: Bool[Array, "b"]


@dataclass(frozen=True)
class Annotation:
    """All that is known of one source. N source frames, counted as they are decoded.

    Attributes:
        world_from_camera: (N, 4, 4) of the left eye, OpenCV axes, metres, any world; NaN where unknown.
        maker: who or what made it; published as the source of its words.
        image_size: (width, height) of the pictures that masks and depth belong to; None where there are none.
        objects: the annotated objects; may be empty where ``points`` leaves objects to be found.
        points, boxes: as far as they exist.
        mask: gives the (H, W) object numbers of a source frame (0: none), or None where that frame has no mask.
        depth_m: gives the (H, W) depth along +Z of a source frame (NaN, inf or 0: unknown), or None.
        doubt: stated errors.
    """

    world_from_camera: Float[Array, "n 4 4"]
    maker: str
    image_size: tuple[int, int] | None = None
    objects: tuple[Named, ...] = ()
    points: Points | None = None
    boxes: Boxes | None = None
    mask: Callable[[int], UInt16[Array, "h w"] | None] | None = None
    depth_m: Callable[[int], Float[Array, "h w"] | None] | None = None
    doubt: Doubt = field(default_factory=Doubt)

    @property
    def frames(self) -> int:
        """Number of source frames that it covers."""
        return len(self.world_from_camera)

    @property
    def has_objects(self) -> bool:
        """Whether anything in it says where objects are; else only the camera's path is taken from it."""
        lifted = bool(self.objects) and self.mask is not None and self.depth_m is not None
        return self.points is not None or self.boxes is not None or lifted


def stated(value: float | None, assumed: float) -> float:
    """The stated error, or the assumed one where none was stated (an explicit zero counts as stated)."""
    return assumed if value is None else value


def valid_rotation(world_from_camera: Float[Array, "n 4 4"]) -> tuple[Bool[Array, "n"], Bool[Array, "n"]]:
    """Which matrices are rigid transforms to 1e-3, and which of the others mirror space (left-handed axes)."""
    turn = world_from_camera[:, :3, :3]
    gram = np.einsum("nij,nik->njk", turn, turn) - np.eye(3)
    rigid = (np.abs(gram).max((1, 2)) < 1e-3) & (np.abs(world_from_camera[:, 3] - [0, 0, 0, 1]).max(1) < 1e-6)
    mirrored = np.linalg.det(turn) < 0
    return rigid & ~mirrored, mirrored
