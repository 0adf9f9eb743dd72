"""Compare a run with the truth: is every published label right, is nothing asked about that is not there, does sigma hold?"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from curation.audit.answers import OBJECT_KINDS, along_axis, true_answer
from curation.audit.answers_further import further_answer
from curation.audit.matching import MIN_IOU, Match, eligible_movers, match_objects
from curation.audit.naming import VERDICTS
from curation.audit.published import PublishedClip, Row
from curation.audit.trajectories import camera_errors, coverage, over_time, reliability, track_errors
from curation.audit.verdicts import Verdict, judge
from curation.worlds.truth import Truth

PAPER_KINDS = (*OBJECT_KINDS, "camera_distance", "camera_direction")


def fact_errors(clip: PublishedClip, truth: Truth, matches: dict[str, Match]) -> list[tuple[str, bool, float]]:
    """(kind, asked at its own margin, error / sigma) of every fact with a number about the camera or a matched object."""
    out = []
    frames = clip.source_frames
    for fact in clip.facts:
        if fact["value"] is None or not fact["sigma"]:
            continue
        match = matches.get(fact["object_id"] or "")
        if fact["kind"] not in PAPER_KINDS:
            further = _further_value(fact, truth, matches, frames)
            if further is not None:
                out.append((fact["kind"], _asked(fact), (fact["value"] - further) / fact["sigma"]))
            continue
        if fact["kind"] in OBJECT_KINDS and (match is None or match.body is None):
            continue
        answer = true_answer(fact["kind"], truth, match.body if match else None, frames[fact["frame_i"]], frames[fact["frame_j"]])
        value = answer.value
        if fact["kind"] == "camera_direction":
            if not fact["label"]:
                continue
            value = along_axis(answer, fact["label"])
        out.append((fact["kind"], _asked(fact), (fact["value"] - value) / fact["sigma"]))
    return out


def _asked(fact: Row) -> bool:
    return bool(fact["margin"] is not None and fact["threshold"] is not None and fact["margin"] >= fact["threshold"])


def _further_value(fact: Row, truth: Truth, matches: dict[str, Match], frames: list[int]) -> float | None:
    """The true number of a fact of the kinds beyond the paper's; None where it has none, or its objects are no two bodies."""
    ids = [name for name in (fact["object_id"], *(fact["other_object_id"] or "").split("+")) if name]
    bodies = [match.body for match in map(matches.get, ids) if match is not None and match.body is not None]
    if len(set(bodies)) < len(ids):
        return None
    return further_answer(fact["kind"], truth, bodies, frames[fact["frame_i"]], frames[fact["frame_j"]]).value


def wilson_low(right: int, count: int, z: float = 1.96) -> float | None:
    """Lower end of the 95 % interval of a share (Wilson 1927)."""
    if not count:
        return None
    p = right / count
    middle = p + z * z / (2 * count)
    return (middle - z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))) / (1 + z * z / count)


def audit_against_truth(
    clips: list[PublishedClip],
    truth_of: Callable[[str], Truth | None],
    label_of: Callable[[Row, str], str],
    still_m: float = 0.225,
) -> dict[str, Any]:
    """Everything the audit says about a run, as plain JSON values.

    Args:
        clips: what the run published.
        truth_of: truth by a source's name; None where it has none (the clip is then left out and counted).
        label_of: the label that an option's text says, for kinds that answer with a label.
        still_m: change of distance at which "not moving" ends, metres.
    """
    verdicts: list[Verdict] = []
    rows: list[Row] = []
    untold: list[str] = []
    track_lists: dict[str, list[float]] = defaultdict(list)
    pose_z: list[float] = []
    facts: list[tuple[str, bool, float]] = []
    owner: dict[str, str] = {}
    for clip in clips:
        truth = truth_of(clip.row["source"])
        if truth is None:
            untold.append(clip.row["source"])
            continue
        matches = match_objects(clip, truth)
        path = camera_errors(clip, truth)
        own = [judge(q, clip, truth, matches, label_of, still_m) for q in clip.questions]
        verdicts += own
        owner |= {v.id: clip.row["clip_id"] for v in own}
        facts += fact_errors(clip, truth, matches)
        pose_z += path["z"] if path else []
        for match in matches.values():
            if match.is_mover:
                for key, values in track_errors(clip, truth, match).items():
                    track_lists[key] += values
        rows.append(_clip_row(clip, truth, matches, path, own))
    kinds = sorted({f[0] for f in facts})

    def stated(v: Verdict) -> Row:
        return asdict(v) | {"clip_id": owner[v.id]}

    return {
        "clips_audited": len(rows),
        "clips_without_truth": sorted(untold),
        "questions": _by_kind(verdicts),
        "movers": _movers(rows),
        "descriptions": {v: sum(list(r["descriptions"].values()).count(v) for r in rows) for v in VERDICTS},
        "trajectories": _paths(rows),
        "tracks": {k: _quantiles(track_lists[k]) for k in ("error_m", "material_m", "moved_m")},
        "calibration": {
            "poses": coverage(pose_z),
            "tracks": coverage(track_lists["z"]),
            "facts": {k: coverage([z for kind, _, z in facts if kind == k]) for k in kinds},
            "facts_asked": {k: coverage([z for kind, safe, z in facts if kind == k and safe]) for k in kinds},
            "curves": {
                "poses": reliability(pose_z),
                "tracks": reliability(track_lists["z"]),
                "facts": {k: reliability([z for kind, _, z in facts if kind == k]) for k in kinds},
                "facts_asked": {k: reliability([z for kind, safe, z in facts if kind == k and safe]) for k in kinds},
            },
        },
        "clips": rows,
        "worst": [stated(v) for v in worst(verdicts)],
        "wrong": [stated(v) for v in verdicts if not v.right],
    }


def worst(verdicts: list[Verdict], count: int = 10) -> list[Verdict]:
    """Wrong questions first, those with the largest error in front; then right ones by error over sigma."""

    def rank(v: Verdict) -> tuple[bool, bool, float]:
        size = v.error if v.error is not None else math.inf
        return v.right, not v.problem, -(size if not v.right else size / max(v.sigma or 1.0, 1e-6))

    return sorted(verdicts, key=rank)[:count]


def _by_kind(verdicts: list[Verdict]) -> dict[str, Any]:
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for v in verdicts:
        groups[v.kind].append(v)
        groups["all"].append(v)
    groups.setdefault("all", [])
    return {
        kind: {
            "asked": len(group),
            "right": sum(v.right for v in group),
            "accuracy": sum(v.right for v in group) / len(group) if group else None,
            "sound": sum(v.sound for v in group),
            "accuracy_low_95": wilson_low(sum(v.right for v in group), len(group)),
            "phantom": sum(v.problem == "phantom" for v in group),
            "parked": sum(v.problem == "parked" for v in group),
            "static_camera": sum(v.problem == "static_camera" for v in group),
        }
        for kind, group in sorted(groups.items(), key=lambda item: (item[0] == "all", item[0]))
    }


def _clip_row(
    clip: PublishedClip, truth: Truth, matches: dict[str, Match], path: dict[str, Any] | None, own: list[Verdict]
) -> Row:
    eligible = eligible_movers(clip, truth) if clip.poses() is not None else []  # no object is measured without a scale
    found = {m.body for m in matches.values() if m.body is not None}
    asked = {matches[name].body for v in own for name in v.object_id.split("+") if name in matches}
    bodies = Counter(m.body for m in matches.values() if m.body is not None)
    return {
        "source": clip.row["source"],
        "clip_id": clip.row["clip_id"],
        "questions": len(own),
        "wrong": sum(not v.right for v in own),
        "objects": len(matches),
        "phantoms": sorted(m.object_id for m in matches.values() if m.body is None),
        "parked": sorted(m.object_id for m in matches.values() if m.body is not None and not m.is_mover),
        "jumped": sorted(m.object_id for m in matches.values() if m.body is not None and m.purity < 0.9),
        "partial": sorted(m.object_id for m in matches.values() if m.body is not None and m.iou < MIN_IOU),
        "loose": sorted(m.object_id for m in matches.values() if m.body is not None and m.share < 0.5),
        "fragments": sum(n - 1 for n in bodies.values()),
        "movers": len(eligible),
        "movers_found": sum(b in found for b in eligible),
        "movers_asked": sum(b in asked for b in eligible),
        "missed": [truth.names[b] for b in eligible if b not in found],
        "descriptions": {v.object_id: v.description for v in own if v.description and "+" not in v.object_id},
        "iou": {m.object_id: round(m.iou, 4) for m in matches.values()},
        "path": {k: v for k, v in path.items() if k != "z"} if path else None,
        "bodies": {m.object_id: truth.names[m.body] if m.body is not None else None for m in matches.values()},
        "over_time": over_time(clip, truth, matches),
    }


def _movers(rows: list[Row]) -> dict[str, Any]:
    total = sum(r["movers"] for r in rows)
    found = sum(r["movers_found"] for r in rows)
    return {
        "eligible": total,
        "found": found,
        "asked": sum(r["movers_asked"] for r in rows),
        "recall": found / total if total else None,
        "objects": sum(r["objects"] for r in rows),
        "phantoms": sum(len(r["phantoms"]) for r in rows),
        "parked": sum(len(r["parked"]) for r in rows),
        "jumped": sum(len(r["jumped"]) for r in rows),
        "partial": sum(len(r["partial"]) for r in rows),
        "loose": sum(len(r["loose"]) for r in rows),
        "fragments": sum(r["fragments"] for r in rows),
    }


def _paths(rows: list[Row]) -> dict[str, Any]:
    paths = [r["path"] for r in rows if r["path"]]
    still = [p["rms_m"] for p in paths if p["percent"] is None and p["rms_m"] is not None]
    return {
        "percent": _quantiles([p["percent"] for p in paths if p["percent"] is not None]),
        "aligned_percent": _quantiles([p["aligned_percent"] for p in paths if p["aligned_percent"] is not None]),
        "rms_m": _quantiles([p["rms_m"] for p in paths if p["rms_m"] is not None]),
        "rotation_deg": _quantiles([p["rotation_deg"] for p in paths]),
        "static_rms_m": _quantiles(still),
        "evo": {
            name: _quantiles([p["evo"][name]["rmse"] for p in paths if p["evo"][name]])
            for name in ("ape_m", "ape_aligned_m", "rpe_m", "rpe_aligned_m", "rpe_deg")
        },
    }


def _quantiles(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"count": 0, "median": None, "p90": None, "worst": None}
    a = np.asarray(values, float)
    return {"count": len(a), "median": float(np.median(a)), "p90": float(np.quantile(a, 0.9)), "worst": float(a.max())}
