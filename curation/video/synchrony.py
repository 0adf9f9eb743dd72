"""Were both eyes taken at the same time? Told from how rows of the two pictures change over time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from schemas.camera import Array
from schemas.outcome import Rejected

_MAX_LAG = 10  # frames
_MIN_CHANGE = 0.3  # grey levels: below this, what changes is noise and the pulse of key frames
_MIN_SIMILARITY = 0.5
_MIN_SHARPNESS = 0.6
_MIN_GAIN = 0.15
_STALLED = 0.1  # of the usual change
_MIN_STALLS = 4
_MAX_LAG_FRAMES = 0.2  # the parabola understates: a third of a frame reads 0.22, a quarter 0.14


@dataclass
class Synchrony:
    """Collects one row profile (mean grey level of each row) per frame and eye.

    Rows of rectified eyes show the same things whatever their distance, so their profiles change alike, at the same
    time: on the real stereo clips here the changes correlate by 0.92 at the true lag and by 0.4 to 0.6 one frame beside it.
    """

    left: list[Float[Array, "h"]] = field(default_factory=list)
    right: list[Float[Array, "h"]] = field(default_factory=list)

    def add(self, left: UInt8[Array, "h w"], right: UInt8[Array, "h w"]) -> None:
        """The small gray pictures of one moment."""
        self.left.append(left.mean(axis=1))
        self.right.append(right.mean(axis=1))

    def similarities(self) -> dict[int, float] | None:
        """Correlation of the changes for each lag in frames (positive: the right eye is late); None where little changes."""
        a, b = (_changes(np.array(rows)) for rows in (self.left, self.right))
        most = min(_MAX_LAG, len(a) // 3)
        if most < 1 or min(np.sqrt(np.mean(a**2)), np.sqrt(np.mean(b**2))) < _MIN_CHANGE:
            return None
        out = {}
        for lag in range(-most, most + 1):
            x, y = (a[: len(a) - lag], b[lag:]) if lag >= 0 else (a[-lag:], b[:lag])
            out[lag] = float((x * y).sum() / max(1e-9, np.sqrt((x * x).sum() * (y * y).sum())))
        return out

    def check(self) -> float | None:
        """The right eye's delay in frames (with its fraction), None where it cannot be told.

        Raises:
            Rejected: ``eyes_unsynchronised``.
        """
        found = self.similarities()
        if found is None:
            return None
        best = max(found, key=lambda lag: found[lag])
        if found[best] < _MIN_SIMILARITY:
            self._check_stalls()
            return None
        before, after = found.get(best - 1, 0.0), found.get(best + 1, 0.0)
        curve = 2 * found[best] - before - after
        lag = best + ((after - before) / (2 * curve) if curve > 1e-6 else 0.0)
        whole = best != 0 and found[best] - found[0] > _MIN_GAIN
        # A part of a frame is read off the peak's shape: only a sharp peak has one (slow changes are alike at any lag).
        part = abs(lag) > _MAX_LAG_FRAMES and curve > max(_MIN_GAIN, _MIN_SHARPNESS * found[best])
        if whole or part:
            direction = "late" if lag > 0 else "early"
            raise Rejected(
                "eyes_unsynchronised",
                f"the right eye is {abs(lag):.1f} frames {direction} (the changes of both eyes correlate by {found[best]:.2f} "
                f"so, by {found[0]:.2f} as they come); shift one eye in time",
            )
        self._check_stalls()
        return lag

    def _check_stalls(self) -> None:
        """Refuse eyes of which one stands still, now and then, while the other moves (a camera that lost frames)."""
        sizes = [np.sqrt(np.mean(_changes(np.array(rows)) ** 2, axis=1)) for rows in (self.left, self.right)]
        usual = [float(np.median(size)) for size in sizes]
        for (own, other), (own_usual, other_usual), name in zip(
            (sizes, sizes[::-1]), (usual, usual[::-1]), ("left", "right"), strict=True
        ):
            stalls = int(np.sum((own < _STALLED * own_usual) & (other > 0.5 * other_usual)))
            if stalls >= max(_MIN_STALLS, 0.03 * len(own)):
                raise Rejected(
                    "eyes_unsynchronised", f"the {name} eye stands still at {stalls} of {len(own)} frames while the other moves"
                )


def _changes(profiles: Float[Array, "t h"]) -> Float[Array, "t-1 h"]:
    """Differences over time, without the common brightness of the frame (exposure differs between eyes)."""
    changes = np.diff(profiles, axis=0)
    return np.asarray(changes - changes.mean(axis=1, keepdims=True))
