"""The card of a dataset on the Hub: the card of the run, and what only its audit and its owner can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from curation.shards.card import columns, environment, front_matter
from schemas.publishing import SCHEMA_VERSION, Info

LIMITS = (
    "Questions are about rigid relations of whole objects and of the camera; not about parts, gestures or intentions.",
    "Only objects that move are found. What moves little, is small, far away, or hidden most of the time is missing.",
    "Descriptions of objects are made by rules or by a model, and are checked to point to one object; they may still be clumsy.",
    "A question is asked only where its answer is safe. Hard and close cases are therefore rarer than in the world.",
    "Objects are mostly measured on the side that the camera sees; distances are to the nearest visible point.",
)


def hub_card(
    counts: Mapping[str, Any], about: Mapping[str, Any], info: Info, repo: str, *, embedded: bool, plots: Mapping[str, str]
) -> str:
    """README.md of the repository.

    Args:
        counts: as ``hub.figures.counts`` returns them.
        about: of the run and its audit, see ``pipelines.publish.describe``.
        info: what the owner says.
        repo: ``user/name``.
        embedded: whether the videos are in ``clips``, and not beside.
        plots: ``balance`` and, with an audit, ``accuracy``: paths in the repository.
    """
    matter = yaml.safe_load(front_matter(counts)) | {"pretty_name": info.title, "license": info.license}
    matter.pop("license_name", None)
    if info.license == "other":
        matter |= {"license_name": info.license_name or "custom", "license_link": info.license_link}
    template = environment().get_template("hub_card.md.jinja")
    text = template.render(
        front_matter=yaml.safe_dump(matter, sort_keys=False, allow_unicode=True).rstrip(),
        counts=counts, about=about, columns=columns(), info=info, repo=repo, embedded=embedded, plots=plots,
        limits=LIMITS, schema_version=SCHEMA_VERSION, citation=citation(info, repo, about["date"]),
    )  # fmt: skip
    return str(text)


def citation(info: Info, repo: str, date: str) -> str:
    """BibTeX of the dataset."""
    if info.citation:
        return info.citation.strip()
    key = "".join(c for c in repo.split("/")[-1] if c.isalnum()) or "dataset"
    fields = {
        "title": info.title,
        "author": f"{{{info.rights_holder}}}",
        "year": date[:4],
        "howpublished": f"https://huggingface.co/datasets/{repo}",
    }
    return f"@misc{{{key}{date[:4]},\n" + ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items()) + "\n}"
