"""A model from a transformers checkpoint answers, on this machine's GPU or CPU, shown what training shows."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from curation.evaluate.endpoint import Reply
from curation.evaluate.items import Item


@dataclass(frozen=True)
class LocalModel:
    """A Qwen vision-language model by its folder or its name on the Hub.

    Attributes:
        path: of the checkpoint.
        adapter: folder of a LoRA adapter to put on it; "" for none.
        reasoning: ask for thoughts and states, or for the letter alone.
        frames: shown per question: the question frames of the clip, where it is as many.
        frame_pixels: budget of a frame.
        max_tokens: of a reply.
    """

    path: str
    adapter: str = ""
    reasoning: bool = False
    frames: int = 32
    frame_pixels: int = 50176
    max_tokens: int = 4096

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Model and processor.

        Raises:
            ImportError: torch or transformers is not installed.
            ValueError, OSError: the checkpoint cannot be used.
        """
        try:
            import torch
            from transformers import AutoModelForImageTextToText

            from pipelines.training.frames import load_processor
            from pipelines.training.sight import watch
        except ImportError as error:
            raise ImportError(f"a checkpoint needs torch and transformers: pip install '.[models]' ({error})") from error
        cuda = torch.cuda.is_available()
        options = {"dtype": torch.bfloat16, "device_map": "auto"} if cuda else {"dtype": torch.float32}
        processor = load_processor(self.path, self.frames, self.frame_pixels)
        model: Any = AutoModelForImageTextToText.from_pretrained(self.path, **options)
        watch(model)  # a prompt without its pixels must not pass for an answer about the video
        if self.adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, self.adapter)
        return model.eval(), processor

    def ask(self, item: Item) -> Reply:
        """Answer one question, greedily.

        Raises:
            Rejected, ValueError: its video cannot be read.
        """
        import torch

        model, processor = self.loaded
        *before, user = item.turns(self.reasoning)
        said = [{"role": t["role"], "content": [{"type": "text", "text": t["content"]}]} for t in before]
        parts = [{"type": "video", "path": str(item.video)}, {"type": "text", "text": user["content"]}]
        said.append({"role": "user", "content": parts})
        inputs = processor.apply_chat_template(
            [said], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        ).to(model.device)
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        asked = int(inputs["input_ids"].shape[1])
        new = out[0, asked:]
        finish = "length" if len(new) >= self.max_tokens else "stop"
        return Reply(processor.tokenizer.decode(new, skip_special_tokens=True), finish, asked, len(new))
