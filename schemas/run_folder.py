"""The names of the files and folders of a run, in one place."""

from __future__ import annotations

RUN_JSON = "run.json"
CONFIG = "config.resolved.yaml"
LEDGER = "ledger"
CLIPS = "clips"
QUARANTINE = "quarantine.parquet"
PUBLISH = "publish"
LOCK = ".lock"
LOGS = "logs"

# inside clips/<clip_id>/
CLIP_JSON = "clip.json"  # the clip's spec and its row of the `clips` table
CLIP_VIDEO = "clip.mp4"
CAMERAS = "cameras.parquet"
CAMERA_PATH = "camera_path.npz"  # what later stages need beyond the table (measuring frames, covariance)
OBJECTS = "objects.parquet"
TRACKS = "tracks.parquet"
TRACK_ARRAYS = "tracks.npz"
FACTS = "facts.parquet"
QUESTIONS = "questions.parquet"
SELECTED = "selected.parquet"  # the clip's questions that the run publishes, with their final options
REASONING = "reasoning.parquet"
RFT = "rft.parquet"

# inside publish/
CARD = "README.md"
VIDEOS = "videos"
PUBLISHED_TABLES = ("clips", "cameras", "objects", "tracks", "facts", "sft", "st_cot", "rft", "bench")


def clip_folder(clip_id: str) -> str:
    """Folder of one clip, relative to the run folder."""
    return f"{CLIPS}/{clip_id}"
