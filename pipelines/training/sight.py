"""Keeps a trainer from looking away: a forward pass over a video's tokens must have the video's pixels."""

from __future__ import annotations

from typing import Any

import torch

_VIDEO = 2  # in mm_token_type_ids


class BlindForward(RuntimeError):
    """A model was about to score a text about a video that it was not shown."""


def watch(model: torch.nn.Module) -> Any:
    """Attach the guard to a Qwen model; returns the handle that takes it off.

    TRL splits, shuffles and repeats pictures together with their samples, but knows nothing of videos. So a video may
    travel in the places of a picture (``pixel_values``, ``image_grid_thw``): here, where the tokens say what it is, it gets its
    own names back. Whatever way a batch takes, one with video tokens and without pixels does not pass.
    """
    video_id = int(model.config.video_token_id)  # type: ignore[union-attr, arg-type]

    def look(_: torch.nn.Module, arguments: tuple[Any, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        ids = given.get("input_ids", arguments[0] if arguments else None)
        if ids is None:
            return arguments, given
        shown = ids == video_id
        if not bool(shown.any()):
            return arguments, given
        if given.get("pixel_values_videos") is None and given.get("pixel_values") is not None:
            given = given | {
                "pixel_values_videos": given["pixel_values"],
                "video_grid_thw": given["image_grid_thw"],
                "pixel_values": None,
                "image_grid_thw": None,
                "mm_token_type_ids": shown.to(torch.int32) * _VIDEO,
            }
        past = given.get("past_key_values")
        # Generation encodes the video ahead of its first pass, and later passes have it in their cache.
        encoded = (given.get("mm_encoder_outputs") or {}).get("video")
        seen = encoded is not None or (past is not None and past.get_seq_length() > 0)
        if given.get("pixel_values_videos") is None and not seen:
            raise BlindForward(
                f"expected pixels for {int(shown.sum())} video tokens, got none: the trainer dropped the video on its way here"
            )
        return arguments, given

    return model.register_forward_pre_hook(look, with_kwargs=True)
