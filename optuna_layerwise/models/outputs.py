"""What networks return: logits, alone or with those of auxiliary classifiers or other features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision.models.googlenet import GoogLeNetOutputs
from torchvision.models.inception import InceptionOutputs

from optuna_layerwise.tasks import Classification, Task

_CLASSES = Classification()

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

    Examples:
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


def training_loss(
    model: nn.Module,
    outputs: Any,
    labels: torch.Tensor,
    *,
    task: Task = _CLASSES,
    label_smoothing: float = 0.0,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The task's loss, and in train mode the weighted ones of Inception's auxiliary classifiers.

    An auxiliary classifier that is frozen adds nothing: it is as random as a new head.

    Args:
        model: The network.
        outputs: What it returned for n images.
        labels: Theirs, such as classes, int64 [n].
        task: What the network is to answer, by default a class.
        label_smoothing: The share of a label that is spread evenly over all classes.
        class_weights: float [classes]; the loss is then the mean over the images of their
            cross-entropies times the weights of their classes. The mean is over n, and not over
            the weights of these images, so that batches that are cut in parts give the same.
    """

    def loss_of(logits: torch.Tensor) -> torch.Tensor:
        return task.loss(
            logits, labels, label_smoothing=label_smoothing, class_weights=class_weights
        )

    loss = loss_of(logits_of(outputs))
    if classifiers := AUXILIARY.get(type(outputs)):
        paths = auxiliary_heads(model)
        for logits, (name, weight) in zip(outputs[1:], classifiers, strict=True):
            if any(p.requires_grad for p in model.get_submodule(paths[name]).parameters()):
                loss = loss + weight * loss_of(logits)
    return loss


def balanced_weights(labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Weights that make classes count the same, as scikit-learn's ``balanced`` has them.

    Args:
        labels: Classes of the n training images, int64 [n].
        n_classes: The number of classes.

    Returns:
        float32 [n_classes]: ``n / (k * count)`` with the k classes that occur, whose mean over
        the images is 1; 0 for classes without an image.

    Examples:
        >>> balanced_weights(torch.tensor([0, 0, 0, 1]), 3)
        tensor([0.6667, 2.0000, 0.0000])
    """
    counts = torch.bincount(labels, minlength=n_classes).double()
    present = counts > 0
    weights = len(labels) / (present.sum() * counts)
    return torch.where(present, weights, 0.0).float()


def auxiliary_heads(model: nn.Module) -> dict[str, str]:
    """The classifiers of `AUXILIARY` that the model has, with their paths in it."""
    names = [name for fields in AUXILIARY.values() for name, _ in fields]
    return {
        name: path
        for path, _ in model.named_modules()
        for name in names
        if path == name or path.endswith(f".{name}")
    }
