"""The annotation folder: what is written is read back, and what is wrong is refused with a word for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.imports import Annotation, Boxes, Doubt, Named, Points, read_annotations, write_annotations
from curation.imports.tracks import worded
from curation.video import scan
from schemas.config import VideoConfig
from schemas.outcome import Rejected
from schemas.track import Description

FRAMES = 4


def example() -> Annotation:
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = np.arange(FRAMES)
    masks = np.zeros((FRAMES, 6, 8), np.uint16)
    masks[:, 2:4, 3:5] = 300
    depth = np.full((FRAMES, 6, 8), 2.5)
    depth[0, 0, 0] = np.nan
    return Annotation(
        poses,
        "somebody",
        (8, 6),
        (Named(300, "car", "the car with the dent"), Named(2)),
        Points(np.array([0, 0, 1]), np.array([0, 1, 3]), np.arange(9.0).reshape(3, 3), np.array([2, -1])),
        Boxes(np.array([300]), np.array([1]), poses[1:2], np.ones((1, 3)), np.array([True])),
        lambda frame: masks[frame] if frame != 2 else None,
        lambda frame: depth[frame],
        Doubt(position_sigma_m=0.01, scale_sigma_rel=0.0),
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    one = example()
    write_annotations(one, tmp_path)
    two = read_annotations(tmp_path)
    np.testing.assert_array_equal(one.world_from_camera, two.world_from_camera)
    assert (one.maker, one.image_size, one.objects, one.doubt) == (two.maker, two.image_size, two.objects, two.doubt)
    assert one.points and two.points and one.boxes and two.boxes and one.mask and two.mask and one.depth_m and two.depth_m
    np.testing.assert_array_equal(one.points.xyz_m, two.points.xyz_m)
    np.testing.assert_array_equal(one.boxes.world_from_object, two.boxes.world_from_object)
    np.testing.assert_array_equal(one.mask(1), two.mask(1))
    np.testing.assert_array_equal(one.depth_m(0), two.depth_m(0))
    assert two.mask(2) is None and two.has_objects


def test_the_same_annotation_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_annotations(example(), tmp_path / name)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_poses_may_be_lines_of_text_and_depth_millimetres(tmp_path: Path) -> None:
    write_annotations(example(), tmp_path)
    (tmp_path / "poses.npz").unlink()
    np.savetxt(tmp_path / "poses.txt", example().world_from_camera[:, :3].reshape(FRAMES, 12))
    (tmp_path / "depth" / "000001.npy").unlink()
    cv2.imwrite(str(tmp_path / "depth" / "000001.png"), np.full((6, 8), 1250, np.uint16))
    read = read_annotations(tmp_path)
    np.testing.assert_array_equal(read.world_from_camera, example().world_from_camera)
    assert read.depth_m is not None
    np.testing.assert_array_equal(read.depth_m(1), np.full((6, 8), 1.25))


def with_pose(change: Callable[[np.ndarray], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        poses = example().world_from_camera.copy()
        change(poses)
        np.savez(folder / "poses.npz", world_from_camera=poses)

    return spoil


def mirror(poses: np.ndarray) -> None:
    poses[2, 0] *= -1


def stretch(poses: np.ndarray) -> None:
    poses[1, :3, :3] *= 1.1


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode()) and None


def one_box(folder: Path, **change: np.ndarray) -> None:
    box = {"number": np.array([1]), "frame": np.array([0]), "world_from_object": np.eye(4)[None], "size_m": np.ones((1, 3))}
    np.savez(folder / "boxes.npz", **(box | {"clear": np.array([True])} | change))


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a left-handed frame": (with_pose(mirror), "frame 2 mirrors space"),
    "a scaled rotation": (with_pose(stretch), "frame 1 is no rigid transform"),
    "poses of another shape": (lambda f: np.savez(f / "poses.npz", world_from_camera=np.eye(4)), "shape \\(N, 4, 4\\)"),
    "no such array": (lambda f: np.savez(f / "poses.npz", poses=np.eye(4)), "expected arrays world_from_camera, found poses"),
    "a file that is no archive": (text("poses.npz", b"PK\3\4 rubbish"), "poses.npz cannot be read"),
    "a cut archive": (lambda f: (f / "points.npz").write_bytes((f / "points.npz").read_bytes()[:90]) and None, "points.npz"),
    "pickled objects": (lambda f: np.savez(f / "poses.npz", world_from_camera=np.array([{}], object)), "cannot be read"),
    "words for numbers": (lambda f: np.savez(f / "poses.npz", world_from_camera=np.array(["a"])), "shape"),
    "another version": (text("about.yaml", "format: 2\n"), "expected format: 1, got 2"),
    "no YAML": (text("about.yaml", "{format: 1"), "not valid YAML"),
    "an unknown key": (text("about.yaml", "format: 1\nposes: x\n"), "unknown key 'poses'"),
    "a misspelt error": (text("about.yaml", "format: 1\ndoubt: {pose_sigma: 1}\n"), "doubt has no 'pose_sigma'"),
    "a negative error": (text("about.yaml", "format: 1\ndoubt: {drift_share: -1}\n"), "at least 0"),
    "masks of no size": (text("about.yaml", "format: 1\n"), "need image_size"),
    "an object without number": (text("about.yaml", "format: 1\nobjects: [{category: car}]\n"), "needs a number"),
    "an object numbered by a word": (text("about.yaml", "format: 1\nobjects: [{number: true}]\n"), "needs a number"),
    "a box of words": (lambda f: one_box(f, size_m=np.array([["a", "b", "c"]])), "to hold floats"),
    "a box without end": (lambda f: one_box(f, size_m=np.full((1, 3), np.inf)), "positive sizes"),
    "frames beyond the poses": (
        lambda f: np.savez(f / "points.npz", track=[0], frame=[FRAMES], xyz_m=np.zeros((1, 3)), number=[1]),
        "frames count from 0 to 3",
    ),
    "two points at one frame": (
        lambda f: np.savez(f / "points.npz", track=[0, 0], frame=[1, 1], xyz_m=np.zeros((2, 3)), number=[1]),
        "two points at one frame",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_is_refused_and_says_why(tmp_path: Path, case: str) -> None:
    write_annotations(example(), tmp_path)
    spoil, message = BAD[case]
    spoil(tmp_path)
    with pytest.raises(Rejected, match=message) as why:
        read_annotations(tmp_path)
    assert why.value.reason == "bad_annotation" and str(tmp_path) not in str(why.value)


def test_a_mask_of_another_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write_annotations(example(), tmp_path)
    cv2.imwrite(str(tmp_path / "masks" / "000001.png"), np.zeros((5, 8), np.uint8))
    (tmp_path / "masks" / "000003.png").write_bytes(b"")
    mask = read_annotations(tmp_path).mask
    assert mask is not None
    with pytest.raises(Rejected, match="is 8x5, image_size says 8x6"):
        mask(1)
    with pytest.raises(Rejected, match="no image"):
        mask(3)


def test_a_scan_finds_annotations_and_their_changes(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"video")
    write_annotations(example(), tmp_path / "x.annotations")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "left.mp4").write_bytes(b"another")
    write_annotations(example(), tmp_path / "y" / "annotations")
    config = VideoConfig()
    x, y = scan(tmp_path, config).sources
    assert x.annotations.endswith("x.annotations") and y.annotations.endswith("annotations")
    assert x.annotations_sha256 == y.annotations_sha256 != ""
    (tmp_path / "x.annotations" / "masks" / "000001.png").rename(tmp_path / "x.annotations" / "masks" / "000002.png")
    changed = scan(tmp_path, config).sources[0]
    assert changed.annotations_sha256 != x.annotations_sha256 and changed.sha256 == x.sha256
    (tmp_path / "y" / "annotations" / "about.yaml").unlink()
    ((name, why),) = scan(tmp_path, config).refused
    assert name == "y" and why.reason == "bad_annotation"


def test_words_that_came_along_are_used_unless_they_hint_at_an_answer() -> None:
    said = ["the man with the hat", "the walking man", "the car. Answer: B", "the car\nA) left", "the man with the hat"]
    names = [
        Named(n + 1, category, text)
        for n, (category, text) in enumerate(zip(["man", "walking man", "car", "", "x"], said, strict=True))
    ]
    found = [Description(f"obj_{n + 1}", "object", f"the red object ({n})", "geometry") for n in range(5)]
    words = worded(found, names, "me")
    assert [w.text for w in words] == [
        "the red man (0)",
        "the red object (1)",
        "the red car (2)",
        "the red object (3)",
        "the red x (4)",
    ]
    assert worded(found[:1], names[:1], "me")[0].text == "the man with the hat"
