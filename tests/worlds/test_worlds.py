from __future__ import annotations

import numpy as np
import pytest

from curation.geometry import inverse
from curation.worlds import make_world
from curation.worlds.bodies import BUILDERS
from curation.worlds.exact import truth_of
from curation.worlds.motion import CAMERAS, Motion
from curation.worlds.render import render_frame
from curation.worlds.truth import load_truth, save_truth

SMALL = {"width": 96, "height": 60, "frames": 8, "fps": 2.0}


def test_the_world_frame_is_the_left_camera_of_frame_0(orbit, street):
    for world in (orbit, street):
        assert np.allclose(world.truth.world_from_camera[0], np.eye(4), atol=1e-12)


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    frames = [render_frame(make_world(seed, **SMALL), 3)[0] for seed in (7, 7, 8)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_noise_differs_between_frames_and_eyes():
    world = make_world(3, camera="static", movers=0, parked=0, noise=2.0, **SMALL)
    left, right = render_frame(world, 0)
    later, _ = render_frame(world, 1)
    assert 1.0 < (left.astype(float) - later).std() < 6.0
    assert not np.array_equal(left, right)


@pytest.mark.parametrize("camera", sorted(CAMERAS))
def test_a_camera_moves_as_its_name_says(camera):
    truth = truth_of(make_world(11, camera=camera, movers=0, parked=0, scene="outdoor", **SMALL), keep_depth=False)
    centers = truth.world_from_camera[:, :3, 3]
    moved = centers[-1] - centers[0]
    turned = np.degrees(np.arccos(np.clip((np.trace(truth.world_from_camera[-1, :3, :3]) - 1) / 2, -1, 1)))
    if camera in ("static", "pan"):
        assert np.abs(centers).max() < 1e-9
    if camera == "pan":
        assert turned > 8
    if camera in ("forward", "fast"):
        assert moved[2] > 5 * abs(moved[0]) and moved[2] > 0.8
    if camera == "backward":
        assert moved[2] < -0.8
    if camera == "sideways":
        assert abs(moved[0]) > 0.8 and abs(moved[2]) < 1e-9
    if camera == "orbit":
        assert turned > 12 and np.linalg.norm(moved) > 1
    if camera == "fast":
        assert moved[2] > 10


def test_a_parked_body_stands_still_and_a_mover_moves():
    for seed in range(3):
        truth = truth_of(make_world(seed, movers=2, parked=2, **SMALL), keep_depth=False)
        for body in range(len(truth.names)):
            wander = np.linalg.norm(truth.points_m[body] - truth.points_m[body][0], axis=-1).max()
            assert (wander > 0.05) == truth.is_mover[body] == truth.moving[:, body].any()


def test_stop_and_go_says_when_it_stands():
    truth = truth_of(
        make_world(2, movers=1, parked=0, profile="stop_and_go", category="crate", event="free", **SMALL), keep_depth=False
    )
    step = np.linalg.norm(np.diff(truth.centroid_m[:, 0], axis=0), axis=1)
    assert truth.moving[:, 0].any() and not truth.moving[:, 0].all()
    for frame in range(1, len(step)):
        if step[frame - 1] > 0.05 and step[frame] > 0.05:
            assert truth.moving[frame, 0]


def test_bodies_keep_clear_of_each_other_and_of_the_camera():
    for seed in range(6):
        world = make_world(seed, movers=4, parked=3, event="free", **SMALL)
        for t in world.times_s:
            camera = world.scene_from_camera(t)[:3, 3]
            for k, a in enumerate(world.bodies):
                at = a.motion.at(t)[:3, 3]
                assert np.hypot(*(at - camera)[[0, 2]]) > a.radius_m
                for b in world.bodies[:k]:
                    assert np.hypot(*(at - b.motion.at(t)[:3, 3])[[0, 2]]) > a.radius_m + b.radius_m


def test_touching_bodies_touch():
    for seed in range(40):
        world = make_world(seed, movers=2, parked=0, event="touching", scene="outdoor", **SMALL)
        if len(world.bodies) == 2:
            break
    else:
        pytest.fail("no seed of 40 had room for two bodies in contact")
    a, b = (body.motion.at(1.0)[:3, 3] for body in world.bodies)
    reach = (world.bodies[0].size_m[2] + world.bodies[1].size_m[2]) / 2
    assert np.linalg.norm(a - b) == pytest.approx(reach + 0.01, abs=1e-6)


def test_a_crossing_body_disappears_behind_the_pillar_and_comes_out_again():
    hidden = 0
    for seed in range(6):
        world = make_world(seed, camera="static", movers=1, parked=0, event="crossing", category="person", frames=20, fps=5.0,
                           width=160, height=100)  # fmt: skip
        if not world.bodies:
            continue
        seen = truth_of(world, keep_depth=False).visible_fraction[:, 0]
        lowest = int(seen.argmin())
        hidden += seen[lowest] < 0.35 and seen[:lowest].max(initial=0) > 0.8 and seen[lowest:].max() > 0.8
    assert hidden >= 2


@pytest.mark.parametrize("category", sorted(BUILDERS))
def test_every_kind_of_body_stands_on_the_ground_within_its_box(category):
    body = make_world(1, movers=1, parked=0, category=category, scene="outdoor", event="free", **SMALL).bodies[0]
    for t in (0.0, 0.3, 1.7):
        points = body.mesh_at(t).corners_m.reshape(-1, 3)
        assert points[:, 1].max() == pytest.approx(0, abs=0.1 if category == "person" else 0.01)  # a walker lifts its feet
    local = (points - body.motion.at(t)[:3, 3]) @ body.motion.at(t)[:3, :3]
    assert np.abs(local[:, [0, 2]]).max() <= max(body.size_m[0], body.size_m[2]) * 0.75
    assert -points[:, 1].min() == pytest.approx(body.size_m[1], rel=0.15)


def test_a_walkers_limbs_swing_and_a_rolling_ball_rolls():
    walker = make_world(1, movers=1, parked=0, category="person", profile="steady", event="free", **SMALL).bodies[0]
    legs = [walker.scene_from_parts(t)[1, :3, :3] @ [0, 1, 0] for t in np.linspace(0, 2, 9)]
    assert np.ptp(np.array(legs)[:, [0, 2]], axis=0).max() > 0.2
    ball = make_world(1, movers=1, parked=0, category="rolling_ball", profile="steady", event="free", **SMALL).bodies[0]
    radius, step = ball.size_m[1] / 2, 1e-5
    contact = np.linalg.inv(ball.scene_from_parts(1.0)[0]) @ [*(ball.motion.at(1.0)[:3, 3]), 1]  # the point on the ground
    speed = (ball.scene_from_parts(1.0 + step)[0] - ball.scene_from_parts(1.0)[0]) @ contact / step
    assert radius > 0.1 and np.linalg.norm(speed[:3]) < 0.01  # it rolls without slipping


@pytest.mark.parametrize("profile", ["steady", "accelerate", "brake", "stop_and_go", "there_and_back", "turn", "stand"])
def test_a_motion_is_continuous(profile):
    motion = Motion((1.0, 2.0), 0.7, profile, 3.0, 4.0, curvature=0.2, spin_rad_s=0.5)
    poses = np.stack([motion.at(t) for t in np.linspace(-0.05, 4.05, 821)])
    assert np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max() < 0.015
    assert np.abs(poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2) - np.eye(3)).max() < 1e-12


def test_points_are_the_same_material_points_at_every_frame(street):
    truth = street.truth
    for body in np.flatnonzero(truth.rigid):
        for frame in (0, 2):
            local = np.einsum("ij,mj->mi", inverse(truth.world_from_piece[body][frame, 0])[:3, :3],
                              truth.points_m[body][frame] - truth.world_from_piece[body][frame, 0][:3, 3])  # fmt: skip
            assert np.allclose(local, truth.model_m[body], atol=1e-9)


def test_the_truth_survives_saving_and_loading(tmp_path, street):
    save_truth(street.truth, tmp_path)
    back = load_truth(tmp_path)
    assert back.names == street.truth.names and back.info == street.truth.info and back.colours == street.truth.colours
    for name in ("world_from_camera", "moving", "is_mover", "rigid", "world_from_object", "labels", "visible_fraction", "depth_m",
                 "centroid_m", "spread"):  # fmt: skip
        assert np.array_equal(getattr(back, name), getattr(street.truth, name)), name
    for body in range(len(back.names)):
        assert np.array_equal(back.points_m[body], street.truth.points_m[body])


def test_an_unfinished_truth_is_named_as_such(tmp_path):
    with pytest.raises(FileNotFoundError, match="truth.npz"):
        load_truth(tmp_path)


@pytest.mark.parametrize(("option", "value"), [("camera", "zoom"), ("texture", "soft"), ("event", "party"), ("profile", "jump")])
def test_an_unknown_option_is_refused_with_the_known_ones(option, value):
    with pytest.raises(ValueError, match=f"expected {option} out of .*got '{value}'"):
        make_world(0, **{option: value})


def test_clip_frames_hold_all_frames_and_32_question_frames(orbit):
    clip = orbit.clip_frames()
    assert clip.stereo and len(clip.left) == 4 and len(clip.question) == 32
    assert clip.question[0] == 0 and clip.question[-1] == 3 and clip.camera == orbit.world.camera
