"""A stand-in for the package ``depth-anything-3`` 0.1.1: its signatures and its shapes, and values that a test chooses."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest


class Network:
    """The inner network: views (B, N, 3, H, W) of B scenes in; it says what its ``answer`` gives for them."""

    def __init__(self, answer: Any, asked: list[Any], *, poses: bool) -> None:
        self.answer, self.asked, self.cam_dec = answer, asked, (object() if poses else None)

    def __call__(
        self,
        x: Any,
        extrinsics: Any = None,
        intrinsics: Any = None,
        export_feat_layers: Any = (),
        infer_gs: bool = False,
        use_ray_pose: bool = False,
        ref_view_strategy: str = "saddle_balanced",
    ) -> Any:
        assert x.ndim == 5 and x.shape[2] == 3 and x.shape[3] % 14 == x.shape[4] % 14 == 0
        assert ref_view_strategy in ("first", "middle", "saddle_balanced", "saddle_sim_range")
        self.asked.append((tuple(x.shape), str(x.dtype), ref_view_strategy))
        return types.SimpleNamespace(**self.answer(x))


class InputProcessor:
    def __call__(
        self,
        image: list[np.ndarray],
        extrinsics: Any = None,
        intrinsics: Any = None,
        process_res: int = 504,
        process_res_method: str = "upper_bound_resize",
        *,
        num_workers: int = 8,
        print_progress: bool = False,
        sequential: bool | None = None,
        desc: str | None = "Preprocess",
    ) -> tuple[Any, None, None]:
        import torch

        assert process_res_method == "upper_bound_resize" and isinstance(image, list)
        assert all(one.dtype == np.uint8 and one.ndim == 3 and one.flags.c_contiguous for one in image)
        height, width = image[0].shape[:2]
        longer = max(height, width)
        h, w = (max(1, round(side * process_res / longer / 14)) * 14 for side in (height, width))
        return torch.zeros((len(image), 3, h, w)), None, None


def install(monkeypatch: pytest.MonkeyPatch, answer: Any, *, model_name: str) -> list[Any]:
    """Put the stand-in where the package is looked for; returns what it is asked, in order."""
    from curation.objects.backends.runtime import packaged

    asked: list[Any] = []

    class DepthAnything3:
        def __init__(self) -> None:
            self.model_name, self.input_processor = model_name, InputProcessor()
            self.model = Network(answer, asked, poses="metric" not in model_name)

        @classmethod
        def from_pretrained(
            cls,
            pretrained_model_name_or_path: str,
            *,
            force_download: bool = False,
            token: str | None = None,
            cache_dir: str | None = None,
            local_files_only: bool = False,
            revision: str | None = None,
        ) -> DepthAnything3:
            asked.append(pretrained_model_name_or_path)
            return cls()

        def to(self, device: str) -> DepthAnything3:
            return self

        def eval(self) -> DepthAnything3:
            return self

        def inference(self, image: list[np.ndarray]) -> None:
            pytest.fail("it would compute in half precision on a processor, and take all pictures for one scene")

    package = types.ModuleType("depth_anything_3.api")
    package.DepthAnything3 = DepthAnything3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "depth_anything_3", types.ModuleType("depth_anything_3"))
    monkeypatch.setitem(sys.modules, "depth_anything_3.api", package)
    packaged.cache_clear()
    return asked
