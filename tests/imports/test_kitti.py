"""KITTI's files: GPS packets to poses, labels to boxes, and the one moving car of a real street."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from curation.imports import imported_objects, imported_path, read_annotations
from curation.imports.kitti import imu_poses, read_raw, read_tracking
from curation.video import decode_clip, plan_clips, scan
from pipelines import import_annotations
from schemas.config import Config
from schemas.outcome import Rejected
from tests.imports.kitti_files import LATITUDE_DEG, LONGITUDE_DEG, write_tracking

CAMERA = (700.0, 710.0, 600.0, 170.0)


def test_a_vehicle_that_drives_north_moves_along_y_and_its_own_x() -> None:
    packets = np.zeros((2, 6))
    packets[:, 0], packets[:, 1], packets[:, 5] = LATITUDE_DEG, LONGITUDE_DEG, np.pi / 2  # yaw counts from east
    packets[1, 0] += np.degrees(10 / 6378137.0)  # ten metres of the earth's radius
    poses = imu_poses(packets)
    np.testing.assert_allclose(poses[1, :3, 3], [0, 10, 0], atol=1e-4)
    np.testing.assert_allclose(np.linalg.inv(poses[0]) @ poses[1] @ [0, 0, 0, 1], [10, 0, 0, 1], atol=1e-4)


def path(count: int) -> np.ndarray:
    """Driving forward 1 m a frame in a slight curve to the right."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for t in range(1, count):
        angle = 0.02 * t
        poses[t, :3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        poses[t, :3, 3] = poses[t - 1, :3, 3] + poses[t, :3, :3] @ [0, 0, 1.0]
    return poses


def test_poses_boxes_and_calibration_come_back_from_the_files(tmp_path: Path) -> None:
    row = "2 7 Car 0 0 0 1 2 3 4 1.5 1.6 4.0 2.0 1.7 12.0 -1.5707963267948966"
    write_tracking(tmp_path, "0000", path(4), CAMERA, 0.54, [row, "0 -1 DontCare" + " -1" * 14], shift_m=0.06)
    drive = read_tracking(tmp_path, "0000")
    np.testing.assert_allclose(drive.annotation.world_from_camera, path(4), atol=1e-6)
    boxes = drive.annotation.boxes
    assert boxes is not None and boxes.number.tolist() == [8] and boxes.frame.tolist() == [2] and boxes.clear.all()
    assert [(o.number, o.category) for o in drive.annotation.objects] == [(8, "car")]
    # The label stands in camera 0's axes, 6 cm to the left of ours; a box's middle lies half its height above its bottom.
    np.testing.assert_allclose(boxes.world_from_object[0, :3, 3], (path(4)[2] @ [2.0 - 0.06, 1.7 - 0.75, 12.0, 1])[:3], atol=1e-6)
    length_along = (np.linalg.inv(path(4)[2]) @ boxes.world_from_object[0])[:3, 0]
    np.testing.assert_allclose(length_along, [0, 0, 1], atol=1e-6)  # it drives as we do
    np.testing.assert_allclose(boxes.size_m, [[4.0, 1.5, 1.6]])
    assert drive.sidecar["layout"] == "mono" and drive.sidecar["camera"]["pixel_center"] == 0
    assert drive.sidecar["camera"] == pytest.approx({"fx": 700, "fy": 710, "cx": 600, "cy": 170, "pixel_center": 0})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("calib/0000.txt", "P2: 1 2 3\n", "calibration lacks P2 with 12 numbers"),
        ("oxts/0000.txt", "49.0 8.4\n", "at least 6 numbers a packet"),
        ("oxts/0000.txt", "49.0 x 1 2 3 4\n", "lines of equally many numbers"),
        ("label_02/0000.txt", "0 1 Car 0 0\n", "expected 17 words a line"),
        ("label_02/0000.txt", "9 1 Car 0 0 0 1 2 3 4 1.5 1.6 4 2 1.7 12 0\n", "a label names frame 9, there are 4"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, file: str, content: str, message: str) -> None:
    write_tracking(tmp_path, "0000", path(4), CAMERA, 0.54, [])
    (tmp_path / file).write_text(content)
    with pytest.raises(Rejected, match=message) as why:
        read_tracking(tmp_path, "0000")
    assert why.value.reason == "bad_annotation"


def test_of_twenty_labelled_cars_only_the_one_that_drives_is_an_object(real_clips: Path, tmp_path: Path) -> None:
    meta = json.loads((real_clips / "kitti_0009" / "meta.json").read_text())
    rows = [
        f"{r['frame']} {r['track_id']} {r['cls']} {r['truncated']:.0f} {r['occluded']:.0f} 0 "
        + " ".join(str(x) for x in (*r["bbox"], *r["dims_hwl"], *r["bottom_center_cam"], r["rotation_y"]))
        for r in meta["tracks"]
    ]
    root, poses = tmp_path / "training", np.array(meta["cam_to_world"])
    write_tracking(root, "0001", poses, meta["fx_fy_cx_cy"], meta["baseline_m"], rows)
    for eye, side in (("image_02", "left"), ("image_03", "right")):
        (root / eye).mkdir()
        (root / eye / "0001").symlink_to(real_clips / "kitti_0009" / side, target_is_directory=True)
    assert import_annotations.main(["kitti-tracking", "--from", str(root), "--output", str(tmp_path / "in")]) == 0
    assert yaml.safe_load((tmp_path / "in" / "0001" / "calib.yaml").read_text())["baseline_m"] == pytest.approx(
        meta["baseline_m"]
    )
    config = Config()
    (source,) = scan(tmp_path / "in", config.video).sources
    frames = decode_clip(plan_clips(source, config.video).clips[0], config.video, None)
    annotation = read_annotations(source.annotations)
    found = imported_path(annotation, frames, config.imports)
    np.testing.assert_allclose(found.world_from_camera, poses[frames.source_index], atol=1e-6)
    assert found.stats["agreeing_corners"] > 0.9
    tracks, words = imported_objects(annotation, frames, found, config)
    assert [t.stats["annotated"] for t in tracks] == [8 + 1] and words[0].category == "car"
    assert tracks[0].stats["moved_m"] == pytest.approx(9.46, abs=0.05)  # the 19 others are parked


def test_a_raw_recording_with_tracklets_says_the_same_as_the_benchmark(tmp_path: Path) -> None:
    row = "2 7 Car 0 0 0 1 2 3 4 1.5 1.6 4.0 2.0 1.7 12.0 -1.5707963267948966"
    write_tracking(tmp_path, "0000", path(4), CAMERA, 0.54, [row], shift_m=0.06)
    expected = read_tracking(tmp_path, "0000").annotation
    day, drive = tmp_path / "2011_09_26", tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync"
    (drive / "oxts" / "data").mkdir(parents=True)
    for number, line in enumerate((tmp_path / "oxts" / "0000.txt").read_text().splitlines()):
        (drive / "oxts" / "data" / f"{number:010d}.txt").write_text(line + "\n")
    words = dict(line.replace(":", "").split(" ", 1) for line in (tmp_path / "calib" / "0000.txt").read_text().splitlines())
    names = {"P_rect_02": "P2", "P_rect_03": "P3", "R_rect_00": "R_rect"}
    text = "calib_time: 09-Jan-2012 13:57:47\n" + "".join(f"{new}: {words[old]}\n" for new, old in names.items())
    (day / "calib_cam_to_cam.txt").write_text(text)
    velo = np.array(words["Tr_velo_cam"].split(), float).reshape(3, 4)
    for name, matrix in (("calib_velo_to_cam.txt", velo), ("calib_imu_to_velo.txt", np.eye(4)[:3])):
        turn, shift = (" ".join(f"{x:.12e}" for x in part.ravel()) for part in (matrix[:, :3], matrix[:, 3]))
        (day / name).write_text(f"R: {turn}\nT: {shift}\n")
    # The scanner's axes are x forward, y left, z up; its labels too give the middle of the bottom.
    x, y, z = np.linalg.inv(np.vstack([velo, [0, 0, 0, 1]]))[:3] @ [2.0, 1.7, 12.0, 1]
    pose = f"<tx>{x}</tx><ty>{y}</ty><tz>{z}</tz><rz>0</rz><occlusion>0</occlusion><truncation>0</truncation>"
    size = "<h>1.5</h><w>1.6</w><l>4.0</l>"
    item = f"<objectType>Car</objectType>{size}<first_frame>2</first_frame><poses><item>{pose}</item></poses>"
    (drive / "tracklet_labels.xml").write_text(
        f"<boost_serialization><tracklets><item>{item}</item></tracklets></boost_serialization>"
    )
    found = read_raw(drive).annotation
    np.testing.assert_allclose(found.world_from_camera, expected.world_from_camera, atol=1e-9)
    assert found.boxes is not None and expected.boxes is not None and found.objects[0].category == "car"
    np.testing.assert_allclose(found.boxes.world_from_object[0, :3, 3], expected.boxes.world_from_object[0, :3, 3], atol=1e-6)
    along = [boxes.world_from_object[0, :3, 0] for boxes in (found.boxes, expected.boxes)]
    np.testing.assert_allclose(along[0], along[1], atol=1e-6)
    assert sorted(found.boxes.size_m[0]) == sorted(expected.boxes.size_m[0])
    (drive / "tracklet_labels.xml").write_text(
        "<boost_serialization><tracklets><item><h>x</h></item></tracklets></boost_serialization>"
    )
    with pytest.raises(Rejected, match=r"tracklet_labels.xml cannot be read"):
        read_raw(drive)
