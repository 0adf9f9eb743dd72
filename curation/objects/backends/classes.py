"""Class names that detectors use, and which of them may name something that moves."""

from __future__ import annotations

# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light", "fire hydrant",
    "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra",
    "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork",
    "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
    "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote",
    "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
"""The 80 classes of COCO in the order of its detectors (Lin et al. 2014)."""

# fmt: off
VOC = (
    "background", "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table",
    "dog", "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv",
)
# fmt: on
"""The 21 classes of Pascal VOC, by their COCO names."""

COCO_91 = (
    {n + 1: name for n, name in enumerate(COCO[:11])}
    | dict(zip((13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25), COCO[11:24], strict=True))
    | dict(zip((27, 28, 31, 32, 33, *range(34, 45)), COCO[24:40], strict=True))
)
"""COCO's own ids (with its gaps) of the classes up to "bottle": what torchvision's models label with."""

_VEHICLES = ("car", "truck", "bus", "train", "boat", "airplane")
_ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
_GROUPS = (
    dict.fromkeys(_VEHICLES, "vehicle")
    | dict.fromkeys(_ANIMALS, "animal")
    | {"bicycle": "two-wheeler", "motorcycle": "two-wheeler"}
)
_MOVERS = {"person", *_GROUPS, *_GROUPS.values(), "sports ball", "frisbee", "kite", "skateboard"}
_WORDS = {"sports ball": "ball", "airplane": "plane"}


def group_of(name: str) -> str:
    """What detectors confuse a class within ("vehicle" for a truck); the class itself where it stands alone."""
    return _GROUPS.get(name, name)


def can_move(name: str) -> bool:
    """Whether a class of a fixed vocabulary may name a moving object. A moving "dining table" is a mistake of the detector."""
    return name in _MOVERS


def noun(name: str) -> str:
    """The everyday word of a class."""
    return _WORDS.get(name, name)


_SIZES_M = {
    "person": (0.15, 2.6),
    "car": (0.6, 6.5),
    "truck": (0.8, 20.0),
    "bus": (0.8, 20.0),
    "train": (1.0, 400.0),
    "bicycle": (0.25, 2.5),
    "motorcycle": (0.3, 3.0),
    "dog": (0.08, 1.8),
    "cat": (0.05, 1.0),
    "bird": (0.02, 2.5),
    "horse": (0.4, 3.5),
    "sports ball": (0.02, 1.3),
    "ball": (0.02, 1.3),
}


def plausible_size(name: str, size_m: float | None) -> bool:
    """Whether what was measured of a thing (the extent of its seen part, metres) can be one of a class; True where unknown."""
    low, high = _SIZES_M.get(name, (0.0, float("inf")))
    return size_m is None or low <= size_m <= high
