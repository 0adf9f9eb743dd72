"""The dataset card: what a reader of ``publish/`` needs to know, and the front matter that ``datasets`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from schemas import tables

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def card(counts: dict[str, Any], about: dict[str, Any]) -> str:
    """README.md of a published folder.

    Args:
        counts: as ``publish`` returns them.
        about: ``run_id``, ``seed``, ``k_sigma``, ``question_frames``, ``bench_share``.
    """
    template = environment().get_template("card.md.jinja")
    return str(template.render(front_matter=front_matter(counts), counts=counts, about=about, columns=columns()))


def front_matter(counts: Mapping[str, Any]) -> str:
    """The YAML that ``datasets`` and the Hub read, without its fences."""
    configs = [
        {
            "config_name": name,
            "data_files": [{"split": split, "path": f"{name}/{split}-*.parquet"} for split, rows in splits.items() if rows],
            **({"default": True} if name == "sft" else {}),
        }
        for name, splits in counts["rows"].items()
        if any(splits.values())  # ``load_dataset`` of a table without rows raises; the card says which there are
    ]
    questions = sum(sum(counts["rows"][name].values()) for name in ("sft", "bench"))
    size = next((word for limit, word in _SIZES if questions < limit), "n>10M")
    values = {
        "pretty_name": "4D questions from stereo video",
        "license": "other",
        "license_name": "that-of-the-videos",
        "language": ["en"],
        "task_categories": ["video-text-to-text", "visual-question-answering"],
        "tags": ["spatial-reasoning", "4d", "stereo-video", "camera-pose", "object-tracking"],
        "size_categories": [size],
        "configs": configs,
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()


def columns() -> dict[str, list[str]]:
    """Of every table, in order."""
    return {name: list(schema.names) for name, schema in tables.PUBLISHED.items()}


@cache
def environment() -> Any:
    """Where the templates are."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("curation.shards", ""), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
