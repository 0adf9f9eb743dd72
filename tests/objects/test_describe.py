"""Plain words that fit one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from curation.objects.colours import COLOURS, colour_names
from curation.objects.describe import describe
from schemas.camera import CameraPath, Intrinsics
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack

HEIGHT, WIDTH, FRAMES = 120, 200, 10
BACKGROUND = (96, 110, 84)
RED, BLUE, GREEN = (200, 30, 35), (30, 60, 190), (40, 150, 50)
MOTION = ("mov", "driv", "walk", "run", "fast", "slow", "toward", "away", "approach", "pass", "still", "stop", "turn")
Box = tuple[int, int, int, int]


def scene(
    boxes: dict[str, tuple[tuple[int, int, int], Box]],
    *,
    statics: Sequence[tuple[tuple[int, int, int], Box]] = (),
    first: int = 0,
) -> tuple[ClipFrames, list[ObjectTrack]]:
    """Coloured boxes (left, top, width, height) that shift by two pixels a frame, on a noisy background."""
    rng = np.random.default_rng(0)
    left = np.clip(np.array(BACKGROUND) + rng.normal(0, 6, (FRAMES, HEIGHT, WIDTH, 3)), 0, 255)
    tracks = []
    for colour, (x, y, w, h) in statics:
        left[:, y : y + h, x : x + w] = np.array(colour) + rng.normal(0, 5, (FRAMES, h, w, 3))
    covers = {name: list(boxes.values())[n + 1 :] for n, name in enumerate(boxes)}
    for name, (colour, (x, y, w, h)) in boxes.items():
        masks: list[dict[str, Any] | None] = []
        for t in range(FRAMES):
            at = x + 2 * t
            left[t, y : y + h, at : at + w] = np.array(colour) + rng.normal(0, 8, (h, w, 3))
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[y : y + h, at : at + w] = 1
            for _, (ox, oy, ow, oh) in covers[name]:  # later boxes stand in front
                mask[oy : oy + oh, ox + 2 * t : ox + 2 * t + ow] = 0
            rle = coco.encode(np.asfortranarray(mask))
            masks.append({"size": rle["size"], "counts": rle["counts"].decode()} if t >= first else None)
        visible = np.arange(FRAMES) >= first
        points = rng.uniform(-0.5, 0.5, (FRAMES, 40, 3)).astype(np.float32) * (w / 30)
        tracks.append(
            ObjectTrack(
                name,
                visible,
                points.mean(1).astype(float),
                np.tile(np.eye(3) * 1e-4, (FRAMES, 1, 1)),
                0.0,
                points,
                np.full(FRAMES, 0.01),
                visible,
                tuple(masks),
                np.zeros((FRAMES, 4)),
                np.full(FRAMES, 40),
            )  # fmt: skip
        )
    frames = ClipFrames(
        "c", np.clip(left, 0, 255).astype(np.uint8), None, np.arange(FRAMES) / 10, np.arange(FRAMES), np.arange(FRAMES),
        np.arange(0, FRAMES, 3), Intrinsics(200, 200, 100, 60, WIDTH, HEIGHT), None)  # fmt: skip
    return frames, tracks


def texts(*args: Any, **kwargs: Any) -> list[str]:
    frames, tracks = scene(*args, **kwargs)
    found = describe(frames, tracks, None)
    assert [d.object_id for d in found] == [t.object_id for t in tracks]
    assert all(d.category == "object" and d.source == "geometry" for d in found)
    return [d.text for d in found]


def test_clear_colours_name_the_objects() -> None:
    boxes = {"obj_1": (RED, (20, 20, 40, 30)), "obj_2": (BLUE, (120, 60, 30, 30)), "obj_3": (GREEN, (60, 80, 30, 30))}
    assert texts(boxes) == ["the red object", "the blue object", "the green object"]


def test_two_of_one_colour_and_size_are_told_apart_by_side() -> None:
    found = texts({"obj_1": (RED, (5, 20, 30, 30)), "obj_2": (RED, (150, 60, 30, 30))})
    assert found == [
        "the red object (on the left of the view at frame 0)",
        "the red object (on the right of the view at frame 0)",
    ]


def test_two_of_one_colour_are_told_apart_by_real_size() -> None:
    found = texts({"obj_1": (RED, (60, 10, 70, 60)), "obj_2": (RED, (75, 85, 22, 22))})
    assert found == ["the large red object", "the small red object"]


def test_what_is_large_but_looks_small_is_not_told_by_its_size() -> None:
    """The larger thing is far off: whoever looks at the picture would take the other for the large one."""
    frames, tracks = scene({"obj_1": (RED, (60, 10, 70, 60)), "obj_2": (RED, (75, 85, 22, 22))})
    points = [tracks[1].points_m, tracks[0].points_m]
    swapped = [dataclasses.replace(track, points_m=p) for track, p in zip(tracks, points, strict=True)]
    assert [d.text for d in describe(frames, tracks, None)] == ["the large red object", "the small red object"]
    assert not [d.text for d in describe(frames, swapped, None) if "large" in d.text or "small" in d.text]


def test_a_still_patch_of_the_same_colour_takes_the_colour_away() -> None:
    boxes = {"obj_1": (RED, (10, 20, 40, 30))}
    elsewhere = texts(boxes, statics=[(RED, (150, 70, 40, 30))])
    assert elsewhere == ["the red object (on the left of the view at frame 0)"]
    beside = texts(boxes, statics=[(RED, (10, 80, 40, 30))])
    assert beside[0].startswith("the red object (about ") and "% from the left" in beside[0]
    farther = texts(boxes, statics=[(RED, (150, 70, 14, 10))])  # the same thing, farther off, has a ninth of the area
    assert farther == elsewhere
    small = texts(boxes, statics=[(RED, (150, 70, 6, 6))])
    assert small == ["the red object"]


def test_a_patch_that_shows_up_later_counts_too() -> None:
    frames, tracks = scene({"obj_1": (RED, (10, 20, 40, 30))})
    frames.left[6:, 70:100, 150:190] = RED
    assert describe(frames, tracks, None)[0].text == "the red object (on the left of the view at frame 0)"


@pytest.mark.parametrize(("border", "words"), [(True, "% from the left"), (False, "(on the left of the view at frame 0)")])
def test_what_just_leaves_the_picture_may_be_meant_too(border: bool, words: str) -> None:
    """A sliver of it may be left at the frame that is pointed to, too narrow to count as a patch."""
    frames, tracks = scene({"a": (RED, (30, 40, 30, 40))})
    at = 0 if border else 12
    left = frames.left.copy()
    left[frames.question[1], 10:100, at : at + 9] = RED
    (only,) = describe(dataclasses.replace(frames, left=left), tracks, None)
    assert words in only.text


def test_an_object_without_a_clear_colour_is_pointed_at() -> None:
    frames, tracks = scene({"obj_1": (RED, (40, 20, 40, 40))})
    checks = (np.indices((HEIGHT, WIDTH)).sum(0) // 4 % 2).astype(bool)
    for t in range(FRAMES):
        box = np.zeros((HEIGHT, WIDTH), bool)
        box[20:60, 40 + 2 * t : 80 + 2 * t] = True
        frames.left[t][box & checks] = BLUE
    assert (
        describe(frames, tracks, None)[0].text
        == "the object (about 30% from the left and 33% from the top of the view at frame 0)"
    )


def test_pointing_lands_inside_the_mask_at_the_frame_it_names() -> None:
    frames, tracks = scene({"obj_1": (BACKGROUND, (40, 20, 41, 40))}, first=4)
    text = describe(frames, tracks, None)[0].text
    u, v, frame = (int(word.strip("%)")) for word in text.replace("(", "").split() if word.strip("%)").isdigit())
    assert frame == 2  # the first question frame (0, 3, 6, 9) at which it is seen is 6
    mask = coco.decode(tracks[0].masks[6])
    assert mask[int(v / 100 * HEIGHT), int(u / 100 * WIDTH)]


def test_pointing_keeps_off_what_the_mask_took_along() -> None:
    frames, tracks = scene({"obj_1": (BACKGROUND, (60, 10, 18, 100))})  # someone thin ...
    mask = coco.decode(tracks[0].masks[0])
    mask[70:95, 35:60] = 1  # ... and something wider beside
    frames.left[0, 70:95, 35:60] = GREEN
    rle = coco.encode(np.asfortranarray(mask))
    masks = ({"size": rle["size"], "counts": rle["counts"].decode()}, *tracks[0].masks[1:])
    text = describe(frames, [dataclasses.replace(tracks[0], masks=masks)], None)[0].text
    u, v, frame = (int(word.strip("%)")) for word in text.replace("(", "").split() if word.strip("%)").isdigit())
    assert frame == 0 and 60 <= u / 100 * WIDTH < 78 and 10 <= v / 100 * HEIGHT < 110


def test_an_object_is_pointed_at_beside_those_in_front_of_it() -> None:
    frames, tracks = scene({"obj_1": (BACKGROUND, (40, 20, 60, 60)), "obj_2": (BACKGROUND, (50, 30, 40, 50))})
    found = [d.text for d in describe(frames, tracks, None)]
    assert all(found) and len(set(found)) == 2
    u, v, _ = (int(word.strip("%)")) for word in found[0].replace("(", "").split() if word.strip("%)").isdigit())
    assert not 50 <= u / 100 * WIDTH < 90 or not 30 <= v / 100 * HEIGHT < 80


def test_an_object_that_lies_within_another_is_not_described() -> None:
    frames, tracks = scene({"obj_1": (BACKGROUND, (40, 20, 60, 60)), "obj_2": (BACKGROUND, (42, 22, 56, 56))})
    assert describe(frames, tracks, None)[0].text == ""


def test_an_object_that_was_never_outlined_gets_no_words() -> None:
    frames, tracks = scene({"obj_1": (RED, (20, 20, 40, 30))})
    blank = dataclasses.replace(tracks[0], masks=(None,) * FRAMES)
    assert [d.text for d in describe(frames, [blank], None)] == [""]


def test_words_say_nothing_about_motion() -> None:
    found = texts({"obj_1": (RED, (5, 20, 30, 30)), "obj_2": (RED, (150, 60, 30, 30)), "obj_3": (BACKGROUND, (60, 80, 30, 30))})
    assert all(found) and len(set(found)) == 3
    assert not [text for text in found for word in MOTION if word in text]


@pytest.mark.parametrize(
    "rgb, name",
    [((200, 30, 35), "red"), ((235, 130, 20), "orange"), ((245, 215, 40), "yellow"), ((40, 150, 50), "green"),
     ((30, 60, 190), "blue"), ((120, 180, 235), "blue"), ((130, 40, 160), "purple"), ((245, 150, 185), "pink"),
     ((110, 70, 35), "brown"), ((12, 12, 14), "black"), ((128, 128, 128), "grey"), ((246, 246, 246), "white")],
)  # fmt: skip
def test_clear_colours_have_their_everyday_names(rgb: tuple[int, int, int], name: str) -> None:
    assert COLOURS[colour_names(np.array([[rgb]], np.uint8))[0, 0]] == name


def test_colours_between_two_names_have_none() -> None:
    for rgb in ((0, 150, 150), (160, 150, 140), (205, 205, 205), (60, 56, 62)):
        names = colour_names(np.array([[rgb]], np.uint8))
        assert names[0, 0] == len(COLOURS) or COLOURS[names[0, 0]] in ("grey",), (rgb, COLOURS[names[0, 0]])


def test_a_name_survives_half_the_light() -> None:
    for rgb, name in ((RED, "red"), (BLUE, "blue"), (GREEN, "green")):
        dim = cv2.convertScaleAbs(np.array([[rgb]], np.uint8), alpha=0.6)
        assert colour_names(dim)[0, 0] in (COLOURS.index(name), len(COLOURS))


def test_an_object_is_pointed_at_where_it_was_measured() -> None:
    """A mask that spans what lies between two legs has its innermost place there."""
    frames, tracks = scene({"obj_1": (RED, (40, 20, 40, 40))})
    checks = (np.indices((HEIGHT, WIDTH)).sum(0) // 4 % 2).astype(bool)
    points = np.full((FRAMES, 40, 3), np.nan, np.float32)
    for t in range(FRAMES):
        box = np.zeros((HEIGHT, WIDTH), bool)
        box[20:60, 40 + 2 * t : 80 + 2 * t] = True
        frames.left[t][box & checks] = BLUE
        # along the left side of the mask, where the camera sees it 10 m ahead
        pixels = np.stack([np.full(40, 46.0 + 2 * t), np.linspace(24, 56, 40)], -1)
        points[t] = frames.camera.unproject(pixels, np.full(40, 10.0))
    measured = [dataclasses.replace(tracks[0], points_m=points)]
    still = CameraPath(np.tile(np.eye(4), (FRAMES, 1, 1)), np.zeros((FRAMES, 6, 6)), True, 0.0, 0.1, 0.1, {})
    assert describe(frames, measured, None)[0].text.startswith("the object (about 30% from the left")
    pointed = describe(frames, measured, still)[0].text
    assert pointed.startswith("the object (about 2"), pointed
    left_part = float(pointed.split("about ")[1].split("%")[0])
    assert 21 <= left_part <= 26, "within four pixels of the points, and inside the mask"
    nowhere = [dataclasses.replace(tracks[0], points_m=points + np.float32(50))]
    assert describe(frames, nowhere, still)[0].text == "", "what cannot be pointed at surely is not pointed at"
