"""One description per object: a model's where it passes every check, else colour, class and place as they were measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.objects.backends.classes import noun as everyday
from curation.objects.colours import COLOURS, UNCLEAR, colour_names
from curation.objects.describe import describe
from curation.objects.masks import decode
from curation.objects.naming.checks import Known, doubled, fits_too, tidied, why_unfit
from curation.objects.naming.endpoint import LOG, Endpoint, NoAnswer
from curation.objects.naming.pictures import numbered, outlined_crop, shown_frames
from schemas.camera import CameraPath
from schemas.clip import ClipFrames
from schemas.config import NamingConfig
from schemas.track import Description, ObjectTrack

_REGION = """The {count} pictures show one thing, outlined in magenta, at several times of a video. Describe it so that a person
who sees the video without the outline knows which one is meant: its kind and what it looks like (colours, clothing, shape,
parts). Say nothing of where it is, where it looks or what it does, and nothing of what is around it. At most ten words.
Answer with JSON only: {{"noun": "one plain singular noun", "description": "the ..."}}"""
_VERIFY = """In these {count} frames of one video, some things have a box with a number. Which of them does this description fit:
"{text}"?
Answer with JSON only: {{"fits": [numbers]}}; add 0 if it also fits anything without a box. An empty list if it fits none."""
_OBJECT = re.compile(r"the (large |small )?(?:([a-z]+) )?object\b")


def name_objects(
    frames: ClipFrames, tracks: Sequence[ObjectTrack], config: NamingConfig, path: CameraPath | None
) -> list[Description]:
    """One description per track, in order; its text is empty where none fits that object alone.

    Without an endpoint: what geometry can say (colour, size, place), with the noun of the detector's class where there is one.
    With one: the model's description of outlined crops, if it is a plain phrase without motion or place, agrees with the measured
    class, colours and size, differs from the clip's other descriptions, and leads the model back to this object alone when it is
    asked about whole frames.
    """
    plain = [with_noun(d, t) for d, t in zip(describe(frames, tracks, path), tracks, strict=True)]
    if not config.endpoint or not config.regions or not tracks:
        return plain
    endpoint = Endpoint(config)
    known = [measured(frames, track) for track in tracks]
    told = [_told(endpoint, frames, tracks, known, n) for n in range(len(tracks))]
    twice = doubled([text for text, _ in told]) | {n for n, (text, _) in enumerate(told) if text and _taken(text, n, plain)}
    out = []
    for n, (description, (text, noun)) in enumerate(zip(plain, told, strict=True)):
        if text and n in twice:
            LOG.info("clip %s, %s: %r refused (fits another object)", frames.clip_id, description.object_id, text)
        elif text and _leads_back(endpoint, frames, tracks, n, text):
            description = replace(description, category=known[n].category or noun, text=text, source=config.model)
        out.append(description)
    return out


def _taken(text: str, n: int, plain: Sequence[Description]) -> bool:
    """Whether the measured words of another object fit this description, or it fits them: both may come to stand in questions."""
    others = [d.text for m, d in enumerate(plain) if m != n and d.text]
    return any(fits_too(text, other) or fits_too(other, text) for other in others)


def with_noun(description: Description, track: ObjectTrack) -> Description:
    """The description with the class that a detector gave the object in place of the word "object"."""
    category = track.stats.get("category", "")
    if not category:
        return description
    word = everyday(category)

    def phrase(match: re.Match[str]) -> str:
        size, colour = match[1] or "", match[2] or ""
        if word == "person":  # a colour is that of the clothes
            return f"the {size}person in {colour}" if colour else f"the {size}person"
        return f"the {size}{colour + ' ' if colour else ''}{word}"

    source = f"{track.stats.get('category_source', 'detector')}+{description.source}"
    return replace(description, category=word, text=_OBJECT.sub(phrase, description.text, count=1), source=source)


def measured(frames: ClipFrames, track: ObjectTrack) -> Known:
    """What a description is checked against."""
    counts = np.zeros(UNCLEAR + 1)
    for t in shown_frames(frames, track, 5):
        rle = track.masks[t]
        assert rle is not None
        counts += np.bincount(colour_names(frames.left[t][decode(rle)][None]).ravel(), minlength=UNCLEAR + 1)
    shares = counts / max(counts.sum(), 1.0)
    size = track.stats.get("size_m")
    colours = {name: float(shares[n]) for n, name in enumerate(COLOURS)}
    return Known(everyday(track.stats.get("category", "")), colours, None if size is None else float(size))


def _told(
    endpoint: Endpoint, frames: ClipFrames, tracks: Sequence[ObjectTrack], known: Sequence[Known], n: int
) -> tuple[str, str]:
    """What the model says of one object, and its noun; ("", "") where it is no use."""
    track = tracks[n]
    crops = [outlined_crop(frames, track, t) for t in shown_frames(frames, track, endpoint.config.crops)]
    if not crops:
        return "", ""
    try:
        reply = endpoint.ask(_REGION.format(count=len(crops)), crops)
    except NoAnswer as error:
        LOG.warning("clip %s, %s: no description (%s)", frames.clip_id, track.object_id, error)
        return "", ""
    text, noun = tidied(reply.get("description")), tidied(reply.get("noun")).removeprefix("the ")
    reason = why_unfit(text, noun, known[n], [k for m, k in enumerate(known) if m != n])
    if reason:
        LOG.info("clip %s, %s: %r refused (%s)", frames.clip_id, track.object_id, text[:80], reason)
        return "", ""
    return text, noun


def _leads_back(endpoint: Endpoint, frames: ClipFrames, tracks: Sequence[ObjectTrack], n: int, text: str) -> bool:
    """Whether the model finds this object, and nothing else, by its description."""
    times = shown_frames(frames, tracks[n], endpoint.config.crops)
    question = _VERIFY.format(count=len(times), text=text)
    try:
        fits = endpoint.ask(question, [numbered(frames, tracks, t) for t in times]).get("fits")
    except NoAnswer as error:
        LOG.warning("clip %s, %s: description not verified (%s)", frames.clip_id, tracks[n].object_id, error)
        return False
    if isinstance(fits, list) and all(type(f) is int for f in fits) and set(fits) == {n + 1}:
        return True
    LOG.info("clip %s, %s: %r refused (leads to %.60r)", frames.clip_id, tracks[n].object_id, text, fits)
    return False
