"""Which sources are held out for the benchmark."""

from __future__ import annotations

TRAIN, TEST = "train", "test"
SPLITS = (TRAIN, TEST)
_DIGITS = 13  # of the hash: 52 bits, which a double holds exactly


def split_of(source_sha256: str, bench_share: float) -> str:
    """``test`` for ``bench_share`` of the sources, by the hash of their content; the same source always falls the same way.

    All clips of a source share its split, so no scene is both trained on and tested on. With few sources either may be empty.
    """
    return TEST if int(source_sha256[:_DIGITS], 16) / 16**_DIGITS < bench_share else TRAIN
