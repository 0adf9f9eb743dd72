"""Arrow schemas of the published tables. Column names are a contract with other tools: add, never rename."""

from __future__ import annotations

import pyarrow as pa

_s, _f, _i, _b = pa.string(), pa.float64(), pa.int32(), pa.bool_()
_vec = pa.list_(_f)
_turn = pa.struct([("role", _s), ("content", _s)])
_centres = pa.list_(pa.list_(_f))

CLIPS = pa.schema(
    [
        ("clip_id", _s),
        ("source", _s),
        ("source_sha256", _s),
        ("start_s", _f),
        ("end_s", _f),
        ("fps", _f),
        ("width", _i),
        ("height", _i),
        ("num_frames", _i),  # question frames
        ("frame_times_s", _vec),  # of the question frames, since the clip's start
        ("layout", _s),
        ("split", _s),
        ("video", _s),  # relative to the publish folder
        ("video_index", pa.list_(_i)),  # frame of the mp4 that each question frame is
        ("source_index", pa.list_(_i)),  # decoded frame of the source that each question frame is
        ("baseline_m", _f),
        ("assumed", pa.list_(_s)),  # calibration values that were assumed, not given
    ]
)
CAMERAS = pa.schema(
    [
        ("clip_id", _s),
        ("frame", _i),
        ("time_s", _f),
        ("fx", _f),
        ("fy", _f),
        ("cx", _f),
        ("cy", _f),
        ("world_from_camera", _vec),  # 16, row-major; null where the path is not metric
        ("position_sigma_m", _f),
        ("scale", _s),  # "metric" or "relative": relative poses stand in relative_from_camera, never in world_from_camera
        ("relative_from_camera", _vec),
    ]
)
OBJECTS = pa.schema(
    [
        ("clip_id", _s),
        ("object_id", _s),
        ("category", _s),
        ("description", _s),
        ("description_source", _s),
        ("first_frame", _i),
        ("last_frame", _i),
    ]
)
TRACKS = pa.schema(
    [
        ("clip_id", _s),
        ("object_id", _s),
        ("frame", _i),
        ("time_s", _f),
        ("visible", _b),
        ("centroid_m", _vec),
        ("centroid_sigma_m", _f),
        ("nearest_m", _f),  # distance from that frame's camera to the object's nearest point
        ("num_points", _i),
        ("bbox_xyxy_px", _vec),
        ("mask_rle", pa.struct([("size", pa.list_(_i)), ("counts", _s)])),
        ("nearest_sigma_m", _f),
        ("moving", _b),
    ]
)
FACTS = pa.schema(
    [
        ("fact_id", _s),
        ("clip_id", _s),
        ("kind", _s),
        ("object_id", _s),
        ("other_object_id", _s),
        ("frame_i", _i),
        ("frame_j", _i),
        ("value", _f),
        ("unit", _s),
        ("label", _s),
        ("sigma", _f),
        ("margin", _f),
        ("threshold", _f),
        ("details", _s),  # JSON
    ]
)
SFT = pa.schema(
    [
        ("id", _s),
        ("clip_id", _s),
        ("video", _s),
        ("kind", _s),
        ("question", _s),
        ("options", pa.list_(_s)),
        ("answer", _s),
        ("answer_text", _s),
        ("answer_value", _f),
        ("object_id", _s),
        ("frame_i", _i),
        ("frame_j", _i),
        ("fact_ids", pa.list_(_s)),
        ("messages", pa.list_(_turn)),
        ("generator", _s),
        ("run_id", _s),
        ("answer_sigma", _f),  # one-sigma uncertainty of answer_value, same unit; null where the answer is a label
    ]
)
BENCH = SFT
ST_COT = pa.schema(
    [
        *SFT,
        ("thinking", _s),
        ("response", _s),
        ("camera_center", _centres),
        ("object_center", _centres),
        ("reward", _f),
        ("reward_accuracy", _f),
        ("reward_format", _f),
        ("reward_camera", _f),
        ("reward_object", _f),
        ("path", _i),
        ("rewritten_by", _s),  # "template", or the model that wrote the text
        ("reward_paper", _f),  # the same parts in the paper's weights; `reward` has those of the public code
        ("register", _s),  # qualitative or quantitative
    ]
)
RFT = pa.schema(
    [
        *SFT,
        ("solution", pa.list_(pa.struct([("answer", _s), ("camera_center", _centres), ("object_center", _centres)]))),
        ("motion_score", _f),
    ]
)
QUARANTINE = pa.schema([("clip_id", _s), ("source", _s), ("stage", _s), ("kind", _s), ("message", _s), ("attempts", _i)])

PUBLISHED: dict[str, pa.Schema] = {
    "clips": CLIPS,
    "cameras": CAMERAS,
    "objects": OBJECTS,
    "tracks": TRACKS,
    "facts": FACTS,
    "sft": SFT,
    "st_cot": ST_COT,
    "rft": RFT,
    "bench": BENCH,
}
