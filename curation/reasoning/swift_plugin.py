"""The reward for ms-swift, of which every release so far finds it: ``swift.rewards`` (4 and later) or ``swift.plugin`` (3).

    swift rlhf --rlhf_type grpo --external_plugins <this file> --reward_funcs mllm4d_st ...

``mllm4d_st`` and ``mllm4d_st_paper`` are totals with the weights of the code and of the paper; ``mllm4d_accuracy``,
``mllm4d_format``, ``mllm4d_camera``, ``mllm4d_object`` the parts, for ``--reward_weights``. ms-swift runs this file by its path,
in an environment that need not have the factory's dependencies: it loads the two modules beside it, which need numpy alone.
On a machine without the factory, copy the three files into one folder.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

try:
    from swift.rewards import ORM, orms
except ModuleNotFoundError as error:
    if error.name != "swift.rewards":
        raise  # something of ms-swift's own is missing: let it say what
    from swift.plugin import ORM, orms

# ms-swift puts the plugin's folder first on the path, where names of ours (`clip`, `rewrite`) would hide other packages.
_here = str(Path(__file__).resolve().parent)
sys.path[:] = [entry for entry in sys.path if not entry or str(Path(entry).resolve()) != _here]

# A package of its own name around this folder: importing curation.reasoning would ask for all that the factory needs.
_package = types.ModuleType("mllm4d_rewards")
_package.__path__ = [_here]
sys.modules[_package.__name__] = _package
_rewards = importlib.import_module("mllm4d_rewards.trl_rewards")


class _Reward(ORM):
    """Calls one of the reward functions with the completions and the column ``solution``."""

    name = ""

    def __call__(self, completions: list[Any], solution: list[Any], **kwargs: Any) -> list[float]:
        return getattr(_rewards, self.name)(completions, solution)


class STReward(_Reward):
    """Total, weights of the public code."""

    name = "st_reward"


class STRewardPaper(_Reward):
    """Total, weights of the paper."""

    name = "st_reward_paper"


class STAccuracy(_Reward):
    """1 where the letter is right."""

    name = "st_accuracy"


class STFormat(_Reward):
    """Tags, both kinds of centre, some thinking."""

    name = "st_format"


class STCamera(_Reward):
    """Camera centres."""

    name = "st_camera"


class STObject(_Reward):
    """Object centres."""

    name = "st_object"


REWARDS = {
    "mllm4d_st": STReward,
    "mllm4d_st_paper": STRewardPaper,
    "mllm4d_accuracy": STAccuracy,
    "mllm4d_format": STFormat,
    "mllm4d_camera": STCamera,
    "mllm4d_object": STObject,
}
orms.update(REWARDS)
