"""Reinforcement by TRL's GRPO: ``python -m pipelines.training.trl_grpo job.json`` (started by ``pipelines.train``).

TRL hands a prompt's video to the generation and forgets it for the scoring: the policy would be trained on texts about
videos that it does not see, silently. ``SeeingTrainer`` carries the video along, and ``sight.watch`` refuses any forward pass
without it.
Completions are generated in the trainer's own processes: TRL's vLLM client knows pictures only, and would generate blind too.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer

from curation.reasoning.trl_rewards import st_reward, st_reward_paper
from pipelines.training.frames import load_processor
from pipelines.training.job import Job
from pipelines.training.samples import prompts
from pipelines.training.sight import watch
from pipelines.training.trl_common import adapters, arguments, finish, load_model, quiet, read_job

REWARDS: dict[str, Any] = {"paper": st_reward_paper, "code": st_reward}
_NEVER_SAID = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")


class SeeingTrainer(GRPOTrainer):
    """GRPO whose scoring sees the videos that its generation saw: each travels as if it were its sample's one picture."""

    _videos: dict[str, Any] = {}

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        ids, images, fields = super()._tokenize_prompts(prompts)
        self._videos = {}
        if "pixel_values_videos" in fields:
            device = self.accelerator.device
            grid = fields["video_grid_thw"].to(device)
            self._videos = {
                "pixel_values": fields["pixel_values_videos"].to(device), "image_grid_thw": grid, "num_images": [1] * len(grid),
            }  # fmt: skip
        return ids, images, fields

    def _get_per_token_logps_and_entropies(self, *positional: Any, **named: Any) -> Any:
        if named.get("pixel_values") is None and self._videos:  # the calls within generation have all samples, in their order
            named |= self._videos
        return super()._get_per_token_logps_and_entropies(*positional, **named)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        scored = super()._generate_and_score_completions(inputs) | self._videos
        self._videos = {}
        return scored


def make_trainer(job: Job) -> SeeingTrainer:
    """The trainer of a job, ready to run."""
    r = job.recipe
    processor = load_processor(job.model, r.frames, r.frame_pixels)
    model = load_model(job)
    watch(model)
    tokenizer = processor.tokenizer
    # A token of a frame in an answer would ask for pixels that no video has.
    silent = [tokenizer.convert_tokens_to_ids(token) for token in _NEVER_SAID]
    config = GRPOConfig(
        **arguments(job),
        num_generations=r.generations,
        max_completion_length=r.max_completion,
        temperature=r.temperature,
        beta=r.beta,
        generation_kwargs={"suppress_tokens": silent},
    )
    return SeeingTrainer(
        model=model,
        reward_funcs=[REWARDS[r.weights]],
        args=config,
        train_dataset=prompts(job.run, job.table, job.output / "cache"),
        processing_class=processor,
        peft_config=adapters(job),
    )


def main(argv: list[str]) -> int:
    """Train, save, leave the result."""
    quiet()
    job, started = read_job(argv), time.monotonic()
    torch.manual_seed(job.recipe.seed)
    trainer = make_trainer(job)
    trainer.train(resume_from_checkpoint=str(job.resume) if job.resume else None)
    finish(trainer, job, started, {})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
