"""A GPU where there is none: tensors say that they are on ``cuda`` and refuse to meet those that are not, as they would there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_GPU = torch.device("cuda")
_MEETING = {
    "to",
    "_has_compatible_shallow_copy_type",
    "copy_",
    "__set__",
    "cpu",
    "cuda",
    "type",
    "__repr__",
    "__format__",
}  # may see both sides
_INDEXING = {"__getitem__", "__setitem__", "index_put_", "index"}  # a GPU takes indices from the host
_LEAVING = {"numpy", "__array__"}


class PretendGpu(TorchFunctionMode):
    """While active, ``device="cuda"`` is remembered, and mixing devices raises what CUDA would raise.

    Attributes:
        moved: how many tensors were made or sent there; ran: how many functions ran on tensors that are there.
        away: while set, it looks away (checkpoints are read on the host, through devices of their own).
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved = self.ran = 0
        self.away = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.away:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        owner = getattr(func, "__self__", None)
        tensors = [t for t in _flat((args, kwargs)) if isinstance(t, torch.Tensor)]
        there = [t for t in tensors if _home(t)]
        if name == "__get__" and owner is torch.Tensor.device:
            return _GPU if there else func(*args, **kwargs)
        if name == "__get__" and getattr(owner, "__name__", "") == "is_cuda":
            return bool(there)
        if name == "_parse_to":  # of Module.to, which then sends its parameters one by one
            return func(*args, **kwargs)
        if name in _LEAVING and there:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        wanted: list[str] = []
        plain_args, plain_kwargs = _swapped(args, wanted), _swapped(kwargs, wanted)
        if name not in _MEETING | _INDEXING and there:
            strange = [t for t in tensors if not _home(t) and t.dim() > 0]
            if strange:
                raise RuntimeError(f"{name}: expected all tensors to be on the same device, found cuda:0 and cpu")
        out = func(*plain_args, **plain_kwargs)
        if name == "__set__":  # param.data = ...
            if len(tensors) == 2:
                _mark(tensors[0], _home(tensors[1]))
            return out
        home = bool(there) if not wanted else wanted[-1] == "cuda"
        if name == "cpu":
            home = False
        if name in ("copy_", *_INDEXING) and tensors:
            home = _home(tensors[0])
        if isinstance(out, torch.Tensor) and any(out is t for t in tensors) and _home(out) != home:
            out = out.detach()  # another tensor, as a transfer would give
        self.ran += bool(there)
        for t in _flat(out):
            if isinstance(t, torch.Tensor):
                self.moved += home and not _home(t)
                _mark(t, home)
        return out


def _home(t: torch.Tensor) -> bool:
    return bool(t.__dict__.get("_pretend", False))


def _mark(t: torch.Tensor, home: bool) -> None:
    t.__dict__["_pretend"] = home


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from _flat(v)
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _flat(v)


def _swapped(value: Any, wanted: list[str]) -> Any:
    """The same arguments with the host in place of the GPU."""
    if isinstance(value, torch.device) or (isinstance(value, str) and (value == "cpu" or value.startswith("cuda"))):
        kind = torch.device(value).type
        if kind in ("cuda", "cpu"):
            wanted.append(kind)
        return "cpu"
    if isinstance(value, dict):
        return {k: _swapped(v, wanted) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_swapped(v, wanted) for v in value)
    return value
