"""Everyday names of colours, given only where people would agree on them."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

from schemas.camera import Array

COLOURS = ("black", "grey", "white", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
UNCLEAR = len(COLOURS)


def colour_names(pixels: UInt8[Array, "h w 3"]) -> Int[Array, "h w"]:
    """Index into COLOURS of every RGB pixel, or ``len(COLOURS)`` between two names.

    Regions of CIE Lab in lightness, chroma and hue angle. Between the regions lie gaps, so that a pixel gets a name only where
    people would agree on it.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(pixels).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    out = np.full(light.shape, UNCLEAR, np.int64)
    plain = chroma < 9
    out[plain & (light < 22)] = COLOURS.index("black")
    out[plain & (light > 35) & (light < 75)] = COLOURS.index("grey")
    out[plain & (light > 88)] = COLOURS.index("white")
    vivid = chroma > 22
    regions = (
        ("red", (12, 47), (20, 62), 38),
        ("orange", (52, 72), (52, 82), 45),
        ("yellow", (82, 108), (62, 101), 38),
        ("green", (118, 185), (18, 95), 22),
        ("blue", (235, 303), (12, 80), 22),
        ("purple", (307, 330), (15, 62), 25),
        ("pink", (335, 372), (62, 90), 22),
        ("brown", (42, 80), (15, 47), 16),
    )
    for name, (low, high), (dark, bright), least in regions:
        turn = (hue - low) % 360 <= high - low
        out[(vivid | (least < 22)) & turn & (light > dark) & (light < bright) & (chroma > least)] = COLOURS.index(name)
    return out


def close_to(names: Int[Array, "h w"], colour: int) -> Bool[Array, "h w"]:
    """Pixels that some would give the colour's name too."""
    neighbours = {
        "red": ("pink", "orange"),
        "orange": ("red", "brown", "yellow"),
        "yellow": ("orange",),
        "pink": ("red", "purple"),
        "purple": ("pink", "blue"),
        "blue": ("purple",),
        "brown": ("orange",),
    }
    near = [COLOURS.index(name) for name in neighbours.get(COLOURS[colour], ())]
    return np.isin(names, [colour, *near])
