"""The fabricated run of ``tests.audit`` with a video and all that the pages show, and a reader of pages."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from curation.video.encode import ClipWriter
from tests.audit.fabricated import BOXES, QUESTIONS, Run

LENGTHS = ["0.50 m", "1.00 m", "2.00 m", "4.00 m"]


def run_with_video(folder: Path, source: str = "world_a") -> tuple[Path, Path]:
    """A run with four questions, one of them with a wrong label (the second), and its truth: (run, worlds)."""
    run = Run(source)
    times = [k / 10 for k in range(QUESTIONS)]
    row = run.rows["clips"][0]
    row |= {"start_s": 0.6, "end_s": 3.8, "fps": 10.0, "frame_times_s": times, "video": "videos/c1.mp4", "baseline_m": 0.1}
    for track in run.rows["tracks"]:
        box = BOXES[0] if track["object_id"] == "obj_1" else BOXES[2]
        track |= {"bbox_xyxy_px": list(map(float, box)), "nearest_m": 5.0 + track["frame"] / 10, "nearest_sigma_m": 0.05}
    run.ask("camera_distance", 0, 20, LENGTHS, "C", 2.0)
    run.ask("object_distance", 2, 22, LENGTHS, "A", 0.5, object_id="obj_1")
    run.ask("object_distance", 0, 20, LENGTHS, "B", 1.0, object_id="obj_1")
    run.ask("camera_direction", 0, 5, ["Left", "Right", "Forward", "Backward"], "C", 0.489, label="forward")
    paths = run.write(folder)
    grey = np.full((50, 80, 3), 90, np.uint8)
    with ClipWriter(paths[0] / "publish" / "videos" / "c1.mp4", 80, 50, 10.0, 18) as writer:
        for k in range(QUESTIONS):
            picture = grey.copy()
            picture[:10, : 2 * k + 2] = 230  # a bar that says which frame it is
            writer.add(picture)
        writer.finish(times)
    return paths


class Page(HTMLParser):
    """Tags with their attributes, the text, and the JSON of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.json: list[Any] = []
        self._in_json = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_json = tag == "script" and dict(attrs).get("type") == "application/json"

    def handle_endtag(self, tag: str) -> None:
        self._in_json = False

    def handle_data(self, data: str) -> None:
        if self._in_json:
            self.json.append(json.loads(data))
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def links(self) -> list[str]:
        """Everything that the page refers to."""
        return [value for _, attrs in self.tags for name, value in attrs.items() if name in ("src", "href", "data") and value]
