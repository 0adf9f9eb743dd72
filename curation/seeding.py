"""Random generators that depend on what is drawn for, never on the order or the worker that draws."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, clip_id: str, purpose: str) -> np.random.Generator:
    """A generator seeded by the run's seed, the clip and the purpose of the draw."""
    digest = hashlib.sha256(f"{seed}\0{clip_id}\0{purpose}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
