"""What a stage leaves on disk is what the next run reads, to the last bit; rows say what the values say."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.shards.products import ClipInfo, fact_of, fact_row, load_path, load_tracks, save_path, save_tracks
from curation.shards.rows import camera_rows, clip_row, object_rows, track_rows
from curation.shards.writer import table_of
from schemas import tables
from schemas.camera import CameraPath, Intrinsics, RelativeCameraPath
from schemas.clip import ClipSpec, Source
from schemas.track import Description, Fact, ObjectTrack

T = 7
QUESTION = np.array([0, 2, 6])


def same(one: Any, other: Any) -> bool:
    """Equal field by field, NaN included."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            if a.dtype != b.dtype or not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                return False
        elif a != b or type(a) is not type(b):
            return False
    return True


@pytest.fixture
def info() -> ClipInfo:
    source = Source("street/a", "pair", "/x/left.mp4", "/x/right.mp4", "ab" * 32, None, {"hfov_deg": 60.0}, 0.12, ("hfov_deg",))
    times = np.arange(T) / 7.0
    camera = Intrinsics(400.0, 401.0, 320.5, 200.25, 640, 400)
    index = np.arange(T) * 3
    return ClipInfo(ClipSpec(source, 10, 40, 1.0, 4.0, "{}"), times, index, index + 10, QUESTION, camera, 0.12, ("hfov_deg",))


@pytest.fixture
def path() -> CameraPath:
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (T, 1, 1))
    poses[1:, :3, 3] = rng.normal(size=(T - 1, 3))
    covariance = np.einsum("tij,tkj->tik", *(rng.normal(size=(T, 6, 6)),) * 2) * 1e-4
    return CameraPath(poses, covariance, False, 0.25, 0.05, 0.31, {"tracks": 12, "share": 0.1 + 0.2})


@pytest.fixture
def track() -> ObjectTrack:
    rng = np.random.default_rng(1)
    visible = np.array([True, True, True, False, False, True, False])
    hidden = ~visible
    centroid, points = rng.normal(size=(T, 3)) + [0, 0, 8], rng.normal(size=(T, 5, 3)).astype(np.float32) + np.float32(8)
    centroid[hidden], points[hidden] = np.nan, np.nan
    points[0, 2] = np.nan
    box = np.where(visible[:, None], [[10.0, 20.0, 50.0, 70.0]], np.nan)
    masks = tuple({"size": [400, 640], "counts": f"abc{n}"} if v else None for n, v in enumerate(visible))
    sigma = np.where(visible, 0.03, np.nan)
    covariance = np.tile(np.diag([1e-4, 4e-4, 9e-4]), (T, 1, 1))
    return ObjectTrack(
        "obj_1", visible, centroid, covariance, 0.004, points, sigma, visible & (np.arange(T) != 1), masks, box,
        visible * 5, {"gate": 0.9},
    )  # fmt: skip


def test_a_metric_path_round_trips(tmp_path: Path, path: CameraPath) -> None:
    save_path(tmp_path / "p.npz", path)
    assert same(load_path(tmp_path / "p.npz"), path)


def test_a_relative_path_stays_relative(tmp_path: Path, path: CameraPath) -> None:
    relative = RelativeCameraPath(path.world_from_camera, np.array([0.0, *[2.0] * (T - 1)]), True, {"x": 1})
    save_path(tmp_path / "p.npz", relative)
    found = load_path(tmp_path / "p.npz")
    assert isinstance(found, RelativeCameraPath) and same(found, relative)


def test_tracks_round_trip(tmp_path: Path, track: ObjectTrack) -> None:
    tracks = [track, replace(track, object_id="obj_2", points_m=track.points_m[:, :3])]
    save_tracks(tmp_path / "t.npz", tracks)
    found = load_tracks(tmp_path / "t.npz")
    assert [t.object_id for t in found] == ["obj_1", "obj_2"] and all(map(same, found, tracks))
    save_tracks(tmp_path / "none.npz", [])
    assert load_tracks(tmp_path / "none.npz") == []


def test_the_same_products_have_the_same_bytes(tmp_path: Path, track: ObjectTrack) -> None:
    for name in ("a.npz", "b.npz"):
        save_tracks(tmp_path / name, [track])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_clip_round_trips(info: ClipInfo) -> None:
    found = ClipInfo.from_json(info.to_json())
    assert found.clip_id == info.clip_id and same(replace(found, spec=info.spec), info) and found.spec == info.spec


@pytest.mark.parametrize("margin", [3.5, float("inf"), -1.0])
def test_facts_round_trip_through_their_table(margin: float) -> None:
    fact = Fact("c" * 16, "camera_distance", "", "", 0, 5, 1.25, "m", "", 0.01, margin, 3.0, {"center": [0.1 + 0.2, 1.0]})
    bare = Fact("c" * 16, "camera_direction", "", "", 0, 5, None, "", "left", None, margin, 3.0)
    rows = table_of([fact_row(f) for f in (fact, bare)], tables.FACTS).to_pylist()
    assert [fact_of(row) for row in rows] == [fact, bare]


def test_camera_rows_are_those_of_the_question_frames(info: ClipInfo, path: CameraPath) -> None:
    rows = table_of(camera_rows(info, path), tables.CAMERAS).to_pylist()
    assert [row["frame"] for row in rows] == [0, 1, 2]
    assert [row["time_s"] for row in rows] == [info.times_s[q] for q in QUESTION]
    assert all(row["scale"] == "metric" and row["relative_from_camera"] is None for row in rows)
    for row, q in zip(rows, QUESTION, strict=True):
        np.testing.assert_array_equal(np.reshape(row["world_from_camera"], (4, 4)), path.world_from_camera[q])
        assert row["position_sigma_m"] == pytest.approx(np.sqrt(np.trace(path.covariance[q, :3, :3]) / 3))
    assert (rows[0]["fx"], rows[0]["fy"], rows[0]["cx"], rows[0]["cy"]) == (400.0, 401.0, 320.5, 200.25)


def test_a_relative_path_never_stands_where_metres_are_read(info: ClipInfo, path: CameraPath) -> None:
    relative = RelativeCameraPath(path.world_from_camera, np.zeros(T), False, {})
    for row in camera_rows(info, relative):
        assert row["scale"] == "relative" and row["world_from_camera"] is None and row["position_sigma_m"] is None
        assert len(row["relative_from_camera"]) == 16


def test_track_rows_say_what_the_track_says(info: ClipInfo, path: CameraPath, track: ObjectTrack) -> None:
    rows = table_of(track_rows(info, path, [track]), tables.TRACKS).to_pylist()
    assert [(row["frame"], row["visible"]) for row in rows] == [(0, True), (1, True), (2, False)]
    first, second, gone = rows
    assert gone["centroid_m"] is None and gone["nearest_m"] is None and gone["mask_rle"] is None and gone["bbox_xyxy_px"] is None
    np.testing.assert_array_equal(second["centroid_m"], track.centroid_m[2])
    away = np.linalg.norm(track.points_m[2].astype(float) - path.centers_m[2], axis=1)
    assert second["nearest_m"] == pytest.approx(away.min()), "measured from the camera of that frame"
    assert first["nearest_m"] == pytest.approx(np.nanmin(np.linalg.norm(track.points_m[0].astype(float), axis=1)))
    assert second["centroid_sigma_m"] == pytest.approx(np.sqrt((1e-4 + 4e-4 + 9e-4) / 3))
    assert second["mask_rle"] == {"size": [400, 640], "counts": "abc2"} and second["moving"] is True


def test_object_rows_count_question_frames_and_keep_objects_without_words(info: ClipInfo, track: ObjectTrack) -> None:
    hidden = np.zeros(T, bool)
    hidden[1] = True  # a measuring frame that no question frame is
    unseen = replace(track, object_id="obj_2", visible=hidden, centroid_m=np.where(hidden[:, None], 1.0, np.nan))
    words = [Description("obj_1", "ball", "the red ball", "geometry")]
    rows = table_of(object_rows(info, [unseen, track], words), tables.OBJECTS).to_pylist()
    assert [(r["object_id"], r["first_frame"], r["last_frame"], r["description"]) for r in rows] == [
        ("obj_1", 0, 1, "the red ball"),
        ("obj_2", None, None, ""),
    ]


def test_a_clip_row_says_how_to_find_its_frames(info: ClipInfo) -> None:
    row = table_of([clip_row(info, "street/a", "train")], tables.CLIPS).to_pylist()[0]
    assert row["video_index"] == [0, 6, 18] and row["source_index"] == [10, 16, 28] and row["num_frames"] == 3
    assert row["frame_times_s"] == pytest.approx([0, 2 / 7, 6 / 7]) and row["fps"] == pytest.approx(21)
    assert row["video"] == f"videos/{info.clip_id}.mp4" and row["assumed"] == ["hfov_deg"] and row["split"] == "train"
