"""Chains of thought that follow the geometry, the training rows that use them, and the public reward."""

from curation.reasoning.chain import reason
from curation.reasoning.clip import reason_clip
from curation.reasoning.reinforcement import motion_score, reinforcement_row
from curation.reasoning.reward import CODE_WEIGHTS, PAPER_WEIGHTS, Reward, reward

__all__ = ["CODE_WEIGHTS", "PAPER_WEIGHTS", "Reward", "motion_score", "reason", "reason_clip", "reinforcement_row", "reward"]
