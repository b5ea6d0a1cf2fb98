"""What a model is worth on a split, in eval mode and without a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from optuna_layerwise.models import logits_of
from optuna_layerwise.tasks import task_of
from optuna_layerwise.training.forward import Forward
from optuna_layerwise.training.resident import Resident

EVALUATION_BATCH = 256


def evaluate(
    forward: Forward, images: Resident, batch_size: int = EVALUATION_BATCH
) -> dict[str, float]:
    """All metrics of a split; see `outputs`."""
    logits = outputs(forward, images, batch_size)
    with forward.watch.phase("evaluation"):
        labelled = images.images
        return task_of(labelled).measure(logits, images.labels, labelled.classes)


def outputs(
    forward: Forward, images: Resident, batch_size: int = EVALUATION_BATCH
) -> torch.Tensor:
    """What a model returns for a split, such as logits, float32 [n, classes].

    Args:
        forward: Its model comes back in the train or eval mode, per module, that it came in.
        images: The split.
        batch_size: Examples per forward pass.
    """
    with eval_mode(forward.model), torch.no_grad(), forward.watch.phase("evaluation"):
        chunks = images.chunks(batch_size)
        logits = [logits_of(forward(chunk, torch.arange(len(chunk)))) for chunk in chunks]
        return torch.cat(logits).float()


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode, and then in the mode that it was in."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
