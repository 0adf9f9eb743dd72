"""Checkpoints of the learned backends with random weights and a few thousand parameters, saved as the real ones are.

They see nothing in a picture; what they prove is that the code path from a folder of weights to masks holds.
"""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.edgetam.configuration_edgetam import EdgeTamVisionConfig

SIZE = 64
_WORDS = ("person", "car", "dog", "ball", ".", "the", "a", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "?")


def sam2(folder: Path) -> Path:
    """A SAM 2 video checkpoint."""
    backbone = {
        "hidden_size": 8,
        "image_size": [SIZE, SIZE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = hf.Sam2VisionConfig(
        backbone_config=hf.Sam2HieraDetConfig(**backbone),
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=128,
    )
    config = hf.Sam2VideoConfig(vision_config=vision, **_tracker(hf.Sam2VideoPromptEncoderConfig, hf.Sam2VideoMaskDecoderConfig))
    return _save(hf.Sam2VideoModel, config, None, folder)


class _PyramidConfig(hf.PreTrainedConfig):
    model_type = "tiny_pyramid"


class _Pyramid(hf.PreTrainedModel):
    """In place of EdgeTAM's RepViT, which needs timm: four maps at strides 4, 8, 16, 32."""

    config_class = _PyramidConfig

    def __init__(self, config: _PyramidConfig) -> None:
        super().__init__(config)
        widths = (3, 8, 16, 32, 64)
        strides = (4, 2, 2, 2)
        pairs = zip(widths[:-1], widths[1:], strides, strict=True)
        self.steps = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3, stride=s, padding=1) for a, b, s in pairs)
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, **_: object) -> BaseModelOutput:
        maps = [pixel_values]
        for step in self.steps:
            maps.append(step(maps[-1]))
        return BaseModelOutput(last_hidden_state=maps[1:])


hf.AutoConfig.register("tiny_pyramid", _PyramidConfig, exist_ok=True)
hf.AutoModel.register(_PyramidConfig, _Pyramid, exist_ok=True)


def edgetam(folder: Path) -> Path:
    """An EdgeTAM video checkpoint with a stand-in for its backbone."""
    vision = EdgeTamVisionConfig(
        backbone_config=_PyramidConfig(),
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=128,
    )
    tracker = _tracker(hf.EdgeTamVideoPromptEncoderConfig, hf.EdgeTamVideoMaskDecoderConfig)
    tracker["memory_attention_mlp_hidden_size"] = tracker.pop("memory_attention_feed_forward_hidden_size")
    latents = {"perceiver_resampler_num_latents": 16, "perceiver_resampler_num_latents_2d": 16}
    config = hf.EdgeTamVideoConfig(vision_config=vision, memory_attention_rope_k_sizes=[4, 4], **latents, **tracker)
    return _save(hf.EdgeTamVideoModel, config, None, folder)


def sam3(folder: Path) -> Path:
    """A SAM 3 video checkpoint with a vocabulary of single letters."""
    folder.mkdir(parents=True, exist_ok=True)
    vit = hf.Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        pretrain_image_size=56,
        patch_size=14,
        window_size=2,
        global_attn_indexes=[1],
    )
    vision = {"backbone_config": vit, "fpn_hidden_size": 128, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
    small = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 32}
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = hf.CLIPTokenizer(vocab={word: n for n, word in enumerate(vocabulary)}, merges=[])
    detector = hf.Sam3Config(
        vision_config=hf.Sam3VisionConfig(**vision),
        text_config=hf.CLIPTextConfig(
            vocab_size=len(vocabulary),
            num_hidden_layers=1,
            projection_dim=32,
            max_position_embeddings=32,
            eos_token_id=len(vocabulary) - 1,
            **small,
        ),
        geometry_encoder_config=hf.Sam3GeometryEncoderConfig(num_layers=1, **small),
        detr_encoder_config=hf.Sam3DETREncoderConfig(num_layers=1, **small),
        detr_decoder_config=hf.Sam3DETRDecoderConfig(num_layers=1, num_queries=4, **small),
        mask_decoder_config=hf.Sam3MaskDecoderConfig(hidden_size=128, num_attention_heads=2),
    )
    shape = {"hidden_size": 128, "image_size": 56, "patch_size": 14, "mask_input_channels": 8}
    tracker = _tracker(dict, dict) | {
        "prompt_encoder_config": shape,
        "mask_decoder_config": {"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        "vision_config": hf.Sam3VisionConfig(**vision),
        "image_size": 56,
    }
    config = hf.Sam3VideoConfig(
        detector_config=detector,
        tracker_config=hf.Sam3TrackerVideoConfig(**tracker),
        low_res_mask_size=16,
        score_threshold_detection=0.0,
        new_det_thresh=0.0,
        hotstart_delay=0,
    )
    return _save(hf.Sam3VideoModel, config, tokenizer, folder)


def _tracker(prompts: type, masks: type) -> dict:
    return {
        "prompt_encoder_config": prompts(hidden_size=128, image_size=SIZE, patch_size=16, mask_input_channels=8),
        "mask_decoder_config": masks(hidden_size=128, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=32),
        "image_size": SIZE,
        "memory_attention_hidden_size": 128,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 64,
        "memory_attention_rope_feat_sizes": [4, 4],
        "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_num_layers": 1,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 64,
    }


def grounding_dino(folder: Path) -> Path:
    """A Grounding DINO checkpoint with a vocabulary of a dozen words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(_WORDS))
    tokenizer = hf.BertTokenizer(vocab={word: n for n, word in enumerate(_WORDS)})
    config = hf.GroundingDinoConfig(
        backbone_config=hf.SwinConfig(
            image_size=SIZE, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2, out_indices=[2, 3, 4]
        ),
        text_config=hf.BertConfig(
            vocab_size=len(_WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        ),
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        num_queries=3,
        num_feature_levels=4,
        encoder_n_points=2,
        decoder_n_points=2,
    )
    image = hf.GroundingDinoImageProcessor(size={"shortest_edge": SIZE, "longest_edge": 2 * SIZE})
    return _save(hf.GroundingDinoForObjectDetection, config, hf.GroundingDinoProcessor(image, tokenizer), folder)


def _save(model_class: type, config: object, processor: object, folder: Path) -> Path:
    torch.manual_seed(0)
    model = model_class(config).eval()
    for name, values in model.named_parameters():
        if name.endswith("pred_obj_score_head.proj_out.bias"):
            torch.nn.init.constant_(values, 5.0)  # "it is there": else an untrained tracker loses everything at once
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder
