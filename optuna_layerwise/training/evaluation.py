"""What a model is worth on a split, in eval mode and without a graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from optuna_layerwise.data import Images
from optuna_layerwise.models import logits_of
from optuna_layerwise.training.devices import resolve_device
from optuna_layerwise.training.metrics import classification_metrics
from optuna_layerwise.training.resident import Resident, reside

EVALUATION_BATCH = 256


def evaluate(
    model: nn.Module,
    images: Images,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device = "cpu",
    batch_size: int = EVALUATION_BATCH,
) -> dict[str, float]:
    """Move ``model`` to ``device`` and take `classification_metrics` of ``images``.

    Args:
        model: Comes back in the train or eval mode, per module, that it came in.
        images: The split.
        mean: Per channel, of pixels in [0, 1].
        std: Per channel, of pixels in [0, 1].
        device: See `resolve_device`.
        batch_size: Images per forward pass.
    """
    place = resolve_device(device)
    resident = reside(images, mean=mean, std=std, device=place)
    return evaluate_resident(model.to(place), resident, batch_size)


def evaluate_resident(
    model: nn.Module, images: Resident, batch_size: int = EVALUATION_BATCH
) -> dict[str, float]:
    """`evaluate` for images that are in place already."""
    with _eval_mode(model), torch.inference_mode():
        batches = torch.split(torch.arange(len(images)), batch_size)
        logits = [logits_of(model(images.batch(indices)[0])) for indices in batches]
        return classification_metrics(torch.cat(logits), images.labels)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
