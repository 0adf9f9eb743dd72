"""What the real ms-swift makes of our exports: run by the interpreter that it is installed for, with nothing of the factory.

    python swift_probe.py FOLDER PLUGIN [ARGUMENTS.json]

FOLDER holds ``sft.jsonl``, ``cot.jsonl``, ``grpo.jsonl`` and the texts of completions in ``completions.json``. Prints JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

# Of Qwen3-VL's tokenizer; ms-swift's template names the pads by number.
FIRST_SPECIAL = 151643
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
CHAT = (
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def mend_torchvision() -> None:
    """Its compiled half does not load beside a CPU build of torch, and importing it then asks for an operator of that half."""
    import importlib.util

    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for half in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(half))
        except OSError:
            library = torch.library.Library("torchvision", "FRAGMENT")
            text = (half.parent / "_meta_registrations.py").read_text()
            for name in sorted({*re.findall(r'register_meta\("(\w+)"', text), *re.findall(r'"torchvision::(\w+)"', text)}):
                library.define(f"{name}() -> ()")  # called by nothing here
            globals()["_kept"] = library  # it goes with its last reference


def checkpoint(folder: Path) -> Path:
    """Configuration, tokenizer and processors of a Qwen3-VL without weights, with the real ids of the special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3VLConfig

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = letters + [f"<unused{n}>" for n in range(FIRST_SPECIAL - len(letters))]
    raw = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    ids = {token: FIRST_SPECIAL + n for n, token in enumerate(SPECIAL)}
    Qwen3VLConfig(
        text_config={
            "vocab_size": FIRST_SPECIAL + 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        },
        vision_config={"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64},
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        architectures=["Qwen3VLForConditionalGeneration"], dtype="float32",
    ).save_pretrained(folder)  # fmt: skip
    how = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    kinds = {"image_processor_type": "Qwen2VLImageProcessor"}, {"video_processor_type": "Qwen3VLVideoProcessor"}
    for name, kind in zip(("preprocessor_config.json", "video_preprocessor_config.json"), kinds, strict=True):
        (folder / name).write_text(json.dumps({**kind, "processor_class": "Qwen3VLProcessor", **how}))
    return folder


def encoded(template: Any, row: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """What a row becomes: the prompt's text, what is learned, how many video tokens there are, and how bright each frame is."""
    made = template.encode(row)
    ids, labels = list(made["input_ids"]), made.get("labels")
    pad = FIRST_SPECIAL + SPECIAL.index("<|video_pad|>")
    out: dict[str, Any] = {"video_tokens": ids.count(pad), "text": tokenizer.decode([n for n in ids if n != pad])}
    if labels is not None:
        out["learned"] = tokenizer.decode([n for n in labels if n != -100])
    grid = made["video_grid_thw"][0].tolist()
    rows = made["pixel_values_videos"].reshape(grid[0], grid[1] * grid[2], 3, 2, -1).float()
    out["grid"] = grid
    out["levels"] = ((rows.mean((1, 2, 4)) + 1) * 127.5).flatten().tolist()  # one per frame: two frames make one row
    return out


def main() -> None:
    """See the module."""
    folder, plugin = Path(sys.argv[1]), sys.argv[2]
    # What the launcher sets (pipelines.training.backends), for 32 frames of 64 x 64.
    os.environ |= {"FPS_MIN_FRAMES": "32", "FPS_MAX_FRAMES": "32", "VIDEO_MAX_TOKEN_NUM": "49", "VIDEO_MIN_TOKEN_NUM": "4"}
    os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "torchcodec")
    mend_torchvision()
    import swift
    from swift.dataset import load_dataset
    from swift.model import get_processor
    from swift.template import get_template

    processor = get_processor(str(checkpoint(folder / "model")), model_type="qwen3_vl")
    template = get_template(processor, max_length=8192)
    template.set_mode("train")
    out: dict[str, Any] = {"version": swift.__version__}
    for name in ("sft", "cot"):
        rows, _ = load_dataset([str(folder / f"{name}.jsonl")], load_from_cache_file=False)
        out[name] = {"count": len(rows), "rows": [encoded(template, row, processor.tokenizer) for row in rows]}

    import torch
    from swift.rewards import orms
    from swift.rl_core.data import GRPOSample
    from swift.rl_core.grpo_algorithm import compute_rewards_per_func
    from swift.utils import import_external_file

    import_external_file(plugin)
    names = sorted(name for name in orms if name.startswith("mllm4d_"))
    # The columns that GRPO's reward functions get are those that its trainer leaves in the data set.
    rows, _ = load_dataset([str(folder / "grpo.jsonl")], load_from_cache_file=False, remove_unused_columns=False)
    completions = json.loads((folder / "completions.json").read_text())
    samples = []
    for row, text in zip(rows, completions, strict=True):
        said = {**row, "messages": [*row["messages"], {"role": "assistant", "content": text}]}
        samples.append(GRPOSample.from_row(said))
    scores = compute_rewards_per_func(samples, [orms[name](args=None) for name in names], None, torch.device("cpu"))
    out["rewards"] = {name: scores[:, n].tolist() for n, name in enumerate(names)}
    out["grpo"] = {"count": len(rows), "rows": [encoded(template, row, processor.tokenizer) for row in rows]}

    if len(sys.argv) > 3:  # command lines, as ms-swift's own parser takes them
        from swift.arguments import RLHFArguments, RolloutArguments, SftArguments
        from transformers import HfArgumentParser

        kinds = {"grpo": RLHFArguments, "rollout": RolloutArguments}
        for stage, words in json.loads(Path(sys.argv[3]).read_text()).items():
            known, unknown = HfArgumentParser([kinds.get(stage, SftArguments)]).parse_known_args(words)
            shown = {name: getattr(known, name, None) for name in ("tuner_type", "freeze_vit", "learning_rate")}
            out.setdefault("arguments", {})[stage] = {"unknown": unknown, **shown}
    print("PROBE " + json.dumps(out))


if __name__ == "__main__":
    main()
