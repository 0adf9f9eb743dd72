"""A trained reader that never sees the video: a linear classifier over the words of question and options.

Every option of a row is one example, right or wrong; the row's answer is the option with the highest score. Features are words
of the question joined with what the option says (its label, or the size of its number), the set of options, their order and rank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from curation.questions.options import LETTERS
from curation.questions.rows import label_of, option_values

Row = dict[str, Any]
MAX_TRAINING_ROWS = 40_000
_WORD = re.compile(r"[a-z]+|\d+")
_FEATURES = 2**20


def fit_reader(train: Sequence[Row]) -> Callable[[Sequence[Row]], list[str]]:
    """Fit on rows with options; the result gives one letter per row. The same rows give the same reader."""
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import SGDClassifier

    hasher = FeatureHasher(_FEATURES, input_type="string", alternate_sign=False)
    step = max(1, math.ceil(len(train) / MAX_TRAINING_ROWS))
    shown = train[::step]
    examples = hasher.transform(feature for row in shown for feature in _examples(row))
    right = [n == LETTERS.index(row["answer"]) for row in shown for n in range(len(row["options"]))]
    model = SGDClassifier(loss="log_loss", alpha=3e-6, max_iter=6, tol=None, random_state=0, average=True)
    model.fit(examples, np.array(right))

    def read(rows: Sequence[Row]) -> list[str]:
        scores = model.decision_function(hasher.transform(feature for row in rows for feature in _examples(row)))
        out, at = [], 0
        for row in rows:
            count = len(row["options"])
            out.append(LETTERS[int(np.argmax(scores[at : at + count]))])
            at += count
        return out

    return read


def _examples(row: Row) -> Iterator[list[str]]:
    words = sorted(set(_WORD.findall(row["question"].lower())))
    kind, options = row["kind"], row["options"]
    if row["answer_value"] is None:
        said = [label_of(row, text) for text in options]
        ranks = [0] * len(options)
    else:
        values = np.maximum(option_values(row), 1e-9)
        said = [f"{round(3 * math.log(v))}" for v in values]
        ranks = np.argsort(np.argsort(values)).tolist()
    offered = "+".join(sorted(said))
    span = (row["frame_j"] - row["frame_i"]) // 5
    for n, label in enumerate(said):
        what = f"{kind}={label}"
        yield [
            what,
            f"{what} of {offered}",
            f"{what} in {span}",
            f"letter {n} of {len(options)}",
            f"{kind} rank {ranks[n]}",
            f"{kind} length {len(options[n])}",
            *(f"{what} {word}" for word in words),
        ]
