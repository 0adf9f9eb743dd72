"""What a person has to say before a dataset is published: no program can know it."""

from __future__ import annotations

from pydantic import Field

from schemas.config import Section

SCHEMA_VERSION = "1.0"
"""Of the published tables: the first number grows where a column goes or changes its meaning, the second where one is added."""


class Info(Section):
    """Licence and provenance of a dataset. Required fields have no default: nothing is published without them."""

    license: str = Field(min_length=2)
    """Licence of the dataset, as the Hub names it: cc-by-4.0, cc-by-nc-4.0, cc0-1.0, odc-by, ... or other."""
    license_name: str = ""
    """Only with ``license: other``: a short name of it."""
    license_link: str = ""
    """Where its text stands. Required with ``license: other``."""
    video_source: str = Field(min_length=10)
    """Where the videos come from: who recorded them, where, when; or the dataset that they were taken from."""
    video_license: str = Field(min_length=2)
    """Licence of the source videos, and why it allows to publish what is derived from them."""
    personal_data: str = Field(min_length=10)
    """Whether people, faces, number plates or homes can be recognised, and what was done about it."""
    rights_holder: str = Field(min_length=2)
    """Who answers for the dataset."""
    contact: str = Field(min_length=3)
    """How to reach them: address or page."""
    title: str = "4D questions from stereo video"
    """Of the dataset."""
    citation: str = ""
    """BibTeX of the dataset; made from title, rights holder and date where empty."""


TEMPLATE = """# Fill in every line that ends in "?". Nothing is published before.
license: "?"         # of the dataset, as the Hub names it: cc-by-4.0, cc-by-nc-4.0, cc0-1.0, odc-by, ... or other
license_name: ""     # with "license: other": its short name
license_link: ""     # with "license: other": where its text stands
video_source: "?"    # who recorded the videos, where and when; or the dataset that they come from
video_license: "?"   # licence of the videos, and why it allows to publish what is derived from them
personal_data: "?"   # can people, faces, number plates or homes be recognised? what was done about it?
rights_holder: "?"   # who answers for the dataset
contact: "?"         # address or page
title: 4D questions from stereo video
citation: ""         # BibTeX; made from the above where empty
"""
