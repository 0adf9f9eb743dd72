"""Facts over time: value, unit, sigma, margin. Closed-form geometry only.

``KINDS`` names the relations; ``clip_facts`` measures them on one clip. Of the paper's seven the formulas stand in
``closed_form``, the propagation of doubt in ``doubt``, and what makes an answer safe in ``camera`` and ``objects``; ``more``
holds the others.
"""

from curation.relations.clip import clip_facts
from curation.relations.kinds import KINDS, Kind

__all__ = ["KINDS", "Kind", "clip_facts"]
