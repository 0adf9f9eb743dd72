"""A built dataset trains: the loss falls, answers alone are learned, nobody scores blind, a stopped training goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("trl", reason='training needs the extra: pip install -e ".[train]"')

import torch
from datasets import Dataset
from trl import GRPOTrainer

from pipelines.training import trl_grpo, trl_sft
from pipelines.training.frames import load_processor, read_frames
from pipelines.training.job import Job
from pipelines.training.merge import adapters_of
from pipelines.training.recipes import recipe
from pipelines.training.samples import IGNORED, AnswerOnly, conversation, supervised
from pipelines.training.sight import BlindForward, watch
from tests.training.conftest import Walk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
FRAMES, PIXELS = 32, 64 * 64


def result(walk: Walk, name: str) -> dict[str, Any]:
    return json.loads((walk.run / "train" / f"{name}-rehearsal" / "train.json").read_text())["result"]


def tiny(walk: Walk) -> str:
    return str(walk.run / "train" / "sft-rehearsal" / "tiny-qwen3-vl")


def job_of(walk: Walk, stage: Any, folder: Path, *assignments: str) -> Job:
    values = recipe(stage, assignments=assignments, rehearse=True)
    return Job(stage, "trl", walk.run, folder, tiny(walk), "qwen3_vl", values, ())


def rows_of(walk: Walk, table: str) -> list[dict[str, Any]]:
    return [row for file in (walk.run / "publish" / table).glob("train-*.parquet") for row in pq.read_table(file).to_pylist()]


def test_the_loss_falls(walk: Walk) -> None:
    sft, cold = result(walk, "sft")["losses"], result(walk, "cold-start")["losses"]
    assert sum(sft[-3:]) / 3 < sum(sft[:3]) / 3 - 0.2
    assert cold[-1] < cold[0]


def test_the_reward_was_asked_at_every_step(walk: Walk) -> None:
    rewards = result(walk, "grpo")["rewards"]
    assert len(rewards) == 2 and all(0 <= reward <= 1 for reward in rewards)


@pytest.mark.parametrize("table", ["sft", "st_cot"])
def test_labels_are_the_answer_and_its_end_token_by_token(table: str, walk: Walk, tmp_path: Path) -> None:
    processor = load_processor(tiny(walk), FRAMES, PIXELS)
    examples = [row for row, _ in zip(supervised(walk.run, table, tmp_path), range(6), strict=False)]
    batch = AnswerOnly(processor, 8192)(examples)
    answers = {row["id"]: row["messages"][-1]["content"] for row in rows_of(walk, table)}
    for n, example in enumerate(examples):
        labels, tokens = batch["labels"][n], batch["input_ids"][n]
        learned = labels != IGNORED
        assert processor.tokenizer.decode(labels[learned]) == answers[example["id"]] + "<|im_end|>"
        places = learned.nonzero()[:, 0]
        assert places.tolist() == list(range(int(places[0]), int(places[-1]) + 1)), "one stretch"
        assert torch.equal(tokens[learned], labels[learned])
        prompt = processor.tokenizer.decode(tokens[: int(places[0])])
        assert prompt.endswith("<|im_start|>assistant\n") and "<|video_pad|>" in prompt
    assert int((batch["input_ids"] == processor.video_token_id).sum()) * 4 == len(batch["pixel_values_videos"])


def test_a_sample_that_is_too_long_teaches_nothing_and_is_counted(walk: Walk, tmp_path: Path) -> None:
    collate = AnswerOnly(load_processor(tiny(walk), FRAMES, PIXELS), max_length=100)
    batch = collate([supervised(walk.run, "sft", tmp_path)[0]])
    assert collate.too_long == 1 and bool((batch["labels"] == IGNORED).all())
    list(torch.utils.data.DataLoader([supervised(walk.run, "sft", tmp_path)[0]] * 2, collate_fn=collate, num_workers=2))
    assert collate.too_long == 3, "those of the loader's processes too"


def test_the_model_is_told_the_times_of_the_frames_that_questions_name(walk: Walk) -> None:
    processor = load_processor(tiny(walk), FRAMES, PIXELS)
    row, (clip,) = rows_of(walk, "sft")[0], rows_of(walk, "clips")
    turns = conversation(row["messages"], walk.run / "publish" / row["video"])
    text = processor.tokenizer.decode(processor.apply_chat_template([turns], tokenize=True, return_dict=True)["input_ids"][0])
    stamps = [float(part.rpartition("<")[2]) for part in text.split(" seconds>")[:-1]]
    times = clip["frame_times_s"]
    assert stamps == pytest.approx([(a + b) / 2 for a, b in zip(times[::2], times[1::2], strict=True)], abs=0.051)
    frames = read_frames(walk.run / "publish" / row["video"], FRAMES)
    assert frames.indices == clip["video_index"] and frames.times_s == pytest.approx(times, abs=2e-3)


def test_a_training_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(walk: Walk, tmp_path: Path) -> None:
    job = job_of(walk, "sft", tmp_path, "max_steps=5", "save_steps=3", "global_batch=2", "per_device=2")
    whole = trl_sft.make_trainer(job)
    whole.train()
    again = trl_sft.make_trainer(job)
    again.train(resume_from_checkpoint=str(job.checkpoints / "checkpoint-3"))
    losses = [[entry["loss"] for entry in trainer.state.log_history if "loss" in entry] for trainer in (whole, again)]
    assert len(losses[0]) == 5 and losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_the_merged_model_answers_as_the_adapted_one(walk: Walk, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    folder = walk.run / "train" / "sft-rehearsal"
    processor = load_processor(str(folder / "qwen3-vl-merged"), FRAMES, PIXELS)  # its processor came with it
    batch = AnswerOnly(processor, 8192)([supervised(walk.run, "sft", tmp_path)[0]])
    base = AutoModelForImageTextToText.from_pretrained(tiny(walk))
    merged = AutoModelForImageTextToText.from_pretrained(folder / "qwen3-vl-merged")
    with torch.no_grad():
        plain = base(**batch).logits
        adapted = PeftModel.from_pretrained(base, str(adapters_of(folder / "checkpoints")))(**batch).logits
        torch.testing.assert_close(merged(**batch).logits, adapted, atol=1e-4, rtol=1e-4)
    assert float((adapted - plain).abs().max()) > 0.05, "training changed something"


def two_videos(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A reinforcement set of two prompts about two different videos, under names that their prompts tell."""
    (world,) = (walk.folder / "work" / "videos").iterdir()
    videos = {"first": str(world / "left.mp4"), "second": str(world / "right.mp4")}

    def convert(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
        ask = [[{"role": "user", "content": f"<video>\nWhat moves in the {name} one?"}] for name in batch["name"]]
        prompts = [conversation(turns, Path(videos[name])) for turns, name in zip(ask, batch["name"], strict=True)]
        return {"prompt": prompts, "solution": [json.dumps([{"answer": "A"}])] * len(prompts)}

    data = Dataset.from_dict({"name": list(videos)}).with_transform(convert)
    monkeypatch.setattr(trl_grpo, "prompts", lambda *_: data)
    return videos


def test_scoring_sees_the_video_of_each_sample(walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scored log-probability equals that of a plain forward pass with the pixels of this very prompt's video."""
    videos = two_videos(walk, monkeypatch)
    asked: list[list[float]] = []
    ours = trl_grpo.REWARDS["paper"]

    def reward(completions: list[Any], solution: list[str], **more: Any) -> list[float]:
        asked.append(ours(completions, solution, **more))
        varied = [len(set(turns[-1]["content"])) / 50 for turns in completions]  # noise earns nothing: something must differ
        return [a + b for a, b in zip(asked[-1], varied, strict=True)]

    monkeypatch.setitem(trl_grpo.REWARDS, "paper", reward)
    options = ("global_batch=8", "per_device=4", "generations=4", "max_completion=6", "max_steps=2", "learning_rate=0.01")
    trainer = trl_grpo.make_trainer(job_of(walk, "grpo", tmp_path, *options))
    processor = trainer.processing_class
    pixels = {name: processor.video_processor([path]) for name, path in videos.items()}
    errors: list[float] = []
    blind: list[float] = []
    score = trl_grpo.SeeingTrainer._get_per_token_logps_and_entropies

    def checked(self: Any, model: Any, ids: Any, mask: Any, keep: int, *rest: Any, **named: Any) -> Any:
        found = score(self, model, ids, mask, keep, *rest, **named)
        texts = processor.tokenizer.batch_decode(ids)
        order = ["first" if "the first one" in text else "second" for text in texts]
        assert all(f"the {name} one" in text for name, text in zip(order, texts, strict=True))
        for wrong, into in ((False, errors), (True, blind)):
            other = {"first": "second", "second": "first"}
            shown = [pixels[other[name] if wrong else name] for name in order]
            with torch.no_grad():
                logits = model(
                    input_ids=ids,
                    attention_mask=mask,
                    pixel_values_videos=torch.cat([one["pixel_values_videos"] for one in shown]),
                    video_grid_thw=torch.cat([one["video_grid_thw"] for one in shown]),
                    mm_token_type_ids=(ids == processor.video_token_id).int() * 2,
                ).logits
            plain = logits[:, -keep - 1 : -1].log_softmax(-1).gather(-1, ids[:, -keep:, None])[..., 0]
            apart = (plain - found[0].detach()).abs() * mask[:, -keep:]
            into.append(float(apart.max()))
        return found

    monkeypatch.setattr(trl_grpo.SeeingTrainer, "_get_per_token_logps_and_entropies", checked)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters() if value.requires_grad}
    trainer.train()
    assert len(errors) >= 4, "the reference's and the policy's passes, of two steps"
    assert max(errors) < 1e-4, "scored with the pixels of its own video"
    assert min(blind) > 20 * max(max(errors), 1e-6), "the test can tell the videos apart"
    assert asked and all(0 <= value <= 1 for values in asked for value in values)
    moved = {name for name, value in trainer.model.named_parameters() if name in before and not torch.equal(value, before[name])}
    assert any("visual.merger" in name for name in moved), "the gradient reaches the projector: through the pixels"
    assert any("language_model" in name for name in moved)


def test_trl_alone_would_score_blind_and_is_stopped(walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_videos(walk, monkeypatch)
    monkeypatch.setattr(trl_grpo, "SeeingTrainer", GRPOTrainer)
    trainer = trl_grpo.make_trainer(job_of(walk, "grpo", tmp_path, "max_steps=1", "max_completion=2"))
    with pytest.raises(BlindForward, match=r"expected pixels for \d+ video tokens, got none"):
        trainer.train()


def test_the_guard_lets_a_text_pass_and_stops_a_video_without_pixels(walk: Walk) -> None:
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(tiny(walk))
    handle = watch(model)
    text = torch.tensor([[20, 21, 22]])
    assert model(input_ids=text).logits.shape[:2] == (1, 3)
    video = torch.tensor([[20, model.config.video_token_id, 22]])
    with pytest.raises(BlindForward):
        model(input_ids=video)
    handle.remove()
    model(input_ids=video)  # what a trainer does without the guard: nothing is said
