import dataclasses
import pickle

import numpy as np
import pytest

from schemas import tables
from schemas.clip import ClipSpec, Source
from schemas.config import Config
from schemas.outcome import Rejected
from schemas.run_folder import PUBLISHED_TABLES
from schemas.track import Fact

_SOURCE = Source("street/a", "pair", "/in/left.mp4", "/in/right.mp4", "ab" * 32, None, {"hfov_deg": 60.0}, 0.12, ())


def _spec(source: Source = _SOURCE, start: int = 0) -> ClipSpec:
    return ClipSpec(source, start, 90, start / 30, 3.0, "{}")


def test_a_clip_keeps_its_id_when_its_files_move() -> None:
    moved = dataclasses.replace(_SOURCE, name="other/name", left="/elsewhere/left.mp4")
    assert _spec(moved).clip_id == _spec().clip_id


@pytest.mark.parametrize("change", [{"baseline_m": 0.13}, {"sha256": "cd" * 32}, {"layout": "side_by_side"}, {"fps": 10.0}])
def test_a_clip_with_other_pixels_or_geometry_has_another_id(change: dict[str, object]) -> None:
    assert _spec(dataclasses.replace(_SOURCE, **change)).clip_id != _spec().clip_id
    assert _spec(start=3).clip_id != _spec().clip_id


def test_a_clip_spec_survives_json() -> None:
    assert ClipSpec.from_json(_spec().to_json()) == _spec()


def test_a_rejection_survives_the_way_out_of_a_child_process() -> None:
    back = pickle.loads(pickle.dumps(Rejected("too_dark", "mean 3 of 255")))
    assert (back.reason, back.detail) == ("too_dark", "mean 3 of 255")


def test_a_rejection_reason_is_one_countable_word() -> None:
    with pytest.raises(ValueError, match="snake_case"):
        Rejected("Too dark!")


def test_every_published_table_has_a_schema_with_the_agreed_columns() -> None:
    assert set(tables.PUBLISHED) == set(PUBLISHED_TABLES)
    agreed = {
        "clips": "clip_id source source_sha256 start_s end_s fps width height num_frames frame_times_s layout split video",
        "cameras": "clip_id frame time_s fx fy cx cy world_from_camera position_sigma_m",
        "objects": "clip_id object_id category description description_source first_frame last_frame",
        "tracks": "clip_id object_id frame time_s visible centroid_m centroid_sigma_m nearest_m num_points bbox_xyxy_px mask_rle",
        "facts": "fact_id clip_id kind object_id other_object_id frame_i frame_j value unit label sigma margin threshold",
        "sft": "id clip_id video kind question options answer answer_text answer_value object_id frame_i frame_j fact_ids "
        "messages generator run_id",
        "st_cot": "thinking response camera_center object_center reward path rewritten_by",
        "rft": "solution motion_score",
        "bench": "id clip_id question options answer",
    }
    for name, columns in agreed.items():
        missing = set(columns.split()) - set(tables.PUBLISHED[name].names)
        assert not missing, f"{name} lacks {missing}"


def test_an_unknown_option_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="question_framez"):
        Config.model_validate({"video": {"question_framez": 16}})


def test_a_fact_without_a_finite_margin_is_not_safe() -> None:
    fact = Fact("c", "camera_distance", "", "", 0, 31, 1.0, "m", "", 0.01, float("nan"), 3.0)
    assert not fact.safe
    assert dataclasses.replace(fact, margin=3.0).safe
    assert not dataclasses.replace(fact, margin=np.nextafter(3.0, 0)).safe
