"""Stereo odometry, the front end: corners followed over a clip, matched into the right eye, and a pose for every frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float

from curation.cameras import matching
from curation.cameras.bundle import Tracks
from curation.geometry import inverse, opencv_camera_matrix, pose, rotation_from_vector, skew, to_opencv, transform
from schemas.camera import Array, Intrinsics
from schemas.outcome import Rejected

MIN_LINKS = 40  # fewer points linking a frame to the one before: the frame is not posed
MIN_LINK_RATIO = 0.25  # of the points tried: below, no motion explains the frame
MAX_LOST_SHARE = 0.15  # of a clip's frames that may go without a pose
_RANSAC_PX = 0.6
_RANSAC_ROUNDS = 400
_SIGMA_PX = 0.2  # of u, v and d in the frame-to-map fit; the adjustment measures its own


@dataclass(frozen=True)
class Odometry:
    """What the front end found.

    Attributes:
        world_from_camera: (G, 4, 4) of the posed frames, the first the identity.
        posed: (T,) whether a measuring frame has a pose; ``world_from_camera`` has one row per True.
        tracks: corners over the posed frames (``start`` counts posed frames).
        link_ratio: (G,) share of the points tried that agree with the pose (1 for the first).
        links: (G,) their number.
        agreed: (P,) share of the frames in which a corner was tried that it agreed with the pose (1 where never tried).
    """

    world_from_camera: Float[Array, "g 4 4"]
    posed: Bool[Array, "t"]
    tracks: Tracks
    link_ratio: Float[Array, "g"]
    links: Array
    agreed: Float[Array, "p"]


@dataclass
class _Map:
    """The corners being followed, by row; rows only grow, ``alive`` says which are still seen."""

    uv: Array = field(default_factory=lambda: np.zeros((0, 2)))
    disparity: Array = field(default_factory=lambda: np.zeros(0))
    point: Array = field(default_factory=lambda: np.zeros((0, 3)))  # world; NaN before it was measured
    weight: Array = field(default_factory=lambda: np.zeros(0))
    alive: Array = field(default_factory=lambda: np.zeros(0, bool))
    score: Array = field(default_factory=lambda: np.zeros(0, int))  # frames that it agreed with, less those that it did not
    tried: Array = field(
        default_factory=lambda: np.zeros((0, 2), int)
    )  # frames that it agreed with, frames in which it was tried

    def add(self, uv: Array, disparity: Array) -> None:
        count = len(uv)
        self.uv = np.concatenate([self.uv, uv])
        self.disparity = np.concatenate([self.disparity, disparity])
        self.point = np.concatenate([self.point, np.full((count, 3), np.nan)])
        self.weight = np.concatenate([self.weight, np.zeros(count)])
        self.alive = np.concatenate([self.alive, np.ones(count, bool)])
        self.score = np.concatenate([self.score, np.zeros(count, int)])
        self.tried = np.concatenate([self.tried, np.zeros((count, 2), int)])


def fit_pose(
    points: Float[Array, "n 3"],
    uvd: Float[Array, "n 3"],
    camera: Intrinsics,
    baseline_m: float,
    guess: Float[Array, "4 4"],
    sigma_px: float = _SIGMA_PX,
    rounds: int = 10,
) -> Float[Array, "4 4"]:
    """``world_from_camera`` of one frame from world points and their (u, v, d); d may be NaN. Robust Gauss-Newton."""
    turn, centre = guess[:3, :3].copy(), guess[:3, 3].copy()
    measured = np.nan_to_num(uvd)
    has_d = np.isfinite(uvd[:, 2])
    for _ in range(rounds):
        model, jacobian = _predict(points, camera, baseline_m, turn, centre)
        r, jacobian = (model - measured) / sigma_px, jacobian / sigma_px
        r[~has_d, 2], jacobian[~has_d, 2] = 0.0, 0.0
        weight = 1.0 / (1.0 + (r**2).sum(axis=1) / 9.0) ** 2
        a = np.einsum("n,nij,nik->jk", weight, jacobian, jacobian)
        b = np.einsum("n,nij,ni->j", weight, jacobian, r)
        step = -np.linalg.solve(a + 1e-9 * np.trace(a) * np.eye(6), b)
        centre = centre + step[:3]
        turn = rotation_from_vector(step[3:]) @ turn
        if np.linalg.norm(step) < 1e-7:
            break
    return pose(turn, centre)


def pose_covariance(
    points: Float[Array, "n 3"], camera: Intrinsics, baseline_m: float, world_from_camera: Float[Array, "4 4"], sigma_px: float
) -> Float[Array, "6 6"]:
    """Formal covariance (position [m], rotation vector [rad]; world axes) of a pose fitted to exactly known points."""
    _, jacobian = _predict(points, camera, baseline_m, world_from_camera[:3, :3], world_from_camera[:3, 3])
    return np.asarray(np.linalg.pinv(np.einsum("nij,nik->jk", jacobian, jacobian) / sigma_px**2, hermitian=True))


def _predict(points: Array, camera: Intrinsics, baseline_m: float, turn: Array, centre: Array) -> tuple[Array, Array]:
    """(n, 3) predicted (u, v, d) and (n, 3, 6) its derivatives by the pose (position, rotation vector; world axes)."""
    h = points - centre
    y = h @ turn
    z = np.maximum(y[:, 2], 1e-3)
    u, v = camera.fx * y[:, 0] / z + camera.cx, camera.fy * y[:, 1] / z + camera.cy
    project = np.zeros((len(y), 3, 3))
    project[:, 0, 0], project[:, 0, 2] = camera.fx / z, -camera.fx * y[:, 0] / z**2
    project[:, 1, 1], project[:, 1, 2] = camera.fy / z, -camera.fy * y[:, 1] / z**2
    project[:, 2, 2] = -camera.fx * baseline_m / z**2
    by_ray = project @ turn.T
    return np.stack([u, v, camera.fx * baseline_m / z], axis=1), np.concatenate([-by_ray, by_ray @ skew(h)], axis=2)


def fit_motion(
    points: Array, uvd: Array, camera: Intrinsics, baseline_m: float, least: int = MIN_LINKS
) -> tuple[Array | None, Array]:
    """Pose of a frame from world points and their (u, v, d) in it, and which of them agree with it.

    No pose (None) where fewer than ``least`` of them, or too small a share, agree.
    """
    none = np.zeros(len(points), bool)
    if len(points) < least:
        return None, none
    vote = _voters(uvd, camera)
    matrix = opencv_camera_matrix(camera.fx, camera.fy, camera.cx, camera.cy)
    # From here on OpenCV: the matrix above holds the half-pixel shift, so the pixels must too.
    pixels = to_opencv(uvd[vote, :2])
    found, rotation, translation, inliers = cv2.solvePnPRansac(
        points[vote], pixels, matrix, None, iterationsCount=_RANSAC_ROUNDS, reprojectionError=_RANSAC_PX, confidence=0.9999,
        flags=cv2.SOLVEPNP_P3P,
    )  # fmt: skip
    if not found or inliers is None or len(inliers) < 4:
        return None, none
    guess = inverse(pose(rotation_from_vector(rotation[:, 0]), translation[:, 0]))
    agree = _agreeing(points, uvd, camera, guess)
    if agree.sum() < 4:
        return None, none
    fitted = fit_pose(points[agree], uvd[agree], camera, baseline_m, guess, rounds=5)
    agree = _agreeing(points, uvd, camera, fitted)
    if agree.sum() < least or agree.mean() < MIN_LINK_RATIO:
        return None, agree
    return fitted, agree


def _voters(uvd: Array, camera: Intrinsics) -> Array:
    """Corners that choose the motion: of every image cell as many as of any other, where it has them.

    The static world is the motion that explains most of the *image*; counting corners would let a textured van outvote it.
    """
    cell = matching.cell_of(uvd, camera.width, camera.height)
    order = np.argsort(cell, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(cell[order], cell[order])
    counts = np.bincount(cell)
    return np.sort(order[rank < max(4, int(np.median(counts[counts > 0])))])


def _agreeing(points: Array, uvd: Array, camera: Intrinsics, world_from_camera: Array) -> Array:
    """Points that project within 1.5 px of where they were seen."""
    with np.errstate(invalid="ignore"):
        error = camera.project(transform(inverse(world_from_camera), points)) - uvd[:, :2]
        return np.asarray(np.linalg.norm(error, axis=1) < 1.5)


def follow(
    left: list[matching.Gray],
    right: list[matching.Gray],
    camera: Intrinsics,
    baseline_m: float,
    corners: int,
    max_disparity_px: float,
) -> Odometry:
    """Follow corners through a clip and pose every frame against the points mapped so far.

    A frame that cannot be posed (black, covered, blurred) is skipped, and the next is linked to the last good one.

    Args:
        left: T grey images.
        right: T grey images of the right eye.
        camera: of both.
        baseline_m: distance of the eyes.
        corners: how many corners to keep alive.
        max_disparity_px: largest disparity searched for new corners.

    Raises:
        Rejected: ``pose_few_tracks`` (nothing to hold on to), ``pose_lost`` (too many frames without a pose).
    """  # fmt: skip
    total = len(left)
    state = _Map()
    seen: list[tuple[Array, Array]] = []  # per posed frame: rows, uvd
    poses, ratios, links, posed = [np.eye(4)], [1.0], [0], np.zeros(total, bool)
    anchor = -1  # the last posed frame
    velocity = np.eye(4)
    for t in range(total):
        rows = np.flatnonzero(state.alive)
        if anchor < 0:
            world_from_camera, uvd = np.eye(4), np.zeros((0, 3))
        else:
            result = _pose_frame(state, rows, left[anchor], left[t], right[t], camera, baseline_m, poses[-1] @ velocity)
            if result is None:
                if (~posed[: t + 1]).sum() > max(1, MAX_LOST_SHARE * total):
                    raise Rejected(
                        "pose_lost",
                        f"{int((~posed[: t + 1]).sum())} of the first {t + 1} frames could not be linked to the last posed one "
                        f"(frame {anchor}); expected at most {MAX_LOST_SHARE:.0%} of the clip",
                    )
                continue
            world_from_camera, rows, uvd, ratio = result
            velocity = inverse(poses[-1]) @ world_from_camera if t == anchor + 1 else np.eye(4)
            poses.append(world_from_camera)
            ratios.append(ratio)
            links.append(len(rows))
        new = _replenish(state, left[t], right[t], corners, max_disparity_px)
        if anchor < 0 and np.isfinite(new[1][:, 2]).sum() < MIN_LINKS:
            if t + 1 > max(1, MAX_LOST_SHARE * total):
                raise Rejected(
                    "pose_few_tracks",
                    f"{int(np.isfinite(new[1][:, 2]).sum())} corners of frame {t} were found in both eyes, expected {MIN_LINKS}",
                )
            state = _Map()
            continue
        all_rows, all_uvd = np.concatenate([rows, new[0]]), np.concatenate([uvd, new[1]])
        _map_points(state, all_rows, all_uvd, camera, baseline_m, world_from_camera)
        seen.append((all_rows, all_uvd))
        posed[t], anchor = True, t
    if posed.sum() < 2:
        raise Rejected("pose_lost", f"{int(posed.sum())} of {total} frames could be posed")
    tracks = _assemble(seen, len(state.alive))
    tried = state.tried[tracks.parent]
    agreed = np.where(tried[:, 1] > 0, tried[:, 0] / np.maximum(tried[:, 1], 1), 1.0)
    return Odometry(np.stack(poses), posed, tracks, np.array(ratios), np.array(links), agreed)


def _pose_frame(
    state: _Map, rows: Array, source: Array, target: Array, right: Array, camera: Intrinsics, baseline_m: float, predicted: Array
) -> tuple[Array, Array, Array, float] | None:
    """Track ``rows`` into a frame and pose it: world_from_camera, rows seen, their uvd, share that agrees. None if lost."""
    uv, ok = matching.track(source, target, state.uv[rows])
    known = np.isfinite(state.point[rows]).all(axis=1)
    # A point's disparity hardly changes from frame to frame, but where the camera moves fast along its axis it does.
    disparity, valid = matching.match_right(target, right, uv, state.disparity[rows])
    uvd = np.concatenate([uv, disparity[:, None]], axis=1)
    # Corners that have disagreed before (those on movers) do not vote: the static world that was there first stays.
    use = ok & known & (state.score[rows] >= 0)
    fitted, agree = fit_motion(state.point[rows][use], uvd[use], camera, baseline_m)
    if fitted is None:
        return None
    every = ok & known
    agree = _agreeing(state.point[rows][every], uvd[every], camera, fitted)
    state.score[rows[every]] = np.clip(state.score[rows[every]] + np.where(agree, 1, -2), -6, 3)
    state.tried[rows[every]] += np.stack([agree, np.ones(len(agree), bool)], axis=1)
    ratio = float(agree.mean())
    # What was not found at first is looked for again where the pose says it is.
    again = known & ~(ok & valid)
    if again.any():
        y = transform(inverse(fitted), state.point[rows][again])
        place = camera.project(y)
        retry, found = matching.track(source, target, state.uv[rows][again], place, levels=1)
        place_d = camera.fx * baseline_m / np.where(y[:, 2] > 1e-3, y[:, 2], np.nan)
        d, _ = matching.match_right(target, right, retry, place_d, levels=1)
        index = np.flatnonzero(again)
        uvd[index] = np.concatenate([retry, d[:, None]], axis=1)
        ok[index] = found
    state.alive[rows] = ok
    state.uv[rows[ok]] = uvd[ok, :2]
    fresh = ok & np.isfinite(uvd[:, 2])
    state.disparity[rows[fresh]] = uvd[fresh, 2]
    return fitted, rows[ok], uvd[ok], ratio


def _replenish(state: _Map, left: Array, right: Array, corners: int, max_disparity_px: float) -> tuple[Array, Array]:
    """Add corners where there are none; returns their rows and (u, v, d)."""
    alive = np.flatnonzero(state.alive)
    height, width = left.shape
    # A cell counts no more corners than its share and a half: a van full of corners does not stand for the whole image.
    share = int(1.5 * corners / (matching.GRID[0] * matching.GRID[1])) + 1
    missing = corners - int(np.minimum(matching.cell_counts(state.uv[alive], width, height), share).sum())
    none = np.zeros(0, int), np.zeros((0, 3))
    if missing < 0.15 * corners:
        return none
    uv = matching.detect_corners(left, missing, state.uv[alive])
    if len(uv) == 0:
        return none
    guess = matching.sample_disparity(matching.coarse_disparity(left, right, max_disparity_px), uv)
    disparity, valid = matching.match_right(left, right, uv, guess)
    uv, disparity = uv[valid], disparity[valid]
    rows = len(state.alive) + np.arange(len(uv))
    state.add(uv, disparity)
    return rows, np.concatenate([uv, disparity[:, None]], axis=1)


def _map_points(state: _Map, rows: Array, uvd: Array, camera: Intrinsics, baseline_m: float, world_from_camera: Array) -> None:
    """Fuse this frame's points into the map, each weighted by the inverse variance of its depth."""
    use = uvd[:, 2] > 0.5
    rows, uvd = rows[use], uvd[use]
    depth = camera.fx * baseline_m / uvd[:, 2]
    point = transform(world_from_camera, camera.unproject(uvd[:, :2], depth))
    weight = (uvd[:, 2] / depth) ** 2
    old = state.weight[rows]
    state.point[rows] = (np.nan_to_num(state.point[rows]) * old[:, None] + point * weight[:, None]) / (old + weight)[:, None]
    state.weight[rows] = old + weight


def reversed_in_time(found: Odometry) -> Odometry:
    """The odometry of a clip from that of the clip played backwards (and the other way round)."""
    poses = found.world_from_camera[::-1]
    tracks, count = found.tracks, len(poses)
    length = tracks.uvd.shape[1]
    flipped = Tracks(count - tracks.start - length, tracks.uvd[:, ::-1], tracks.parent).left_aligned()
    ratio, links = np.r_[1.0, found.link_ratio[:0:-1]], np.r_[0, found.links[:0:-1]]
    return Odometry(inverse(poses[0]) @ poses, found.posed[::-1], flipped, ratio, links, found.agreed)


def _assemble(seen: list[tuple[Array, Array]], count: int) -> Tracks:
    """One row per corner over the posed frames."""
    frame = np.concatenate([np.full(len(rows), index) for index, (rows, _) in enumerate(seen)])
    row = np.concatenate([rows for rows, _ in seen])
    uvd = np.concatenate([values for _, values in seen])
    start = np.full(count, len(seen))
    np.minimum.at(start, row, frame)
    length = int((frame - start[row]).max()) + 1
    table = np.full((count, length, 3), np.nan)
    table[row, frame - start[row]] = uvd
    keep = (np.isfinite(table[..., 0]).sum(axis=1) >= 2) & np.isfinite(table[..., 2]).any(axis=1)
    return Tracks(start[keep], table[keep], np.flatnonzero(keep))
