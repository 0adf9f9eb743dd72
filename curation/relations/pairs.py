"""Which pairs of question frames a clip's facts are about."""

from __future__ import annotations

import numpy as np


def choose_pairs(
    frames: list[int], count: int, rng: np.random.Generator, *, min_span: int, apart: int = 3
) -> list[tuple[int, int]]:
    """Up to ``count`` pairs i < j out of ``frames`` (sorted question frames), first the longest, then of varied spans.

    No two pairs are nearly the same: they differ by at least ``apart`` frames at one end. Spans below ``min_span`` are not used.
    """
    if len(frames) < 2 or frames[-1] - frames[0] < min_span:
        return []
    first, last = frames[0], frames[-1]
    pairs = [(first, last)]
    known = np.asarray(frames)
    spans = np.linspace(min_span, last - first, count + 1)
    strata = rng.permutation(count)
    for attempt in range(4 * count):
        if len(pairs) >= count:
            break
        low, high = spans[strata[attempt % count]], spans[strata[attempt % count] + 1]
        span, at = rng.uniform(low, high), rng.random()
        start = first + at * max(last - first - span, 0.0)
        i = int(known[np.argmin(np.abs(known - start))])
        j = int(known[np.argmin(np.abs(known - (start + span)))])
        if j - i >= min_span and all(max(abs(i - a), abs(j - b)) >= apart for a, b in pairs):
            pairs.append((i, j))
    return pairs
