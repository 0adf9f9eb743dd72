"""How many of the named objects move from frame i to frame j.

Only objects that are named are counted, never "how many objects move in the video": the factory misses some movers, and
nothing that it measures proves that it found them all. Each of the named ones must safely move (another place at j than at i)
or safely stay (within ``place_m`` of its place all the time, found standing throughout); the margin is the least of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

from curation.relations.camera import Answer
from curation.relations.more.scene import Scene, moves, stays
from schemas.track import ObjectTrack


def moving_count(scene: Scene, tracks: Sequence[ObjectTrack], a: int, b: int) -> Answer:
    """The number of movers among ``tracks`` as a label; it has no value."""
    margins = [(moves(scene, track, a, b), stays(scene, track, a, b)) for track in tracks]
    count = sum(go > stay for go, stay in margins)
    details = {
        "objects": [track.object_id for track in tracks],
        "moving": [track.object_id for track, (go, stay) in zip(tracks, margins, strict=True) if go > stay],
    }
    return None, str(count), None, min(max(pair) for pair in margins), details
