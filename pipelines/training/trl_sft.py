"""Supervised fine-tuning by TRL: ``python -m pipelines.training.trl_sft job.json`` (started by ``pipelines.train``)."""

from __future__ import annotations

import sys
import time

from trl import SFTConfig, SFTTrainer

from pipelines.training.frames import load_processor
from pipelines.training.job import Job
from pipelines.training.samples import AnswerOnly, supervised
from pipelines.training.sight import watch
from pipelines.training.trl_common import adapters, arguments, finish, load_model, quiet, read_job


def make_trainer(job: Job) -> SFTTrainer:
    """The trainer of a job, ready to run."""
    r = job.recipe
    processor = load_processor(job.model, r.frames, r.frame_pixels)
    model = load_model(job)
    watch(model)
    # Our collator does the preparing: TRL's would leave the videos out.
    config = SFTConfig(**arguments(job), max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=supervised(job.run, job.table, job.output / "cache"),
        data_collator=AnswerOnly(processor, r.max_length),
        processing_class=processor,
        peft_config=adapters(job),
    )


def main(argv: list[str]) -> int:
    """Train, save, leave the result."""
    quiet()
    job, started = read_job(argv), time.monotonic()
    trainer = make_trainer(job)
    trainer.train(resume_from_checkpoint=str(job.resume) if job.resume else None)
    collator = trainer.data_collator
    finish(trainer, job, started, {"too_long": collator.too_long if isinstance(collator, AnswerOnly) else 0})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
