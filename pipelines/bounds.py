"""Before a run counts as finished: can its questions be answered without the video?"""

from __future__ import annotations

from pathlib import Path

SURE = 1.0  # an excess that nothing can reach: nothing is checked


def given_away(output: Path, max_excess: float) -> list[str]:
    """One sentence for every published table, guesser and kind that breaks its bound (``audit.leaks.broken_bounds``)."""
    if max_excess >= SURE:
        return []
    from curation.audit.leaks import guess_blindly

    return [
        f"{table}: {entry['guesser']} answers {'all kinds' if entry['kind'] == 'all' else entry['kind']} blindly: {entry['why']}"
        for table, entries in guess_blindly(output, max_excess).items()
        for entry in entries
    ]
