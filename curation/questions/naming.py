"""What a question calls the moments and the objects of one clip."""

from __future__ import annotations

from typing import Any

from schemas.config import QuestionsConfig
from schemas.track import Fact


class Names:
    """Frames by index, seconds or both; objects by their description, or by a mark with its box in the first frame showing it."""

    def __init__(self, clip: dict[str, Any], words: dict[str, str], config: QuestionsConfig) -> None:
        self._words, self._marks, self._style = words, config.mark_share, config.frames
        self._about: dict[tuple[str, str], frozenset[str]] = {}
        self._described: dict[frozenset[str], bool] = {}
        self._last = clip["num_frames"] - 1
        times = [f"{t:.1f}" for t in clip["frame_times_s"]]
        if config.frames == "both":
            self._full = [f"frame {n} of {self._last} ({t} s)" for n, t in enumerate(times)]
            self._brief = [f"frame {n}" for n in range(len(times))]
            self._timed = [f"{t} s (frame {n})" for n, t in enumerate(times)]
        elif config.frames == "index":
            self._full = [f"frame {n} of {self._last}" for n in range(len(times))]
            self._brief = self._timed = [f"frame {n}" for n in range(len(times))]
        else:
            self._full = self._brief = self._timed = [f"{t} s" for t in times]

    def can_name(self, fact: Fact) -> bool:
        """Whether every object of the fact has words, or a mark where marks are wanted."""
        about = self.about(fact)
        if about not in self._described:
            self._described[about] = all(name in self._words for name in about)
        return self._described[about] or (self._marks > 0 and all(_marks_of(fact, len(about))))

    def about(self, fact: Fact) -> frozenset[str]:
        """The objects of the fact, in no order."""
        key = (fact.object_id, fact.other_object_id)
        if key not in self._about:
            self._about[key] = frozenset(filter(None, (key[0], *key[1].split("+"))))
        return self._about[key]

    def question(self, fact: Fact, template: str, lead: str, draw: float) -> str:
        """A template filled in, of a fact that can be named. ``draw`` (uniform) decides between words and marks."""
        objects = self._objects(fact, draw) if fact.object_id else [""]
        one, other = objects[0], objects[1] if len(objects) > 1 else ""
        i, j = fact.frame_i, fact.frame_j
        text = template.format(
            a=self._full[i],
            b=self._full[j],
            f_i=self._brief[i],
            f_j=self._brief[j],
            t_i=self._timed[i],
            t_j=self._timed[j],
            object=one,
            Object=one[:1].upper() + one[1:],
            other=other,
            Other=other[:1].upper() + other[1:],
            objects=", ".join(objects[:-1]) + " and " + objects[-1] if len(objects) > 1 else one,
        )
        if self._style == "seconds":
            return text
        return f"{lead.format(last=self._last, last_plus_1=self._last + 1)} {text}"

    def _objects(self, fact: Fact, draw: float) -> list[str]:
        ids = [fact.object_id, *(other for other in fact.other_object_id.split("+") if other)]
        marks = _marks_of(fact, len(ids))
        described = self._described[self.about(fact)]
        if described and not (draw < self._marks and all(marks)):
            return [self._words[name] for name in ids]
        out = []
        for name, mark in zip(ids, marks, strict=True):
            box = ", ".join(f"{x:.0f}" for x in mark["box_px"])
            out.append(f"the object <{name}> (in the box [{box}] at {self._brief[mark['frame']]})")
        return out


def _marks_of(fact: Fact, count: int) -> list[Any]:
    details = fact.details
    marks = details["marks"] if "marks" in details else [details.get("mark"), details.get("other_mark")]
    return list(marks[:count])
