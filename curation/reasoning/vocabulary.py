"""The words that people use for direction, approach, turning, standstill and size, as patterns over lower-case text."""
# ruff: noqa: E501  (a pattern is easier to read on one line)

from __future__ import annotations

import re

MOVE = (
    r"(?:go(?:es|ing)?|went|mov(?:es?|ed|ing)|travel(?:s|led|ling|ed|ing)?|shift(?:s|ed|ing)?|head(?:s|ed|ing)?|"
    r"displac\w+|motion|movement|translat\w+|slid(?:es?|ing)|drift(?:s|ed|ing)?|ends? up|walk(?:s|ed|ing)?|driv\w+|glid\w+|"
    r"carr\w+|step(?:s|ped|ping)?|track(?:s|ed|ing)|truck(?:s|ed|ing)|push(?:es|ed|ing)?|pull(?:s|ed|ing)?|progress\w*|is|"
    r"creep\w*|edg(?:es|ed|ing)|roll\w*|float\w*|come(?:s)?|coming)"
)
TURN = (
    r"(?:turn(?:s|ed|ing)?|swing(?:s|ing)?|swung|pan(?:s|ned|ning)?|rotat\w+|yaw\w*|tilt(?:s|ed|ing)?|swivel\w*|pitch\w*|"
    r"heading|spin\w*|orientation)"
)
WAY = {
    "right": r"(?:rightwards?|(?:to(?:wards?)? )?the right|right)",
    "left": r"(?:leftwards?|(?:to(?:wards?)? )?the left|left)",
    "up": r"(?:upwards?|up)",
    "down": r"(?:downwards?|down)",
    "forward": r"(?:forwards?|ahead|deeper into the scene)",
    "backward": r"(?:backwards?|back|in reverse)",
}
AXIS = {"right": (0, 1), "left": (0, -1), "down": (1, 1), "up": (1, -1), "forward": (2, 1), "backward": (2, -1)}
SHORT = {
    "forward": r"\b(?:advanc(?:es|ed|ing|e)|dollies in|pushes in|moves in)\b",
    "backward": r"\b(?:(?:moves?|travels?) away from the (?:scene|wall|room|doorway|background)|(?:pulled|moved|carried) (?:back )?out of|drops back|retreats?|retreating|recedes?|dollies out|pulls back|backs (?:up|away|off)|reverses|in reverse)\b",
    "up": r"\b(?:rises|is raised|ascends|climbs)\b",
    "down": r"\b(?:sinks|is lowered|descends|drops)\b",
}
GAP = r"(?:[^\w,;]+\w+){0,5}?(?:[^\w,;]+|,\s+(?=to(?:wards)? the ))"
CAMERA = re.compile(r"\b(?:dolly|camera|viewpoint|viewer|observer|lens|filmer|shot|shift of position)\b")
NEAR = re.compile(
    r"\b(?:foreground|(?:near(?:by|er)?|close(?:r|st)?) (?:\w+ )?"
    r"(?:things?|surfaces?|edges?|parts?|objects?|landmarks?)|things close by)\b"
)
SPREADS = re.compile(
    r"\b(?:surroundings|picture|scene|view|surfaces|image)\b[^.;:]*"
    r"\b(?:spreads? outwards?|expands?|widens?|opens? (?:up )?from)\b"
)
CONTRACTS = re.compile(
    r"\b(?:surroundings|picture|scene|view|surfaces|image)\b[^.;:]*\b(?:draws? together|contracts?|converges?|closes? in on)\b"
)
SIDEWAYS = re.compile(r"\b(left|right)(?:wards?|[- ]hand (?:side|wall|part))?\b")
PLACED = re.compile(
    r"(?:\b(?:on|at|in|near|along|from|by|its|their|his|her|of) (?:the |its )?(?:far |very |lower |upper )?|\bturning )$"
)
"""What stands before a side that is a place, not a way."""
RELATED = re.compile(
    r"\s*(?:of\b(?! where| its (?:first|old|former))|from\b|aside\b|(?:half|part|edge|border|side) of\b|(?:edge|border|half|wall|side)\b)"
)
"""What follows a side that is a place."""

_TO_US = r"(?:us|me|the (?:camera|viewer|lens|viewpoint|observer|earlier viewpoint|first viewpoint))"
_SPAN = r"(?:gap|distance|space|separation|range|way|stretch)\b(?:[^\w,.;:]+\w+){0,9}?[^\w,.;:]+"
CLOSER = re.compile(
    r"\b(?:(?:closer|nearer)(?! (?:surfaces|things|edges|parts|look|inspection|view|examination))|approach(?:es|ed|ing)?|clos(?:es|ed|ing) in|less far|"
    rf"comes? towards|coming towards|towards {_TO_US}|heads? for {_TO_US}|(?:comes?|walks?|moves?|goes) up to {_TO_US}|"
    r"comes? forward|(?:initially|at first|at the start|first)\b[^.;]*\b(?:far|distant|way off)\b[^.;]*\b(?:in the end|finally|at the end|later|then)\b"
    r"[^.;]*\b(?:near|close)|"
    rf"com(?:es|ing) at {_TO_US}|come(?:s)? near|clos(?:es|ing) the (?:gap|distance)|gains on|bears? down on|catch(?:es)? up with|(?:shorter|smaller|lesser) distance (?:from|to)|"
    rf"{_SPAN}(?:narrow\w*|shrink\w*|shrank|smaller|close[sd]?|dwindl\w+|decreas\w+|shorten\w*|shorter|diminish\w*|falls?|less))\b"
)
FARTHER = re.compile(
    r"\b(?:(?:initially|at first|at the start|first)\b[^.;]*\b(?:near|close)\b[^.;]*\b(?:in the end|finally|at the end|later|then)\b[^.;]*"
    rf"\b(?:far\b|distant|way off)|(?:farther|further) (?:away|off|from)|farther|reced(?:es?|ed|ing)|away from {_TO_US}|"
    r"(?:widens|opens|increases) the (?:gap|distance)|(?:mov(?:es?|ed|ing)|draws?|pulls?|goes|gets?|walks?|drives?) away|into the distance|more distant|falls? behind|"
    rf"(?:greater|longer|larger) distance (?:from|to)|"
    rf"{_SPAN}(?:widen\w*|grow\w*|grew|larger|open(?:s|ed)?|increas\w+|lengthen\w*|longer|greater|more))\b"
)
_VERB_NOT = r"(?:not|never|hardly|barely|scarcely|n't)"
STILL = re.compile(
    r"(?<!what )\b(?:stays?|remains?|keeps?|stands?|holds?|is|was) (?:(?!among|against|beside|next|near)\w+ ){0,2}?"
    r"(?:put|still|in (?:its|the same) place|its (?:place|ground)|where it (?:is|was)|stationary|static|motionless|fixed|at rest|"
    r"its position|parked|immobile|unmoving|at a standstill|like a statue|rooted to the spot)\b|\bon a tripod\b|"
    r"\b(?:spot|place|position)\b[^.;]*\b(?:is|are|stays|remains) (?:the same|unchanged|identical)\b|"
    r"\bback (?:to )?where it (?:was|started|began|set out)|\breturns? to (?:where|its (?:first|old|former))"
)
UNMOVED = re.compile(
    r"\bdo(?:es)? not change its (?:place|position)\b|\bnever leaves\b|\b(?:was|is) (?:not|never) (?:being )?moved\b|"
    r"\bno (?:motion|movement|displacement|shift|change of place) of (?:the )?(?:camera|object|viewpoint)\b|"
    rf"(?:\b|(?<=n't ))(?:do(?:es)? )?{_VERB_NOT} (?:once )?(?:moves?|budges?|stirs?|travels?)(?: at all| an inch| once)?\s*"
    r"(?:$|[,.;]|\b(?:while|during|between|throughout|either|in the scene)\b)"
)
"""Standstill that is said by a denial."""
STILL_TURN = re.compile(
    rf"\b{_VERB_NOT} (?:\w+ )?(?:turns?|rotates?|pans?|swivels?)\s*(?:$|[,.;]|\b(?:at all|while|during|throughout)\b)|"
    r"\b(?:keeps?|holds?|retains?) (?:its|the same) (?:heading|orientation|direction of view)\b|"
    r"\bno (?:turn|rotation|pan)\b|\bwithout (?:any )?(?:turn|rotation|rotating)\b|\bstays aligned\b|"
    r"\b(?:heading|orientation) (?:stays|remains|does not change|is unchanged)"
)
ONLY_CAMERA = re.compile(
    r"\b(?:only|nothing but|merely|solely) the (?:camera|viewpoint|viewer|lens)\b[^.;]*\b(?:mov|chang|shift|travel)|"
    r"\bthe (?:camera|viewpoint)(?:'s motion)? alone\b[^.;]*\b(?:mov|chang|shift|travel)|"
    r"\b(?:shift|motion|movement|drift|change)\b[^.;]*\b(?:(?:due to|caused by|comes from|explained by) the camera|the camera's (?:own )?doing)"
)
ONLY_OBJECT = re.compile(
    r"\b(?:only|merely|solely) (?:the )?object\b[^.;]*\b(?:mov|chang|shift|travel)|\bobject alone\b[^.;]*\b(?:mov|chang|shift|travel)"
)
GROWS = re.compile(
    r"\b(?:taller|larger|bigger|grow(?:s|ing)?|grew|increases in size|swells?|expands?|balloons|enlarges?|magnified|"
    r"(?:fills?|takes? up|occup(?:ies|y)|covers?) (?:\w+ )?(?:more|a larger part) of the (?:\w+ )?(?:picture|frame|view|image|height))\b"
)
SHRINKS = re.compile(
    r"\b(?:smaller|shorter|shrinks?|shrinking|shrank|decreases in size|half as tall|only a fraction|two thirds as tall|dwindl\w+|"
    r"diminish\w*|less tall|"
    r"(?:fills?|takes? up|occup(?:ies|y)|covers?) (?:\w+ )?(?:less|a smaller part) of the (?:\w+ )?(?:picture|frame|view|image|height))\b"
)
SAME_SIZE = re.compile(
    r"\b(?:same size|about as tall|just as (?:tall|large|big)|equally (?:tall|large|big)|unchanged in size|"
    r"no change (?:in|of) (?:size|height)|(?:size|outline|height) (?:stays|remains|does not change)|keeps its (?:size|height))\b(?! by)"
)
FACTORS = (
    (r"\btwice (?:as (?:tall|large|big)|its|the (?:size|height))\b|\bdoubl(?:es?|ed)\b", 1.6, 2.7),
    (r"\b(?:three times|thrice) (?:as (?:tall|large|big)|its)\b|\btripl(?:es?|ed)\b", 2.4, 4.0),
    (r"\b(?:half as (?:tall|large|big)|half its)\b", 0.37, 0.63),
    (r"\bone and a half times\b", 1.3, 1.8),
    (r"\btwo thirds as\b", 0.55, 0.78),
)
RANGE_FACTORS = (
    (r"\b(?:twice|double) as (?:far|distant)\b(?! as the (?:camera|viewpoint))|\btwice the distance", 1.6, 2.5),
    (r"\b(?:three times|thrice) as (?:far|distant)\b(?! as the (?:camera|viewpoint))", 2.4, 3.7),
    (r"\bhalf as (?:far|distant)|\btwice as (?:near|close)|\bhalf the distance", 0.4, 0.63),
    (r"\b(?:just|exactly|about|equally|quite) as far\b|\bequally far\b|\bsame distance\b", 0.9, 1.11),
)
MORE = r"(?:more (?:ground|way|of a way)|(?:farther|further|faster|quicker|longer|greater|larger|more)\b)"
LESS = r"(?:less (?:ground|way|of a way)|(?:slower|shorter|smaller|less)\b)"
IDIOM = re.compile(
    r"\bright (?=around|next|beside|behind|before|after|away|in front|there|at|where|above|below|through|now)|"
    r"\bright(?= angle)|\bleft (?=aside|out|behind|over|alone|to judge|its|their)|\bup to (?!us|me|the (?:camera|viewer|lens))|"
    r"\b(?:little|much|nothing|what) (?:is|was) left\b|\bright answer\b|\bleft open\b|\bcloser look\b|\bon closer\b|\bcatches? up\b(?! with)"
)
FROM_TO = (
    (re.compile(r"\bfrom (?:the )?left to (?:the )?right\b"), "rightwards"),
    (re.compile(r"\bfrom (?:the )?right to (?:the )?left\b"), "leftwards"),
)
SUBJECTS = re.compile(
    r"\b(?P<object>object)\b|\b(?P<camera>camera|viewpoint|lens|view|shift of position)\b|\b(?P<else>other|thing|foreground|background|"
    r"wall|doorway|lamp|surfaces?|(?:near|the) edges?|landmarks?|things|surroundings|scene|parts?)\b"
)
AT_START = re.compile(r"\b(?:at (?:the )?(?:start|first|beginning|outset)|initially|in the (?:first|earlier|initial) frame)\b")
AT_END = re.compile(r"\b(?:at the end|finally|by the end|in the (?:last|later|final) frame|afterwards)\b")
