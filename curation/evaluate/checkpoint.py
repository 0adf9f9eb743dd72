"""A model from a transformers checkpoint, on this machine's GPU or CPU."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from curation.evaluate.endpoint import Reply
from curation.evaluate.frames import decode
from curation.evaluate.items import Item


@dataclass(frozen=True)
class Checkpoint:
    """A vision-language model by its folder or its name on the Hub.

    Attributes:
        path: of the checkpoint.
        adapter: folder of a LoRA adapter to put on it; "" for none.
        reasoning: ask for thoughts and states, or for the letter alone.
        frames: shown per question.
        max_tokens: of a reply.
    """

    path: str
    adapter: str = ""
    reasoning: bool = False
    frames: int = 32
    max_tokens: int = 4096

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError as error:
            raise ImportError(f"a checkpoint needs torch and transformers: pip install '.[models]' ({error})") from error
        cuda = torch.cuda.is_available()
        options = {"dtype": torch.bfloat16, "device_map": "auto"} if cuda else {"dtype": torch.float32}
        model: Any = AutoModelForImageTextToText.from_pretrained(self.path, **options)
        if self.adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, self.adapter)
        return model.eval(), AutoProcessor.from_pretrained(self.path)

    def ask(self, item: Item) -> Reply:
        """Answer one question, greedily.

        The processor is given the decoded frames with their numbers and their times: a bare list of frames would be taken for
        one of 2 frames a second, and the times in the prompt would be wrong.

        Raises:
            ValueError: its video cannot be read.
        """
        import torch

        model, processor = self._loaded
        images, times = decode(item.video, item.frames, self.frames)
        *before, user = item.turns(self.reasoning)
        said = [{"role": t["role"], "content": [{"type": "text", "text": t["content"]}]} for t in before]
        said.append({"role": "user", "content": [{"type": "video"}, {"type": "text", "text": user["content"]}]})
        text = processor.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        inputs = processor(
            text=[text], videos=[images], video_metadata=[metadata(times, images.shape)], do_sample_frames=False,
            return_tensors="pt",
        ).to(model.device)  # fmt: skip
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        new = out[0, inputs["input_ids"].shape[1] :]
        finish = "length" if len(new) >= self.max_tokens else "stop"
        return Reply(processor.decode(new, skip_special_tokens=True), finish, int(inputs["input_ids"].shape[1]), len(new))


def metadata(times_s: list[float], shape: tuple[int, ...]) -> dict[str, Any]:
    """What transformers calls a video's metadata, such that frame k is at ``times_s[k]``: milliseconds count as frames."""
    indices = [round(t * 1000) for t in times_s]
    return {
        "fps": 1000.0, "frames_indices": indices, "total_num_frames": indices[-1] + 1, "duration": times_s[-1],
        "height": shape[1], "width": shape[2],
    }  # fmt: skip
