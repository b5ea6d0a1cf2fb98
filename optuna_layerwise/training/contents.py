"""What a checkpoint holds, tensors and plain data: whether it can be restored, and compared.

Both go through what is nested level by level, and look at what is in several places, or in itself,
once: so neither depth nor a dictionary that holds itself ends them.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

DEEPEST = 100
"""Levels of nesting that are saved; writing them stops at some hundreds."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_OF_TORCH = (torch.Tensor, nn.Parameter, torch.dtype, torch.device, torch.Size)
_HOLDERS = (dict, OrderedDict, Counter, list, tuple, set)


def unstorable(content: Any) -> str:
    """What in it cannot be saved and restored, and why; empty if all can.

    Only exact types are restored: code that a file names is never run, so classes of its own
    are not.
    """
    level, seen = [("content", content)], {id(content)}
    for _ in range(DEEPEST + 1):
        deeper = []
        for where, value in level:
            if type(value) in _PLAIN or type(value) in _OF_TORCH:
                continue
            if type(value) not in _HOLDERS:
                kind = f"{type(value).__module__}.{type(value).__qualname__}"
                return f"{where} is of type {kind}; only tensors and plain data can be restored"
            for name, inner in _items(value):
                if id(inner) not in seen:
                    seen.add(id(inner))
                    deeper.append((f"{where}[{name!r}]", inner))
        if not deeper:
            return ""
        level = deeper
    return f"it is nested more than {DEEPEST} levels deep"


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal, NaN to itself, and tensors of one type bit for bit.

    Raises:
        ValueError: if there is something that cannot be compared.
    """
    pairs, seen = [(one, other)], set()
    while pairs:
        one, other = pairs.pop()
        if (id(one), id(other)) in seen:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if one.keys() != other.keys():
                return False
            pairs += [(value, other[name]) for name, value in one.items()]
        elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if isinstance(one, list) != isinstance(other, list) or len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif not _is_same(one, other):
            return False
        seen.add((id(one), id(other)))
    return True


def _items(holder: Any) -> Any:
    return holder.items() if isinstance(holder, dict) else enumerate(holder)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return _is_same_tensor(one.detach(), other.detach())
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return False
    if one != one and other != other:
        return True
    return bool(one == other)


def _is_same_tensor(one: torch.Tensor, other: torch.Tensor) -> bool:
    for tensor in (one, other):
        if type(tensor) is not torch.Tensor:
            raise ValueError(f"tensors of type {type(tensor).__name__} cannot be compared")
        if tensor.layout not in (torch.strided, torch.sparse_coo) or tensor.is_quantized:
            raise ValueError(f"a tensor of {tensor.layout}, {tensor.dtype} cannot be compared")
    if one.is_nested or other.is_nested:
        raise ValueError("nested tensors cannot be compared")
    about = [(t.dtype, t.shape, t.layout, t.is_meta) for t in (one, other)]
    if about[0] != about[1]:
        return False
    if one.is_meta:
        return True
    if one.layout == torch.sparse_coo:
        one, other = one.coalesce(), other.coalesce()
        parts = [(one.indices(), other.indices()), (one.values(), other.values())]
        return all(a.shape == b.shape and _is_same_tensor(a, b) for a, b in parts)
    return torch.equal(_bits(one), _bits(other))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
