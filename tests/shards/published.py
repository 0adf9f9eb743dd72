"""A small dataset folder with every training table, made by the rooms that make the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.questions.options import LETTERS, listed
from curation.reasoning.chain import prompt
from curation.shards.writer import ShardWriter, table_of
from schemas import tables

KINDS = ("camera_distance", "camera_direction", "object_camera_distance", "object_camera_lateral")
OPTIONS = {
    "camera_distance": ["0.20 m", "0.40 m", "0.80 m", "1.60 m"],
    "camera_direction": ["Left", "Right", "Forward"],
    "object_camera_distance": ["1.0 m", "2.0 m", "4.0 m", "8.0 m"],
    "object_camera_lateral": ["to the left", "to the right"],
}


def question(clip_id: str, n: int) -> dict[str, Any]:
    """Row ``n`` of ``sft``."""
    kind = KINDS[n % len(KINDS)]
    options = OPTIONS[kind]
    place = (n // len(KINDS)) % len(options)
    asked = f'Question {n}: "how" {kind} – ?'
    return {
        "id": f"{clip_id}_{kind}_{n:04d}",
        "clip_id": clip_id,
        "video": f"videos/{clip_id}.mp4",
        "kind": kind,
        "question": asked,
        "options": options,
        "answer": LETTERS[place],
        "answer_text": options[place],
        "answer_value": float(options[place].split()[0]) if options[0].endswith("m") else None,
        "object_id": "" if kind.startswith("camera") else "obj_1",
        "frame_i": 0,
        "frame_j": 31,
        "fact_ids": [],
        "messages": [
            {"role": "user", "content": f"<video>\n{asked}\n{listed(options)}\nReply with one letter only."},
            {"role": "assistant", "content": LETTERS[place]},
        ],
        "generator": "test",
        "run_id": "r1",
    }


def states(row: dict[str, Any]) -> dict[str, Any]:
    """Camera and object centres as the real tables have them: None where the question needs none."""
    about = not row["kind"].startswith("camera")
    return {"camera_center": [[0.0, 0, 0], [0.3, 0, 0.9]], "object_center": [[1.2, 0.1, 4.5], [0.4, 0.1, 3.1]] if about else None}


def response(row: dict[str, Any]) -> str:
    """A chain of thought without a fault."""
    given = states(row)
    lines = ["I look at both frames for a while."]
    for n, title in enumerate(("Initial", "Final")):
        lines += [f"**Spatial State ({title} Frame):**", f"- Camera Center: {given['camera_center'][n]}"]
        lines += [f"- Object Center: {given['object_center'][n] if given['object_center'] else 'null'}"]
    return "<thinking>\n" + "\n".join(lines) + f"\n</thinking>\n<answer>{row['answer']}</answer>"


def make_dataset(folder: Path, clips: int = 2, questions: int = 12, rows_per_shard: int = 10, video: bytes = b"mp4") -> Path:
    """Write ``sft``, ``st_cot``, ``rft``, ``bench``, ``clips`` and videos below ``folder``; the last clip is the benchmark's."""
    names = [f"{n:016x}" for n in range(clips + 1)]
    writers = {
        (name, split): ShardWriter(folder / name, split, tables.PUBLISHED[name], rows_per_shard)
        for name, split in (("sft", "train"), ("st_cot", "train"), ("rft", "train"), ("bench", "test"), ("clips", "train"))
    }
    (folder / "videos").mkdir(parents=True)
    for clip_id in names:
        (folder / "videos" / f"{clip_id}.mp4").write_bytes(video)
        rows = [question(clip_id, n) for n in range(questions)]
        split = "test" if clip_id == names[-1] else "train"
        about = {"clip_id": clip_id, "source": f"s{clip_id}", "split": split, "video": f"videos/{clip_id}.mp4", "num_frames": 32}
        writers["clips", "train"].add(table_of([about], tables.CLIPS))
        if split == "test":
            writers["bench", "test"].add(table_of(rows, tables.BENCH))
            continue
        writers["sft", "train"].add(table_of(rows, tables.SFT))
        reasoned = [
            {
                **row, **states(row), "thinking": "t", "response": response(row), "path": 0, "rewritten_by": "",
                "messages": [*prompt(row), {"role": "assistant", "content": response(row)}],
            }
            for row in rows
        ]  # fmt: skip
        writers["st_cot", "train"].add(table_of(reasoned, tables.ST_COT))
        rft = [{**row, "messages": prompt(row), "solution": [{"answer": row["answer"], **states(row)}]} for row in rows]
        writers["rft", "train"].add(table_of(rft, tables.RFT))
    for writer in writers.values():
        writer.close()
    return folder
