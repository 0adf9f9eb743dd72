"""A camera path up to scale, from one eye: COLMAP's global structure from motion through pycolmap."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float

from curation.cameras import features, matching
from curation.cameras.verdict import judge
from curation.cameras.witness import Corners, follow_corners
from curation.geometry import inverse, opencv_camera_matrix, rotation_from_vector, to_opencv, transform
from schemas.camera import Array, Intrinsics, RelativeCameraPath
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig
from schemas.outcome import Rejected

_WORK_WIDTH = 640  # pixels; wider frames are shrunk before features are extracted
_PAIR_GAP = 5  # frames, of the pairs that must show parallax
_STILL_PX = 0.5  # corners that stay within this did not move (of a frame 640 wide)
_STILL_SHARE = 0.5
_PLANE_PX = 1.0  # corners that a homography carries within this show no parallax (of a frame 640 wide)
_PLANE_SHARE = 0.85
_MAX_ERROR_PX = 1.5
_MIN_POINTS = 50  # triangulated points that every frame must see
# True direction error over the spread of resections from halves of the points: resection does not see the drift.
_DIRECTION_INFLATION = 3.0
_MIN_DIRECTION_SIGMA_DEG = 0.1


@dataclass(frozen=True)
class Structure:
    """A path without scale, with the points that it rests on.

    Attributes:
        path: in units of its own length.
        camera: of the pictures that ``pixels`` belong to.
        pixels, depth: per frame, where it sees its points and their depth along +Z, in the path's units.
    """

    path: RelativeCameraPath
    camera: Intrinsics
    pixels: list[Float[Array, "n 2"]]
    depth: list[Float[Array, "n"]]


def estimate_relative_path(frames: ClipFrames, config: CamerasConfig, *, seed: int = 0) -> RelativeCameraPath:
    """The path of ``estimate_structure`` alone."""
    return estimate_structure(frames, config, seed=seed).path


def estimate_structure(frames: ClipFrames, config: CamerasConfig, *, seed: int = 0) -> Structure:
    """The path of the left camera up to an unknown scale.

    Translation is in units of the length of the path. Where the intrinsics were assumed, the focal length is refined
    along with the path (``stats["focal_of_width"]``), and the path says that it rests on a guess.

    Args:
        frames: the clip; the right eye is not looked at.
        config: of the room.
        seed: of COLMAP's random choices.

    Raises:
        Rejected: ``pose_no_parallax`` (a camera that stands still or only turns), ``pose_lost`` (no model, a frame
            outside of it, or one that hardly sees it), ``pose_uncertain`` (the model does not fit the images), and what
            ``curation.cameras.verdict.judge`` raises: corners that the model was not made from do not confirm the path.
        ValueError: fewer than three frames.
    """
    parallax = checked_parallax(frames)
    assumed, images = bool(frames.assumed), work_images(frames)
    with tempfile.TemporaryDirectory() as folder:
        model = _map(images, work_camera(frames), Path(folder), config, refine_focal=assumed, seed=seed)
    path = _checked(model, assumed, parallax, follow_corners(images, model.camera), config, seed)
    length = path_length(model.world_from_camera)
    seen = zip(inverse(model.world_from_camera), model.points, strict=True)
    depth = [transform(camera_from_world, points)[:, 2] / length for camera_from_world, points in seen]
    return Structure(path, model.camera, model.pixels, depth)


def path_length(world_from_camera: Float[Array, "t 4 4"]) -> float:
    """Length of the way of the camera's centre, in the path's units."""
    return float(np.linalg.norm(np.diff(world_from_camera[:, :3, 3], axis=0), axis=1).sum())


def checked_parallax(frames: ClipFrames) -> Parallax:
    """The parallax of a clip that has some.

    Raises:
        Rejected: ``pose_no_parallax``, ``pose_lost``.
        ValueError: fewer than three frames.
    """
    if len(frames.left) < 3:
        raise ValueError(f"expected at least three frames, got {len(frames.left)}")
    parallax = measure_parallax([matching.gray(frame) for frame in frames.left])
    if parallax.still_share >= _STILL_SHARE:
        raise Rejected(
            "pose_no_parallax",
            f"{parallax.still_share:.2f} of the corners stand still, expected less than {_STILL_SHARE:.2f}; "
            "one eye cannot tell the path of a camera that stands",
        )
    if parallax.plane_share >= _PLANE_SHARE:
        raise Rejected(
            "pose_no_parallax",
            f"{parallax.plane_share:.2f} of the corners move as if the camera only turned, expected less than {_PLANE_SHARE:.2f}"
            "; one eye cannot tell its path",
        )
    return parallax


@dataclass(frozen=True)
class Parallax:
    """Whether one eye can see that the camera moved through the scene.

    Attributes:
        still_share: share of the corners that kept their place, over the pair of frames with the fewest.
        plane_share: share that one homography explains, likewise; 1 for a camera that only turns.
        moved_px: median displacement of that pair.
    """

    still_share: float
    plane_share: float
    moved_px: float


def measure_parallax(images: list[matching.Gray]) -> Parallax:
    """Parallax of the clip's best pairs of frames, from corners followed a few frames on, and from first to last.

    Raises:
        Rejected: ``pose_lost`` where hardly a corner can be followed in any pair.
    """
    scale = images[0].shape[1] / 640
    total = len(images)
    gap = min(_PAIR_GAP, total - 1)
    still, plane, moved = [], [], []
    for start in range(0, total - gap, max(1, gap)):
        corners = here = matching.detect_corners(images[start], 400)
        alive = np.ones(len(corners), bool)
        for t in range(start, start + gap):
            here, ok = matching.track(images[t], images[t + 1], np.where(alive[:, None], here, corners))
            alive &= ok
        if alive.sum() < 30:
            continue
        before, after = to_opencv(corners[alive]), to_opencv(here[alive])
        way = np.linalg.norm(after - before, axis=1)
        _, agree = cv2.findHomography(before, after, cv2.RANSAC, _PLANE_PX * scale, maxIters=500)
        still.append(float((way < _STILL_PX * scale).mean()))
        plane.append(float(agree.mean()) if agree is not None else 1.0)
        moved.append(float(np.median(way)))
    if not still:
        raise Rejected("pose_lost", "no pair of frames shares 30 corners; the view is black, blurred or changes too fast")
    # A camera may pause or turn for a while: a quarter of the pairs with parallax is enough to map from.
    return Parallax(float(np.quantile(still, 0.25)), float(np.quantile(plane, 0.25)), float(np.quantile(moved, 0.75)))


@dataclass(frozen=True)
class _Model:
    """What COLMAP made: poses of the registered frames, and for each the points that it sees (world) and where."""

    world_from_camera: Float[Array, "t 4 4"]
    registered: Bool[Array, "t"]
    camera: Intrinsics
    points: list[Array]
    pixels: list[Array]
    error_px: float
    num_points: int


def _map(
    images: list[matching.Gray], camera: Intrinsics, folder: Path, config: CamerasConfig, *, refine_focal: bool, seed: int
) -> _Model:
    """Features, sequential matches and global mapping of the images; everything in ``folder``."""
    import pycolmap  # after cv2 (above), and only where a mono clip needs it

    pycolmap.logging.minloglevel = 2  # errors only
    pycolmap.set_random_seed(seed)
    pictures, database = folder / "images", str(folder / "database.db")
    _write_images(images, pictures)
    features.find_matches(images, camera, pictures, database, config, refine_focal=refine_focal, seed=seed)
    models = pycolmap.global_mapping(database, str(pictures), str(folder / "out"), _mapping(pycolmap, refine_focal, seed))
    if not models:
        raise Rejected("pose_lost", "structure from motion found no model; the frames share too little texture or parallax")
    return _read_model(max(models.values(), key=lambda model: model.num_reg_images()), len(images), camera)


def _mapping(pycolmap: Any, refine_focal: bool, seed: int) -> Any:
    """Options of the global mapper; every thread count and seed is set, since each defaults to all cores or to chance."""
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads, options.random_seed = features.THREADS, seed
    mapper = options.mapper
    mapper.num_threads, mapper.random_seed = features.THREADS, seed
    mapper.rotation_averaging.random_seed = mapper.global_positioning.random_seed = seed
    mapper.global_positioning.use_gpu = False
    mapper.bundle_adjustment.refine_focal_length = refine_focal
    mapper.bundle_adjustment.ceres.use_gpu = False
    mapper.bundle_adjustment.ceres.solver_options.num_threads = features.THREADS
    return options


def work_camera(frames: ClipFrames) -> Intrinsics:
    """The camera of ``work_images``."""
    height, width = frames.left.shape[1:3]
    factor = min(1.0, _WORK_WIDTH / width)
    return frames.camera.scaled(factor, round(width * factor), round(height * factor))


def work_images(frames: ClipFrames) -> list[matching.Gray]:
    """The left frames in grey, shrunk to the working width."""
    camera = work_camera(frames)
    size = camera.width, camera.height
    images = [matching.gray(frame) for frame in frames.left]
    return [i if i.shape[::-1] == size else cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in images]


def _write_images(images: list[matching.Gray], folder: Path) -> None:
    os.makedirs(folder)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index:05d}.png"), image)


def _read_model(model: Any, total: int, camera: Intrinsics) -> _Model:
    poses, registered = np.tile(np.eye(4), (total, 1, 1)), np.zeros(total, bool)
    points: list[Array] = [np.zeros((0, 3))] * total
    pixels: list[Array] = [np.zeros((0, 2))] * total
    for image in model.images.values():
        if not image.has_pose:
            continue
        index = int(Path(image.name).stem)
        camera_from_world = np.eye(4)
        camera_from_world[:3] = image.cam_from_world().matrix()
        poses[index], registered[index] = inverse(camera_from_world), True
        seen = [point for point in image.points2D if point.has_point3D()]
        if seen:
            points[index] = np.stack([model.points3D[point.point3D_id].xyz for point in seen])
            pixels[index] = np.stack([point.xy for point in seen])
    focal = next(iter(model.cameras.values())).mean_focal_length()
    stretch = focal / ((camera.fx + camera.fy) / 2)
    solved = Intrinsics(camera.fx * stretch, camera.fy * stretch, camera.cx, camera.cy, camera.width, camera.height)
    error = float(model.compute_mean_reprojection_error())
    return _Model(poses, registered, solved, points, pixels, error, int(model.num_points3D()))


def _checked(
    model: _Model, assumed: bool, parallax: Parallax, corners: Corners, config: CamerasConfig, seed: int
) -> RelativeCameraPath:
    """Refuse what the model does not carry; else the path from frame 0, in units of its length, with doubt."""
    total = len(model.registered)
    least = min(len(points) for points in model.points)
    if not model.registered.all() or least < _MIN_POINTS:
        raise Rejected(
            "pose_lost",
            f"structure from motion placed {int(model.registered.sum())} of {total} frames, the worst of which sees {least} "
            f"points; expected all, and {_MIN_POINTS}",
        )
    poses = inverse(model.world_from_camera[0]) @ model.world_from_camera
    length = path_length(poses)
    if not (model.error_px < _MAX_ERROR_PX and np.isfinite(length) and length > 0):
        raise Rejected(
            "pose_uncertain", f"the mean reprojection error is {model.error_px:.2f} px, expected less than {_MAX_ERROR_PX:.1f} px"
        )
    verdict = judge(corners, poses, config, seed=seed)
    poses[:, :3, 3] /= length
    spread = _DIRECTION_INFLATION * np.array([_resection_spread(model, t) for t in range(total)]) / length
    sigma = direction_sigma_deg(poses, np.maximum(spread, verdict.doubt))
    stats: dict[str, Any] = {
        "points": model.num_points,
        "reprojection_px": model.error_px,
        "least_points_in_frame": least,
        "focal_of_width": float(model.camera.fx / model.camera.width),
        "still_share": parallax.still_share,
        "plane_share": parallax.plane_share,
        "moved_px": parallax.moved_px,
    } | verdict.stats
    return RelativeCameraPath(poses, sigma, assumed, stats)


def direction_sigma_deg(world_from_camera: Float[Array, "t 4 4"], spread: Float[Array, "t"]) -> Float[Array, "t"]:
    """Doubt about the direction from the first centre to each, from how far either may be off (in the path's units)."""
    way = np.linalg.norm(world_from_camera[:, :3, 3], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = np.rad2deg(np.arctan(np.hypot(spread, spread[0]) / way))
    sigma = np.maximum(np.nan_to_num(sigma, nan=90.0), _MIN_DIRECTION_SIGMA_DEG)
    sigma[0] = 180.0  # there is no direction from a point to itself
    return sigma


def _resection_spread(model: _Model, frame: int) -> float:
    """Half the distance of the positions that two halves of a frame's points give it, in the model's units."""
    camera = model.camera
    matrix = opencv_camera_matrix(camera.fx, camera.fy, camera.cx, camera.cy)
    camera_from_world = inverse(model.world_from_camera[frame])
    vector = cv2.Rodrigues(camera_from_world[:3, :3])[0]
    centres = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        points, pixels = model.points[frame][half], to_opencv(model.pixels[frame][half])
        turn, shift = cv2.solvePnPRefineLM(points, pixels, matrix, None, vector.copy(), camera_from_world[:3, 3:].copy())
        centres.append(-rotation_from_vector(turn[:, 0]).T @ shift[:, 0])
    return float(np.linalg.norm(centres[0] - centres[1]) / 2)
