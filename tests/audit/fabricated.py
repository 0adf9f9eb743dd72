"""A truth and a run made by hand, with answers that can be worked out on paper.

The camera goes along the world's +Z by 0.1 m a frame and turns to the right by 2 deg a frame. Body 0 (a mover) goes along -X by
0.05 m a frame; body 1 stands; body 2 (a mover) goes along +Z by 0.2 m a frame. The published clip starts at source frame 6 and
asks about every source frame from there, 32 in all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as coco

from curation.geometry import pose
from curation.worlds.motion import yaw
from curation.worlds.truth import Truth, save_truth
from schemas.tables import PUBLISHED

FRAMES, FIRST, QUESTIONS = 40, 6, 32
VIEW = {"fx": 50.0, "fy": 50.0, "cx": 40.0, "cy": 25.0, "width": 80, "height": 50}
STEPS = np.array([[-0.05, 0, 0], [0, 0, 0], [0, 0, 0.2]])
STARTS = np.array([[1.0, 0, 6.0], [-1.0, 0, 8.0], [0.0, 0, 9.0]])
BOXES = ((50, 10, 70, 30), (5, 20, 20, 40), (30, 22, 42, 30))  # x0, y0, x1, y1 of the masks, the same at every frame


def truth() -> Truth:
    cameras = np.stack([pose(yaw(np.radians(2.0 * n)), np.array([0, 0, 0.1 * n])) for n in range(FRAMES)])
    poses = np.stack([[pose(np.eye(3), s + n * d) for s, d in zip(STARTS, STEPS, strict=True)] for n in range(FRAMES)])
    labels = np.zeros((FRAMES, VIEW["height"], VIEW["width"]), np.uint8)
    for body, (x0, y0, x1, y1) in enumerate(BOXES):
        labels[:, y0:y1, x0:x1] = body + 1
    cube = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.2, 0.2) for z in (-0.2, 0.2)])
    moves = np.array([True, False, True])
    return Truth(
        cameras,
        ("red_van_0", "blue_car_1", "green_ball_2"),
        ("van", "car", "ball"),
        ("red", "blue", "green"),
        moves,
        np.ones(3, bool),
        np.tile(moves, (FRAMES, 1)),
        poses,
        (cube,) * 3,
        (np.zeros(8, int),) * 3,
        tuple(poses[:, k][:, None] for k in range(3)),
        np.full(3, 8),
        labels,
        None,
        np.ones((FRAMES, 3)),
        {"fps": 10.0, "baseline_m": 0.1, "camera": VIEW, "scenario": {}, "seed": 0},
    )


def box_mask(box: tuple[int, int, int, int]) -> dict[str, Any]:
    mask = np.zeros((VIEW["height"], VIEW["width"]), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    rle = coco.encode(np.asfortranarray(mask))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


class Run:
    """Rows of the published tables of one clip; change them, then write."""

    def __init__(self, source: str = "world_a") -> None:
        true = truth()
        self.source = source
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in PUBLISHED}
        frames = [FIRST + k for k in range(QUESTIONS)]
        self.rows["clips"] = [
            {
                "clip_id": "c1",
                "source": source,
                "source_sha256": f"sha-{source}",
                "width": 80,
                "height": 50,
                "num_frames": QUESTIONS,
                "source_index": frames,
                "video_index": list(range(QUESTIONS)),
                "split": "train",
                "layout": "pair",
            }
        ]
        clip_from_world = np.linalg.inv(true.world_from_camera[FIRST])
        for k, n in enumerate(frames):
            intrinsics = {key: VIEW[key] for key in ("fx", "fy", "cx", "cy")}
            matrix = (clip_from_world @ true.world_from_camera[n]).ravel().tolist()
            self.rows["cameras"].append(
                {
                    "clip_id": "c1",
                    "frame": k,
                    "time_s": k / 10,
                    **intrinsics,
                    "world_from_camera": matrix,
                    "position_sigma_m": 0.001 * bool(k),
                    "scale": "metric",
                }
            )
        for body, name in ((0, "obj_1"), (2, "obj_2")):
            self.add_object(name, body, BOXES[body])

    def add_object(self, object_id: str, body: int, box: tuple[int, int, int, int]) -> None:
        """An object with a mask ``box`` whose centre moves as the body does."""
        true = truth()
        clip_from_world = np.linalg.inv(true.world_from_camera[FIRST])
        self.rows["objects"].append(
            {"clip_id": "c1", "object_id": object_id, "category": "thing", "description": f"the {object_id}"}
        )
        for k in range(QUESTIONS):
            place = clip_from_world @ [*true.centroid_m[FIRST + k, body], 1]
            self.rows["tracks"].append(
                {
                    "clip_id": "c1",
                    "object_id": object_id,
                    "frame": k,
                    "time_s": k / 10,
                    "visible": True,
                    "centroid_m": place[:3].tolist(),
                    "centroid_sigma_m": 0.01,
                    "mask_rle": box_mask(box),
                    "moving": True,
                }
            )

    def ask(
        self,
        kind: str,
        i: int,
        j: int,
        options: list[str],
        answer: str,
        value: float,
        *,
        object_id: str = "",
        label: str = "",
        sigma: float = 0.01,
        table: str = "sft",
        margin: float = 9.0,
    ) -> str:
        """A fact and a question about it; returns the question's id."""
        fact_id = f"c1:{kind}:{object_id or 'camera'}:{i}-{j}"
        number = f"q{len(self.rows['sft']) + len(self.rows['bench'])}"
        self.rows["facts"].append(
            {
                "fact_id": fact_id,
                "clip_id": "c1",
                "kind": kind,
                "object_id": object_id,
                "other_object_id": "",
                "frame_i": i,
                "frame_j": j,
                "value": value,
                "unit": "m",
                "label": label,
                "sigma": sigma,
                "margin": margin,
                "threshold": 3.0,
                "details": json.dumps({}),
            }
        )
        self.rows[table].append(
            {
                "id": number,
                "clip_id": "c1",
                "kind": kind,
                "question": f"{kind} {i} {j} {number}",
                "options": options,
                "answer": answer,
                "answer_text": options[ord(answer) - 65],
                "answer_value": None if label else value,
                "object_id": object_id,
                "frame_i": i,
                "frame_j": j,
                "fact_ids": [fact_id],
            }
        )
        return number

    def write(self, folder: Path) -> tuple[Path, Path]:
        """(run folder, truth folder)."""
        run, worlds = folder / "run", folder / "worlds"
        for name, rows in self.rows.items():
            if rows:
                path = run / "publish" / name / "train-00000-of-00001.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(pa.Table.from_pylist(rows, schema=PUBLISHED[name]), path)
        save_truth(truth(), worlds / self.source / "truth")
        return run, worlds
