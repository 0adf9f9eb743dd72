"""Which things act in a clip? A video model lists them; its nouns become the prompts of a segmenter (the paper's first step)."""

from __future__ import annotations

import re

import numpy as np

from curation.objects.naming.checks import MOTION
from curation.objects.naming.endpoint import LOG, Endpoint, NoAnswer
from schemas.clip import ClipFrames
from schemas.config import NamingConfig

PROMPTABLE = ("sam3", "grounded_sam2", "edgetam")
"""Backends that look for what they are told."""

_QUESTION = """These {count} frames are in order of time from one video. List every kind of thing in them that moves by itself
or is moved by someone: people, animals, vehicles, balls, things that are carried. Do not list what cannot move, such as
buildings, trees, roads, signs. Give each kind once, as a plain singular noun of one to three words: no colour, place or verb.
Answer with JSON only: {{"entities": ["noun", ...]}}; an empty list if nothing acts."""
_MOST = 12
_NOUN = re.compile(r"[a-z][a-z-]*( [a-z][a-z-]*){0,2}")
_ARTICLE = re.compile(r"^(a|an|the|some|one|two|several) ")


def list_entities(frames: ClipFrames, config: NamingConfig, backend: str) -> tuple[str, ...]:
    """Nouns of what acts in a clip, for a backend that takes prompts; () where nobody is asked or no usable answer came."""
    if not config.endpoint or not config.entities or backend not in PROMPTABLE:
        return ()
    index = np.unique(np.linspace(0, len(frames.left) - 1, config.frames).round().astype(int))
    try:
        reply = Endpoint(config).ask(_QUESTION.format(count=len(index)), [frames.left[t] for t in index])
    except NoAnswer as error:
        LOG.warning("clip %s: no list of entities (%s); objects.prompts serve", frames.clip_id, error)
        return ()
    return usable_nouns(reply.get("entities"))


def usable_nouns(values: object) -> tuple[str, ...]:
    """The plain nouns among what a model listed, once each, in its order; anything else is dropped."""
    out: list[str] = []
    for value in values if isinstance(values, list) else []:
        if not isinstance(value, str):
            continue
        noun = _ARTICLE.sub("", " ".join(value.lower().split())).rstrip(".")
        if len(noun) <= 40 and _NOUN.fullmatch(noun) and not MOTION.search(noun) and noun not in out:
            out.append(noun)
    return tuple(out[:_MOST])
