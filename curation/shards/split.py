"""Which sources are held out for the benchmark."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from curation.video.likeness import groups

TRAIN, TEST = "train", "test"
SPLITS = (TRAIN, TEST)
_DIGITS = 13  # of the hash: 52 bits, which a double holds exactly


@dataclass(frozen=True)
class Look:
    """A source as the split sees it: the hash of its bytes, and what its left eye shows (``curation.video.likeness``)."""

    sha256: str
    hashes: Sequence[int] = ()

    @property
    def key(self) -> str:
        """Hash of the left eye's content; of the bytes where the pictures are too flat to be told apart."""
        return hashlib.sha256(",".join(map(str, self.hashes)).encode()).hexdigest() if self.hashes else self.sha256


def split_of(key: str, bench_share: float) -> str:
    """``test`` for ``bench_share`` of the keys; the same key always falls the same way, and a larger share keeps what was out."""
    return TEST if int(key[:_DIGITS], 16) / 16**_DIGITS < bench_share else TRAIN


def split_sources(
    looks: Mapping[str, Look], bench_share: float, held_out: Collection[str] = ()
) -> tuple[dict[str, str], set[str]]:
    """The split of every source, and the keys of those that are held out.

    Sources that show the same footage (one as a stereo pair, the other as its left eye alone, or compressed anew) fall on the
    same side, together: held out where any of them is by its key. So more videos never bring back what was held out.
    Where the share leaves none of two or more out, the group with the lowest key is; later videos would end that, so the
    caller remembers the keys and gives them back as ``held_out``. (Without memory it cannot be had: of every two sources one
    would have to be held out for good, so of many all but one.)

    Args:
        looks: by source, any names.
        bench_share: 0 holds nothing out, whatever is remembered.
        held_out: keys that were held out before.
    """
    order = sorted(looks)
    if not bench_share:
        return dict.fromkeys(order, TRAIN), set()
    members: dict[int, list[str]] = {}
    for name, group in zip(order, groups([looks[name].hashes for name in order]), strict=True):
        members.setdefault(group, []).append(name)
    out = {
        group
        for group, names in members.items()
        if any(looks[name].key in held_out or split_of(looks[name].key, bench_share) == TEST for name in names)
    }
    if not out and len(members) > 1:
        out = {min(members, key=lambda group: min(looks[name].key for name in members[group]))}
    splits = {name: TEST if group in out else TRAIN for group, names in members.items() for name in names}
    return {name: splits[name] for name in order}, {looks[name].key for name, split in splits.items() if split == TEST}
