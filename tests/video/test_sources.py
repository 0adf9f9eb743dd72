"""What a folder of input holds."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from curation.video import scan
from schemas.config import VideoConfig
from tests.video.media import write_calibration, write_images

CONFIG = VideoConfig(hfov_deg=70, baseline_m=0.1, image_fps=12)


def video(path, content=b"bytes of a video"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content + os.fsencode(path))  # scanning decodes nothing
    return path


def pictures(count, seed=0):
    return list(np.random.default_rng(seed).integers(0, 255, (count, 8, 8, 3), np.uint8))


def names(result):
    return [source.name for source in result.sources]


def reasons(result):
    return {name: why.reason for name, why in result.refused}


def test_the_three_layouts_of_files_are_found_in_the_order_of_their_names(tmp_path):
    for name in ("b/10.mp4", "b/9.mkv", "pair/left.mp4", "pair/right.mp4", "a.MOV"):
        video(tmp_path / name)
    write_images(tmp_path / "images" / "left", pictures(3))
    write_images(tmp_path / "images" / "right", pictures(3, 1))
    write_images(tmp_path / "one" / "left", pictures(3, 2))
    found = scan(tmp_path, CONFIG)
    assert found.refused == []
    assert names(found) == ["a", "b/9", "b/10", "images", "one", "pair"]
    assert [source.layout for source in found.sources] == ["mono", "mono", "mono", "pair", "mono", "pair"]
    images = found.sources[3]
    assert (images.left, images.right) == (str(tmp_path / "images/left"), str(tmp_path / "images/right"))


def test_what_was_assumed_is_recorded_and_what_was_given_is_not(tmp_path):
    write_images(tmp_path / "x" / "left", pictures(3))
    write_images(tmp_path / "x" / "right", pictures(3, 1))
    bare = scan(tmp_path, CONFIG).sources[0]
    assert (bare.baseline_m, bare.camera, bare.fps) == (0.1, {"hfov_deg": 70}, 12)
    assert bare.assumed == ("hfov_deg", "baseline_m", "fps")
    text = "fps: 24\nbaseline_m: 0.2\ncamera: {fx: 9, fy: 9, cx: 4, cy: 4, width: 8, height: 8}\n"
    write_calibration(tmp_path / "x" / "calib.yaml", text)
    given = scan(tmp_path, CONFIG).sources[0]
    assert (given.baseline_m, given.fps, given.assumed) == (0.2, 24, ())
    assert given.camera == {"fx": 9, "fy": 9, "cx": 4, "cy": 4, "width": 8, "height": 8}


def test_the_layout_of_the_calibration_decides(tmp_path):
    video(tmp_path / "film.mp4")
    write_calibration(tmp_path / "film.calib.yaml", "layout: vr180_over_under\n")
    video(tmp_path / "pair" / "left.mp4")
    video(tmp_path / "pair" / "right.mp4")
    write_calibration(tmp_path / "pair" / "calib.yaml", "layout: mono\n")
    film, pair = scan(tmp_path, CONFIG).sources
    assert (film.layout, film.camera, film.assumed) == ("vr180_over_under", {}, ("baseline_m",))
    assert (pair.layout, pair.right, pair.baseline_m) == ("mono", None, None)


def test_a_calibration_beside_loose_videos_speaks_for_all_of_them(tmp_path):
    video(tmp_path / "a.mp4")
    video(tmp_path / "b.mp4")
    write_calibration(tmp_path / "calib.yaml", "layout: side_by_side\nbaseline_m: 0.3\n")
    write_calibration(tmp_path / "b.calib.yaml", "baseline_m: 0.5\nlayout: over_under\n")
    assert [(s.layout, s.baseline_m) for s in scan(tmp_path, CONFIG).sources] == [("side_by_side", 0.3), ("over_under", 0.5)]


def test_truth_and_hidden_folders_are_passed_over(tmp_path):
    write_images(tmp_path / "w" / "left", pictures(2))
    write_images(tmp_path / "w" / "truth" / "left", pictures(2, 1))
    video(tmp_path / "truth" / "x.mp4")
    video(tmp_path / ".cache" / "x.mp4")
    video(tmp_path / "._x.mp4")
    found = scan(tmp_path, CONFIG)
    assert (names(found), found.refused) == (["w"], [])


def test_one_clear_reason_for_each_thing_that_cannot_be_a_source(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    os.symlink("nowhere", tmp_path / "dangling.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    video(tmp_path / "bad.mp4")
    write_calibration(tmp_path / "bad.calib.yaml", "baseline_m: -1")
    video(tmp_path / "vr.mp4")
    write_calibration(tmp_path / "vr.calib.yaml", "layout: vr180_side_by_side\ncamera: {hfov_deg: 60}")
    video(tmp_path / "only_right" / "right.mp4")
    video(tmp_path / "only_left" / "left.mp4")
    write_calibration(tmp_path / "only_left" / "calib.yaml", "layout: pair")
    video(tmp_path / "two" / "left.mp4")
    video(tmp_path / "two" / "right.mp4")
    write_calibration(tmp_path / "two" / "calib.yaml", "layout: side_by_side")
    video(tmp_path / "mixed" / "left.mp4")
    write_images(tmp_path / "mixed" / "right", pictures(3))
    write_images(tmp_path / "unequal" / "left", pictures(3))
    write_images(tmp_path / "unequal" / "right", pictures(2))
    write_images(tmp_path / "shifted" / "left", pictures(3))
    write_images(tmp_path / "shifted" / "right", pictures(3), first=1)
    found = scan(tmp_path, CONFIG)
    assert found.sources == []
    assert reasons(found) == {
        "empty": "empty_file",
        "dangling": "unreadable_file",
        "pipe": "unreadable_file",
        "bad": "bad_calibration",
        "vr": "bad_calibration",
        "only_right": "left_eye_missing",
        "only_left": "right_eye_missing",
        "two": "bad_calibration",
        "mixed": "eyes_differ",
        "unequal": "eyes_differ",
        "shifted": "eyes_differ",
    }
    assert len(found.refused) == 11


def test_eyes_with_numberings_of_their_own_are_paired_in_order(tmp_path):
    write_images(tmp_path / "x" / "left", pictures(3))
    write_images(tmp_path / "x" / "right", pictures(3, 1), first=100)
    assert names(scan(tmp_path, CONFIG)) == ["x"]


def test_the_second_source_of_the_same_bytes_is_refused_as_a_duplicate(tmp_path):
    video(tmp_path / "a.mp4")
    shutil.copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    found = scan(tmp_path, CONFIG)
    assert (names(found), reasons(found)) == (["a"], {"b": "duplicate"})
    assert "same content as a" in found.refused[0][1].detail


def test_the_hash_is_of_the_content_in_order_and_not_of_the_path(tmp_path):
    first, second, third = (tmp_path / name for name in ("1", "2", "3"))
    for root, frames in ((first, pictures(3)), (second, pictures(3)), (third, pictures(3)[::-1])):
        write_images(root / "some name" / "left", frames)
    hashes = [scan(root, CONFIG).sources[0].sha256 for root in (first, second, third)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_hostile_names_and_loops_of_links_do_no_harm(tmp_path):
    hostile = ["дорога ☃.mp4", "new\nline; rm -rf $HOME.mp4", "http:a.mp4", "%03d.mp4", "-i.mp4", os.fsdecode(b"bad\xff.mp4")]
    for name in hostile:
        video(tmp_path / "in" / name)
    (tmp_path / "in" / "folder.mp4").mkdir()
    os.symlink("..", tmp_path / "in" / "up")
    os.symlink(".", tmp_path / "in" / "self")
    os.symlink("again", tmp_path / "in" / "again")
    os.symlink(tmp_path / "outside", tmp_path / "in" / "linked")
    video(tmp_path / "outside" / "x.mp4")
    found = scan(tmp_path / "in", CONFIG)
    assert len(found.sources) == len(hostile) + 1 and found.refused == []
    assert len(set(names(found))) == len(found.sources)
    for name in names(found):
        assert name.isprintable()
        name.encode("utf-8")


def test_two_files_with_the_same_stem_get_different_names(tmp_path):
    video(tmp_path / "x.mp4")
    video(tmp_path / "x.mov")
    assert names(scan(tmp_path, CONFIG)) == ["x", "x.mp4"]


def test_an_input_that_is_no_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of videos"):
        scan(tmp_path / "nothing", CONFIG)
