"""How bodies and cameras move: closed-form functions of time, so that any instant (and motion blur) can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from curation.geometry import pose, rotation_from_vector
from schemas.camera import Array

PROFILES = ("stand", "steady", "accelerate", "brake", "stop_and_go", "there_and_back", "turn")


def _smooth(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


@dataclass(frozen=True)
class Motion:
    """A body that glides over the ground along a circular arc (curvature 0: a line), facing along it.

    Attributes:
        start_xz: ground position at time 0, scene frame, metres.
        heading_rad: direction of travel at time 0; 0 is +Z, positive turns towards +X.
        profile: one of ``PROFILES``: how the distance travelled grows with time.
        length_m: distance travelled over the clip (half of it each way for there_and_back).
        duration_s: length of the clip.
        curvature: turn per metre of path, rad/m.
        spin_rad_s: turn in place.
        facing_rad: direction the body faces, relative to its direction of travel.
        phase: of the profile, where it has one (start of the standstill, share of the clip).
    """

    start_xz: tuple[float, float]
    heading_rad: float
    profile: str
    length_m: float
    duration_s: float
    curvature: float = 0.0
    spin_rad_s: float = 0.0
    facing_rad: float = 0.0
    phase: float = 0.3

    def distance(self, t: float) -> float:
        """Metres travelled along the path at time ``t`` (falls on the way back)."""
        x = t / self.duration_s
        if self.profile in ("stand", "turn"):
            return 0.0
        if self.profile == "accelerate":
            return self.length_m * x * abs(x)
        if self.profile == "brake":
            return self.length_m * (2 * x - x * x) if x < 1 else self.length_m
        if self.profile == "stop_and_go":
            half = self.length_m / 2
            return half * _smooth(x / self.phase) + half * _smooth((x - self.phase - 0.25) / max(0.75 - self.phase, 0.1))
        if self.profile == "there_and_back":
            return float(self.length_m * (1 - np.cos(2 * np.pi * x)) / 4)
        return self.length_m * x

    def at(self, t: float) -> Float[Array, "4 4"]:
        """``scene_from_object`` at time ``t``, seconds."""
        s = self.distance(t)
        turn = self.curvature * s
        if abs(self.curvature) < 1e-6:
            forward, side = s, 0.0
        else:
            forward, side = np.sin(turn) / self.curvature, (1 - np.cos(turn)) / self.curvature
        c, sn = np.cos(self.heading_rad), np.sin(self.heading_rad)
        x = self.start_xz[0] + forward * sn + side * c
        z = self.start_xz[1] + forward * c - side * sn
        spin = self.spin_rad_s * t if self.profile == "turn" else 0.0
        return pose(yaw(self.heading_rad + turn + spin + self.facing_rad), np.array([x, 0.0, z]))


def yaw(angle_rad: float) -> Float[Array, "3 3"]:
    """Turn about the vertical; positive from +Z towards +X."""
    return rotation_from_vector(np.array([0.0, angle_rad, 0.0]))


@dataclass(frozen=True)
class CameraMotion:
    """The camera rig's path. ``at(t)`` gives ``scene_from_camera`` of the left eye, seconds and metres.

    Attributes:
        kind: a key of ``CAMERAS``.
        height_m: of the lens over the ground.
        amount: total travel (m) or turn (deg) over the clip, as the kind means it.
        duration_s: length of the clip.
        pitch_rad: constant downward tilt.
        wobble: phases (12,) of the hand-held shake.
        shake_m, shake_deg: amplitude of the shake.
        focus_m: distance of the point that an orbit turns about.
        side: +1 or -1.
    """

    kind: str
    height_m: float
    amount: float
    duration_s: float
    pitch_rad: float
    wobble: tuple[float, ...]
    shake_m: float = 0.0
    shake_deg: float = 0.0
    focus_m: float = 5.0
    side: float = 1.0

    def at(self, t: float) -> Float[Array, "4 4"]:
        """``scene_from_camera`` of the left eye at time ``t``."""
        x = t / self.duration_s
        position, turn = np.zeros(3), 0.0
        if self.kind in ("forward", "fast", "shake"):
            position[2] = self.amount * x
        elif self.kind == "backward":
            position[2] = -self.amount * x
        elif self.kind == "sideways":
            position[0] = self.side * self.amount * (x - 0.5)
        elif self.kind == "orbit":
            turn = -self.side * np.deg2rad(self.amount) * (x - 0.5)
            position = np.array([-np.sin(turn) * self.focus_m, 0.0, self.focus_m * (1 - np.cos(turn))])
        elif self.kind == "pan":
            turn = self.side * np.deg2rad(self.amount) * (x - 0.5)
        elif self.kind == "curve":
            bend = self.side * np.deg2rad(25.0)
            turn = bend * (x - 0.3)
            radius = self.amount / bend
            position = radius * np.array([1 - np.cos(bend * x), 0, np.sin(bend * x)])
            position = yaw(-0.3 * bend) @ position
        rotation = yaw(turn) @ rotation_from_vector(np.array([-self.pitch_rad, 0, 0]))
        if self.shake_m or self.shake_deg:
            w = np.asarray(self.wobble).reshape(6, 2)
            slow = np.sin(2 * np.pi * (0.45 + 0.5 * w[:, 1]) * t + 2 * np.pi * w[:, 0])
            quick = np.sin(2 * np.pi * (1.3 + 0.9 * w[:, 0]) * t + 2 * np.pi * w[:, 1])
            shake = 0.75 * slow + 0.25 * quick
            position = position + self.shake_m * shake[:3] * [1.0, 0.8, 0.7]
            rotation = rotation @ rotation_from_vector(np.deg2rad(self.shake_deg) * shake[3:] * [1.0, 1.0, 0.5])
        return pose(rotation, position + [0.0, -self.height_m, 0.0])


CAMERAS: dict[str, tuple[float, float]] = {  # kind: range of the amount (m, or deg for orbit and pan) of a 4 s clip
    "static": (0.0, 0.0),
    "forward": (1.2, 3.2),
    "backward": (1.0, 2.5),
    "sideways": (1.0, 2.6),
    "orbit": (20.0, 45.0),
    "pan": (15.0, 40.0),
    "shake": (0.8, 2.4),
    "curve": (2.0, 4.0),
    "fast": (12.0, 28.0),
}
