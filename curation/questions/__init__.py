"""Facts -> questions: wording, options, distractors, balance."""

from curation.questions.ask import GENERATOR, ask
from curation.questions.select import select

__all__ = ["GENERATOR", "ask", "select"]
