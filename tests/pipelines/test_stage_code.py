from pipelines import stages
from schemas.config import Config
from tests.schemas.test_schemas import _spec


def test_a_changed_room_reruns_its_stage_and_what_depends_on_it(monkeypatch) -> None:
    before = stages.fingerprints(_spec(), Config(), stages.STAGES, "selection")
    real = stages._code_of
    monkeypatch.setattr(stages, "_code_of", lambda room: "changed" if room == "relations" else real(room))
    after = stages.fingerprints(_spec(), Config(), stages.STAGES, "selection")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"relations", "questions", "reasoning"}


def test_code_that_all_rooms_use_reruns_everything_and_that_of_video_plans_anew(monkeypatch) -> None:
    before, planned = stages.fingerprints(_spec(), Config(), stages.STAGES, ""), stages.plan_print(Config())
    real = stages._code_of
    monkeypatch.setattr(stages, "_code_of", lambda room: "changed" if room == "." else real(room))
    after = stages.fingerprints(_spec(), Config(), stages.STAGES, "")
    assert all(before[name] != after[name] for name in before) and stages.plan_print(Config()) == planned
    monkeypatch.setattr(stages, "_code_of", lambda room: "changed" if room == "video" else real(room))
    assert stages.plan_print(Config()) != planned


def test_the_wordings_are_part_of_what_questions_depend_on() -> None:
    assert stages._code_of("questions") != stages._code_of("relations")
    stage = {stage.name: stage for stage in stages.STAGES}
    assert all(stage[name].rooms for name in stage)


def test_how_networks_are_run_is_part_of_what_a_path_from_one_eye_depends_on(monkeypatch) -> None:
    """Its scale comes from a model of depth, whose precision and device are chosen in the room of objects."""
    before = stages.fingerprints(_spec(), Config(), stages.STAGES, "selection")
    real, runtime = stages._code_of, "objects/backends/runtime.py"
    assert real(runtime) != real("objects")
    monkeypatch.setattr(stages, "_code_of", lambda room: "changed" if room == runtime else real(room))
    after = stages.fingerprints(_spec(), Config(), stages.STAGES, "selection")
    assert {name for name in before if before[name] != after[name]} == set(before) - {"video"}
