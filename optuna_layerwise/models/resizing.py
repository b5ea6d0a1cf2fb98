"""A classifier's layer, and a fresh one with another number of outputs in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn


def is_classifier(module: nn.Module) -> bool:
    """Whether it may be the last layer of a network: a linear one, or a 1 x 1 convolution."""
    return isinstance(module, nn.Linear) or is_pointwise(module)


def outputs_of(module: nn.Module) -> int | None:
    """How many outputs such a layer has; ``None`` of another one."""
    if not is_classifier(module):
        return None
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels  # type: ignore[return-value]


def is_pointwise(module: nn.Module) -> bool:
    """Whether it is a convolution that maps each pixel for itself."""
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1


def resized(model: nn.Module, paths: Iterable[str], outputs: int) -> None:
    """Put a fresh layer with so many outputs in the place of each of these, in place."""
    for path in paths:
        old = model.get_submodule(path)
        parent, _, name = path.rpartition(".")
        new = _like(old, outputs).train(old.training)
        if name == "original_module":  # what PEFT keeps beside the copy that trains
            new.requires_grad_(False)
        setattr(model.get_submodule(parent), name, new)


def _like(old: nn.Module, outputs: int) -> nn.Module:
    assert isinstance(old, (nn.Linear, nn.Conv2d))
    place: Any = {"device": old.weight.device, "dtype": old.weight.dtype}
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, outputs, bias=old.bias is not None, **place)
    return nn.Conv2d(old.in_channels, outputs, 1, bias=old.bias is not None, **place)
