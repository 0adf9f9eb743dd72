"""The reward as trainers call it: TRL's and ms-swift's signatures, hostile completions, and the formula itself."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.reasoning import CODE_WEIGHTS, PAPER_WEIGHTS, reward, trl_rewards
from curation.reasoning.reward import read_centers

ROOM = Path(trl_rewards.__file__).parent
Centers = list[list[float]] | None
numbers = st.floats(-50, 50, allow_nan=False).map(lambda x: round(x, 2))
centers = st.none() | st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=2, max_size=2)
letters = st.sampled_from("ABCDEF")
words = st.text(alphabet="abcdefghij .,", max_size=60)


def well_formed(camera: Centers, obj: Centers, letter: str, prose: str) -> str:
    lines = [prose]
    for n, title in enumerate(("Initial", "Final")):
        lines.append(f"**Spatial State ({title} Frame):**")
        lines += [f"- {who} Center: {json.dumps(c[n]) if c else 'null'}" for who, c in (("Camera", camera), ("Object", obj))]
    return "<thinking>\n" + "\n".join(lines) + f"\n</thinking>\n<answer>{letter}</answer>"


def public_formula(response: str, truth: dict[str, Any], weights: tuple[float, ...]) -> float:
    """The formula as mllm4d's paper and code state it, written a second time and without any tolerance."""
    thinking = re.search(r"<thinking>(.*?)</thinking>", response, re.DOTALL)
    answer = re.search(r"<answer>(.*?)</answer>", response, re.DOTALL)
    assert thinking and answer
    parts = [float(answer[1].strip() == truth["answer"])]
    form = 0.5 + 0.4 * ("Camera Center:" in thinking[1] and "Object Center:" in thinking[1])
    parts.append(form + 0.1 * (len(thinking[1].strip()) > 20))
    for who in ("Camera", "Object"):
        said = [json.loads(found) for found in re.findall(rf"{who} Center:\s*(\[.*?\])", thinking[1])]
        wanted = truth[f"{who.lower()}_center"] or []
        errors = [math.dist(a, b) for a, b in zip(said, wanted, strict=False)]
        if len(said) != len(wanted):
            parts.append(0.0)
        else:
            parts.append(math.exp(-sum(errors) / len(errors)) if errors else 1.0)
    return sum(w * p for w, p in zip(weights, parts, strict=True))


@given(centers, centers, centers, centers, letters, letters, words)
def test_on_well_formed_text_both_parsers_give_the_public_formula(
    camera: Centers, obj: Centers, true_camera: Centers, true_obj: Centers, said: str, right: str, prose: str
) -> None:
    text = well_formed(camera, obj, said, prose)
    truth = {"answer": right, "camera_center": true_camera, "object_center": true_obj}
    for weights, function in ((CODE_WEIGHTS, trl_rewards.st_reward), (PAPER_WEIGHTS, trl_rewards.st_reward_paper)):
        expected = public_formula(text, truth, weights)
        assert reward(text, right, true_camera, true_obj, weights=weights).total == pytest.approx(expected)
        assert function(completions=[text], solution=[[truth]]) == [pytest.approx(expected)]


@given(st.text(max_size=300), st.sampled_from(["strict", "tolerant"]))
def test_no_completion_makes_the_reward_fail_or_leave_its_range(text: str, parser: Any) -> None:
    for response in (text, f"<thinking>{text}</thinking><answer>{text}</answer>", f"Camera Center: [{text}]"):
        assert 0 <= reward(response, "A", [[0.0, 0, 0]] * 2, None, parser=parser).total <= 1


@pytest.mark.parametrize("number", ["1e999", "9" * 400, "1" + "0" * 5000, "NaN", "Infinity", "-1e308"])
def test_numbers_beyond_all_bounds_are_no_positions(number: str) -> None:
    text = f"<thinking>Camera Center: [{number}, 0, 0]</thinking><answer>A</answer>"
    for parser in ("strict", "tolerant"):
        assert read_centers(text, "Camera", parser) == []
        assert reward(text, "A", [[0.0, 0, 0]], None, parser=parser).camera == 0


@pytest.mark.parametrize(
    "line",
    [
        "Camera Center: [1, 2, 3]",
        "**Camera Center:** [1, 2, 3]",
        "**Camera Center**: [1.0 m, 2.0 m, 3.0 m]",
        "camera centre = (1, 2, 3)",
        "Camera Center (metres): [x=1, y=2, z=3]",
        "Camera Center: [[1, 2, 3]]",
        "Camera Center: [1,\n 2,\n 3]",
        "Camera Center: `[1, 2, 3]`",
        "- Camera_Center: [1, 2, 3], Object Center: [4, 5, 6]",
    ],
)
def test_a_slip_of_form_is_no_wrong_state(line: str) -> None:
    assert read_centers(line, "Camera", "tolerant") == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("line", ["Camera Center: null", "Camera Center: [1, 2]", "Camera Center: unknown. Object [1, 2, 3]"])
def test_what_is_no_state_is_not_read_as_one(line: str) -> None:
    assert read_centers(line, "Camera", "tolerant") == []


@pytest.mark.parametrize("said", ["B", "b", " B.", "(B)", "**B**", "B. 1.34 m", "Option B", "The answer is B", "Answer: (b)"])
def test_the_tolerant_parser_reads_a_letter_in_other_words(said: str) -> None:
    assert trl_rewards.st_accuracy([f"<answer>{said}</answer>"], [{"answer": "B"}]) == [1.0]


@pytest.mark.parametrize("said", ["A", "", "Both", "A or B", "Bear", "1.34 m", "Because", "ABCD", "B's"])
def test_and_no_letter_where_there_is_none(said: str) -> None:
    assert trl_rewards.st_accuracy([f"<answer>{said}</answer>"], [{"answer": "B"}]) == [0.0]


def test_every_shape_of_completion_and_solution_scores_the_same() -> None:
    text = well_formed([[0.0, 0, 0]] * 2, None, "A", "The camera does not move at all.")
    truth = {"answer": "A", "camera_center": [[0, 0, 0]] * 2, "object_center": None}
    shapes = [
        text,
        {"role": "assistant", "content": text},
        [{"role": "assistant", "content": text}],
        [{"role": "assistant", "content": [{"type": "text", "text": text}]}],
    ]
    for solution in (truth, [truth], json.dumps(truth), json.dumps([truth])):
        assert trl_rewards.st_reward(completions=shapes, solution=[solution] * 4, prompts=[""] * 4) == [pytest.approx(1.0)] * 4
    assert (
        trl_rewards.st_reward(completions=[None, [], {}], solution=[truth] * 3) == [pytest.approx(0.1)] * 3
    )  # no object, rightly


def test_a_broken_solution_is_an_error_and_no_reward() -> None:
    for broken in ({}, [], {"answer": None}, [{"answer": "A"}, {"answer": "B"}]):
        with pytest.raises(ValueError, match="expected a solution"):
            trl_rewards.st_reward(completions=["x"], solution=[broken])
    with pytest.raises(ValueError, match="one solution per completion"):
        trl_rewards.st_reward(completions=["x", "y"], solution=[{"answer": "A"}])


def test_the_parts_add_up_to_the_total() -> None:
    text = well_formed([[0.0, 0, 0], [1.0, 0, 0]], None, "A", "Short")
    solution = [{"answer": "B", "camera_center": [[0, 0, 0], [0, 0, 0]], "object_center": [[0, 0, 0]] * 2}]
    parts = [part(completions=[text], solution=solution)[0] for part in trl_rewards.PARTS]
    total = trl_rewards.st_reward(completions=[text], solution=solution)[0]
    assert sum(w * p for w, p in zip(CODE_WEIGHTS, parts, strict=True)) == pytest.approx(total)


_CALL = """
import sys, os, runpy
sys.path[:0] = [os.path.dirname(sys.argv[2]), sys.argv[1]]
runpy.run_path(sys.argv[2])
assert os.path.dirname(sys.argv[2]) not in sys.path, "ms-swift puts it there; its modules would hide others of the same names"
from {module} import orms
text = "<thinking>A long enough thought. Camera Center: null Object Center: null</thinking><answer>A</answer>"
truth = [{{"answer": "A", "camera_center": None, "object_center": None}}]
args = () if {old} else (object(),)
for name in sorted(n for n in orms if n != "theirs"):
    print(name, orms[name](*args)([text, ""], solution=[truth, truth], messages=[[], []], videos=[["v"], ["v"]]))
assert not [m for m in sys.modules if m.split(".")[0] in ("curation", "jinja2", "pyarrow", "pydantic", "jaxtyping")]
"""


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("alone", [True, False])
def test_the_plugin_registers_with_both_names_of_ms_swift_and_needs_no_other_file_of_the_factory(
    tmp_path: Path, old: bool, alone: bool
) -> None:
    """``swift`` is a stand-in with the documented ``ORM`` and ``orms`` of either release; the real one is not installed."""
    package = tmp_path / "swift"
    package.mkdir()
    module = "plugin" if old else "rewards"
    init = "" if old else "    def __init__(self, args=None, **kwargs):\n        self.args = args\n"
    body = f"class ORM:\n{init}    def __call__(self, **kwargs):\n        raise NotImplementedError\norms = {{'theirs': ORM}}\n"
    (package / "__init__.py").touch()
    (package / f"{module}.py").write_text(body)
    room = ROOM
    if alone:
        room = tmp_path / "copied"
        room.mkdir()
        for name in ("reward.py", "trl_rewards.py", "swift_plugin.py"):
            shutil.copy(ROOM / name, room)
    code = _CALL.format(module=f"swift.{module}", old=old)
    command = [sys.executable, "-c", code, str(tmp_path), str(room / "swift_plugin.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": ""}, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    assert "mllm4d_st [1.0, 0.2]" in done.stdout


def test_a_missing_part_of_ms_swift_is_named_and_not_mistaken_for_an_old_release(tmp_path: Path) -> None:
    (tmp_path / "swift").mkdir()
    (tmp_path / "swift" / "__init__.py").touch()
    (tmp_path / "swift" / "rewards.py").write_text("import a_part_that_is_missing")
    command = [
        sys.executable,
        "-c",
        _CALL.format(module="swift.rewards", old=False),
        str(tmp_path),
        str(ROOM / "swift_plugin.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": ""}, timeout=60)
    assert "a_part_that_is_missing" in done.stderr
