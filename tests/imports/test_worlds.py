"""A rendered world's truth, imported: exact tracks and facts, and refusals where an annotation does not fit the pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.imports import Annotation, Doubt, imported_objects, imported_path
from curation.imports.bodies import from_depth
from curation.imports.cameras import agreement
from pipelines import stages
from pipelines.clip import Clip
from pipelines.stages import STAGES, fingerprints
from schemas.camera import CameraPath
from schemas.outcome import Rejected
from schemas.track import ObjectTrack
from tests.imports.conftest import CONFIG, Annotated


def path_of(world: Annotated, annotation: Annotation | None = None) -> CameraPath:
    return imported_path(annotation or world.annotation, world.frames, CONFIG.imports)


def moved_by(world: Annotated, number: int) -> float:
    places = world.truth.centroid_m[world.frames.source_index, number - 1]
    return float(np.linalg.norm(places[:, None] - places[None], axis=2).max())


def tracks_of(world: Annotated, annotation: Annotation) -> list[ObjectTrack]:
    return imported_objects(annotation, world.frames, path_of(world, annotation), CONFIG)[0]


def test_the_path_is_the_true_one_and_says_that_it_was_imported(world: Annotated) -> None:
    path = path_of(world)
    np.testing.assert_allclose(path.world_from_camera, world.truth.world_from_camera[world.frames.source_index], atol=1e-12)
    assert path.stats["agreeing_corners"] > 0.8 and path.stats["imported_from"] == "rendered world"
    assert not path.static and not path.covariance.any()  # its maker states that it has no error


def test_tracks_of_labelled_points_are_exact_and_parked_bodies_are_left_out(world: Annotated) -> None:
    tracks = tracks_of(world, world.annotation)
    found = {t.stats["annotated"] for t in tracks}
    assert len(tracks) >= 2 and all(world.truth.is_mover[n - 1] for n in found)
    parked = [k + 1 for k, moves in enumerate(world.truth.is_mover) if not moves and world.annotation.points is not None]
    assert not found & set(parked)
    for track in tracks:
        k = track.stats["annotated"] - 1
        true = world.truth.centroid_m[world.frames.source_index, k]
        np.testing.assert_allclose(track.centroid_m[track.visible], true[track.visible], atol=1e-9)
        points = world.truth.points_m[k][world.frames.source_index]
        centres = world.truth.world_from_camera[world.frames.source_index, :3, 3]
        nearest = np.linalg.norm(points - centres[:, None], axis=2).min(1)
        mine = np.linalg.norm(track.points_m - centres[:, None], axis=2).min(1)
        assert (np.abs(mine - nearest) <= 2 * track.points_sigma_m + 1e-6)[track.visible].all()


def test_a_whole_line_runs_on_annotations_alone(world: Annotated, tmp_path: Path) -> None:
    clip = Clip(world.spec, CONFIG, tmp_path)
    clip.folder.mkdir(parents=True)
    for stage in (stages.video, stages.cameras, stages.objects, stages.relations):
        stage(clip)
    facts = [f for f in clip.facts if f.kind == "object_distance"]
    assert facts and any(f.safe for f in facts)
    annotated = {t.object_id: t.stats["annotated"] for t in clip.tracks}
    for fact in facts:
        i, j = (world.frames.source_index[world.frames.question[q]] for q in (fact.frame_i, fact.frame_j))
        places = world.truth.centroid_m[:, annotated[fact.object_id] - 1]
        assert fact.value == pytest.approx(float(np.linalg.norm(places[j] - places[i])), abs=1e-6)
    words = {d.object_id: d for d in clip.descriptions}
    for object_id, number in annotated.items():
        assert words[object_id].category == world.truth.categories[number - 1]
        assert not words[object_id].text or world.truth.categories[number - 1] in words[object_id].text


def test_other_annotations_are_other_work_and_can_be_switched_off(world: Annotated) -> None:
    before = fingerprints(world.spec, CONFIG, STAGES)
    source = replace(world.spec.source, annotations_sha256="0" * 64)
    after = fingerprints(replace(world.spec, source=source), CONFIG, STAGES)
    assert before["video"] == after["video"] and before["cameras"] != after["cameras"] and before["objects"] != after["objects"]
    assert world.spec.clip_id == replace(world.spec, source=source).clip_id
    off = CONFIG.model_copy(update={"imports": CONFIG.imports.model_copy(update={"use": False})})
    assert Clip(world.spec, off, Path("/nowhere")).annotation is None


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(np.linalg.inv, id="camera_from_world"),
        pytest.param(lambda poses: poses @ np.diag([1.0, -1, -1, 1]), id="OpenGL axes"),
        pytest.param(lambda poses: poses[::-1], id="backwards in time"),
    ],
)
def test_poses_that_the_video_contradicts_are_refused(world: Annotated, mistake) -> None:
    wrong = replace(world.annotation, world_from_camera=np.ascontiguousarray(mistake(world.truth.world_from_camera)))
    with pytest.raises(Rejected, match="annotation_disagrees"):
        path_of(world, wrong)


def test_agreement_holds_for_any_point_in_front_of_the_camera_and_needs_motion(world: Annotated) -> None:
    share, pairs = agreement(world.frames, path_of(world).world_from_camera)
    assert share > 0.8 and pairs >= 3
    still = replace(world.frames, left=np.repeat(world.frames.left[:1], len(world.frames.left), axis=0))
    assert agreement(still, path_of(world).world_from_camera)[1] == 0


def test_a_clip_beyond_the_annotated_frames_is_refused(world: Annotated) -> None:
    with pytest.raises(Rejected, match="covers frames 0 to 9"):
        path_of(world, replace(world.annotation, world_from_camera=world.truth.world_from_camera[:10]))
    holes = world.truth.world_from_camera.copy()
    holes[7] = np.nan
    with pytest.raises(Rejected, match="1 frames of the clip have no pose"):
        path_of(world, replace(world.annotation, world_from_camera=holes))


def test_points_of_another_world_frame_are_refused(world: Annotated) -> None:
    points = world.annotation.points
    assert points is not None
    moved = replace(points, xyz_m=points.xyz_m + [3.0, 0.0, 0.0])
    with pytest.raises(Rejected, match="fall into their masks"):
        tracks_of(world, replace(world.annotation, points=moved))


def test_labels_that_jitter_within_their_stated_error_do_not_move(world: Annotated) -> None:
    points = world.annotation.points
    assert points is not None
    # Every body stands still; each of its labels errs by 5 cm as a whole, independently from frame to frame.
    first = {int(t): points.xyz_m[points.track == t][0] for t in np.unique(points.track)}
    rng = np.random.default_rng(5)
    shake = rng.normal(0, 0.05, (world.annotation.frames, int(points.number.max()) + 1, 3))
    places = np.array([first[int(t)] for t in points.track]) + shake[points.frame, points.number[points.track]]
    shaken = replace(
        world.annotation, points=replace(points, xyz_m=places), mask=None,
        doubt=replace(world.annotation.doubt, point_sigma_m=0.1, point_sigma_rel=0.0),
    )  # fmt: skip
    assert tracks_of(world, shaken) == []


def test_masks_with_depth_give_displacements_within_their_sigma(world: Annotated) -> None:
    index, path = world.frames.source_index, path_of(world)
    judged = 0
    for named in world.annotation.objects:
        body = from_depth(world.annotation, named.number, index, path.world_from_camera, world.frames.camera, CONFIG.imports)
        if body is None or body.known.sum() < 8:
            continue
        off = (body.centroid_m - world.truth.centroid_m[index, named.number - 1])[body.known]
        sigma = np.sqrt(body.centroid_cov_m2[body.known, 0, 0])
        z = (off[:, None] - off[None]) / np.hypot(sigma[:, None], sigma[None])[..., None]
        assert np.abs(z).max() < 4 and (np.abs(z) < 2).mean() > 0.9
        judged += 1
    assert judged >= 2


def test_unlabelled_tracks_become_objects_where_they_share_a_motion(world: Annotated) -> None:
    points = world.annotation.points
    assert points is not None
    seen = replace(points, number=np.full(len(points.number), -1))
    tracks = tracks_of(world, replace(world.annotation, points=seen, mask=None, doubt=Doubt()))
    assert tracks
    true = world.truth.centroid_m[world.frames.source_index]
    for track in tracks:
        use = np.flatnonzero(track.visible)
        way = track.centroid_m[use[-1]] - track.centroid_m[use[0]]
        errors = [np.linalg.norm(way - (true[use[-1], k] - true[use[0], k])) for k in range(true.shape[1])]
        assert min(errors) < 0.05 + 0.05 * np.linalg.norm(way)
        assert world.truth.is_mover[int(np.argmin(errors))]
