"""What the left eye looks like over time, in 64 bits a picture: tells the same footage in another file, layout or quality.

A perceptual hash: the signs, about their median, of the lowest 8 x 8 frequencies (DCT) of the picture at 32 x 32 grey levels
(Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Scaling and compression turn few bits;
another scene shares about half of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, UInt8, UInt64

from curation.video.layouts import Box
from curation.video.reading import Picture
from schemas.camera import Array
from schemas.outcome import Rejected

EVERY_S = 0.5
MAX_PICTURES = 600
_SIDE, _KEPT = 32, 8
_FLAT = 6.0  # grey levels of contrast below which the bits are noise
NEAR_BITS = 8
SHARE = 0.5
_BANDS = 4
_BATCH = 512


def perceptual_hash(rgb: UInt8[Array, "h w 3"]) -> int | None:
    """64 bits of one picture; None where it is so flat that they would mean nothing."""
    gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if float(small.std()) < _FLAT:
        return None
    low = cv2.dct(small)[:_KEPT, :_KEPT].ravel()
    bits = low > np.median(low[1:])  # the first is the mean brightness
    return int(np.packbits(bits).view(">u8")[0])


class Watcher:
    """Looks on while a source is read, and keeps the hash of a picture every half second."""

    def __init__(self, box: Box) -> None:
        self._box, self._next_s = box, 0.0
        self.hashes: list[int] = []

    def watched(self, pictures: Iterator[Picture | None]) -> Iterator[Picture | None]:
        """The same pictures."""
        for picture in pictures:
            if picture is not None and picture.time_s >= self._next_s and len(self.hashes) < MAX_PICTURES:
                self._next_s = picture.time_s + EVERY_S - 1e-6
                self._look(picture)
            yield picture

    def _look(self, picture: Picture) -> None:
        x0, y0, x1, y1 = self._box
        try:
            found = perceptual_hash(picture.rgb()[y0:y1, x0:x1])
        except Rejected:  # an image that cannot be read is told of by who reads next
            return
        if found is not None:
            self.hashes.append(found)


def alike(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether one shows the other, or a good part of it: at least half of the pictures of either have a like in the other."""
    if not one or not other:
        return False
    near = _near(np.asarray(one, np.uint64), np.asarray(other, np.uint64))
    return bool(max(near.any(1).mean(), near.any(0).mean()) >= SHARE)


def _near(one: UInt64[Array, "n"], other: UInt64[Array, "m"]) -> Bool[Array, "n m"]:
    parts = [np.bitwise_count(one[k : k + _BATCH, None] ^ other[None]) <= NEAR_BITS for k in range(0, len(one), _BATCH)]
    return np.concatenate(parts)


def groups(looks: Sequence[Sequence[int]]) -> list[int]:
    """For each source the least index among those that show the same footage, directly or by way of others.

    Candidates share 16 bits in place in some picture (footage that is the same does in nearly all); only they are compared.
    """
    parent = list(range(len(looks)))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    hashes = np.concatenate([np.asarray(look, np.uint64) for look in looks]) if looks else np.empty(0, np.uint64)
    owner = np.repeat(np.arange(len(looks)), [len(look) for look in looks])
    tried: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        piece = (hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.lexsort((owner, piece))
        for a, b in zip(order[:-1], order[1:], strict=True):
            pair = (int(owner[a]), int(owner[b]))
            if piece[a] != piece[b] or pair[0] == pair[1] or pair in tried:
                continue
            tried.add(pair)
            if root(pair[0]) != root(pair[1]) and alike(looks[pair[0]], looks[pair[1]]):
                low, high = sorted((root(pair[0]), root(pair[1])))
                parent[high] = low
    return [root(n) for n in range(len(looks))]
