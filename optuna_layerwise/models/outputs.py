"""What networks return: logits, alone or with those of auxiliary classifiers or other features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.models.googlenet import GoogLeNetOutputs
from torchvision.models.inception import InceptionOutputs

AUXILIARY: Mapping[type, tuple[tuple[str, float], ...]] = {
    # Szegedy et al. 2015, section 5
    GoogLeNetOutputs: (("aux2.fc2", 0.3), ("aux1.fc2", 0.3)),
    # TensorFlow's recipe of the published weights, and torchvision's
    InceptionOutputs: (("AuxLogits.fc", 0.4),),
}
"""Class of outputs to, for each field behind the logits, its classifier and its loss's weight."""


def logits_of(outputs: Any) -> torch.Tensor:
    """The logits of a network's output: a tensor, a tuple that begins with it, or ``.logits``.

    Raises:
        ValueError: if there are none.

    Example:
        >>> logits_of((torch.zeros(2, 3), torch.zeros(2, 5))).shape
        torch.Size([2, 3])
    """
    found = outputs[0] if isinstance(outputs, tuple) and outputs else outputs
    found = getattr(found, "logits", found)
    if not isinstance(found, torch.Tensor):
        raise ValueError(
            "a network must return a tensor of logits, a tuple that begins with it, or an object "
            f"with .logits, got {type(outputs).__name__}"
        )
    return found


def training_loss(model: nn.Module, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, and in train mode the weighted ones of Inception's auxiliary classifiers.

    An auxiliary classifier that is frozen adds nothing: it is as random as a new head.
    """
    loss = cross_entropy(logits_of(outputs), labels)
    if classifiers := AUXILIARY.get(type(outputs)):
        paths = auxiliary_heads(model)
        for logits, (name, weight) in zip(outputs[1:], classifiers, strict=True):
            if any(p.requires_grad for p in model.get_submodule(paths[name]).parameters()):
                loss = loss + weight * cross_entropy(logits, labels)
    return loss


def auxiliary_heads(model: nn.Module) -> dict[str, str]:
    """The classifiers of `AUXILIARY` that the model has, with their paths in it."""
    names = [name for fields in AUXILIARY.values() for name, _ in fields]
    return {
        name: path
        for path, _ in model.named_modules()
        for name in names
        if path == name or path.endswith(f".{name}")
    }
