"""The fine-tuning loop: one model, one policy, one recipe, one seed.

Whatever is compared in this package, searched or published, is trained here. A block learns at
``multiplier * recipe.lr``; a frozen one (multiplier 0) is in no parameter group, and below the
lowest trained block there is no graph.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from optuna_layerwise.data import Images
from optuna_layerwise.models import (
    Blocks,
    frozen,
    param_groups,
    reset_head,
    trained_share,
    training_loss,
)
from optuna_layerwise.policy import Policy, Recipe
from optuna_layerwise.training.devices import resolve_device, seeded
from optuna_layerwise.training.evaluation import evaluate_resident
from optuna_layerwise.training.metrics import METRICS, improves
from optuna_layerwise.training.resident import reside, split_batches


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """One finished epoch, counted from 0; ``metrics`` is its entry in `Fit.history`."""

    epoch: int
    metrics: dict[str, float]
    improved: bool


@dataclasses.dataclass(frozen=True)
class Fit:
    """What one fine-tuning gave and what it cost.

    Args:
        history: Per finished epoch ``train_loss`` (mean over its images, as they were trained),
            ``lr`` (of a block with multiplier 1) and the validation metrics.
        best_epoch: The epoch whose weights the model has, counted from 0; ``None`` if it
            diverged before the first one ended (then it has the weights it started with).
        metrics: Validation metrics of the best epoch; all NaN without one.
        diverged: The training or the validation loss stopped being finite.
        images_seen: Training images that went forward and backward.
        seconds: Wall time, validation included.
        peak_memory_bytes: Most memory that tensors held on a CUDA device meanwhile; ``None``
            elsewhere, where torch does not count it.
        trained_share: Trained parameters as a share of all.
    """

    history: tuple[dict[str, float], ...]
    best_epoch: int | None
    metrics: dict[str, float]
    diverged: bool
    images_seen: int
    seconds: float
    peak_memory_bytes: int | None
    trained_share: float


def fit(
    model: nn.Module,
    blocks: Blocks,
    policy: Policy,
    recipe: Recipe,
    train: Images,
    val: Images,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    device: str | torch.device = "cpu",
    on_epoch: Callable[[EpochResult], object] | None = None,
    on_step: Callable[[], object] | None = None,
) -> Fit:
    """Fine-tune ``model`` in place; it ends on ``device``, unfrozen, with its best weights.

    The seed decides the new head, the order of the images and dropout, and nothing else; global
    generators are as they were afterwards. On a CPU equal seeds give equal bits.

    Args:
        model: A pretrained network whose head has one output per class.
        blocks: Its parameters by block, from `partition`.
        policy: For every block a multiplier of ``recipe.lr``, 0 is frozen.
        recipe: Optimizer, schedule, epochs, early stopping. ``cosine_epochs`` below ``epochs``
            lets the rate rise again, as torch's ``CosineAnnealingLR`` does.
        train: The training split; see `split_batches` for a ragged end.
        val: The split that early stopping looks at.
        mean: Per channel, of pixels in [0, 1].
        std: Per channel, of pixels in [0, 1].
        seed: Of everything random.
        device: See `resolve_device`.
        on_epoch: Called after each epoch. Whatever it raises ends the fit and reaches the
            caller; the model is then unfrozen and has its current, not its best weights.
        on_step: Called before each step, under the same rule.

    Raises:
        ValueError: if the policy trains nothing, or the splits cannot serve the recipe.

    Example:
        >>> from optuna_layerwise.data import load_data
        >>> from optuna_layerwise.models import DigitsCNN, partition
        >>> digits, model = load_data("digits", image_size=8), DigitsCNN(num_classes=5)
        >>> blocks = partition(model)
        >>> result = fit(model, blocks, Policy.uniform(blocks, ["stage3", "head"]),
        ...              Recipe(epochs=2), digits.train, digits.val,
        ...              mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), seed=0)
        >>> len(result.history), result.images_seen
        (2, 100)
    """
    started, place = time.perf_counter(), resolve_device(device)
    share = trained_share(model, blocks, policy)
    _check(policy, recipe, train, val)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    reset_head(model, blocks, seed)
    model.to(place).zero_grad(set_to_none=True)
    train_images = reside(train, mean=mean, std=std, device=place)
    val_images = reside(val, mean=mean, std=std, device=place)
    shuffle = torch.Generator().manual_seed(seed)
    history: list[dict[str, float]] = []
    best_epoch, images_seen, diverged = None, 0, False

    with seeded(seed, place), frozen(model, blocks, policy, bn=recipe.bn):
        optimizer = _optimizer(model, blocks, policy, recipe, place)
        schedule = _schedule(optimizer, recipe)
        model.train()
        best = [tensor.detach().clone() for tensor in _changing(model)]

        for epoch in range(recipe.epochs):
            lr = recipe.lr * float(schedule.get_last_lr()[0] / schedule.base_lrs[0])
            model.train()
            total_loss = torch.zeros((), device=place)
            order = torch.randperm(len(train), generator=shuffle)
            for indices in split_batches(order, recipe.batch_size):
                if on_step is not None:
                    on_step()
                inputs, labels = train_images.batch(indices)
                loss = training_loss(model, model(inputs), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                images_seen += len(indices)
                total_loss += loss.detach() * len(indices)
                # Reading the loss waits for an accelerator: there, once per epoch.
                if place.type == "cpu" and not math.isfinite(total_loss.item()):
                    break
            schedule.step()

            train_loss = total_loss.item() / len(train)
            diverged = not math.isfinite(train_loss)
            if diverged:
                break
            metrics = evaluate_resident(model, val_images)
            diverged = not math.isfinite(metrics["loss"])
            if diverged:
                break
            history.append({"train_loss": train_loss, "lr": lr, **metrics})
            record = None if best_epoch is None else history[best_epoch][recipe.metric]
            improved = improves(recipe.metric, metrics[recipe.metric], record)
            if improved:
                best_epoch = epoch
                _copy(_changing(model), best)
            if on_epoch is not None:
                on_epoch(EpochResult(epoch, history[-1], improved))
            if recipe.patience is not None and epoch - (best_epoch or 0) >= recipe.patience:
                break

        _copy(best, _changing(model))

    final = {} if best_epoch is None else history[best_epoch]
    return Fit(
        history=tuple(history),
        best_epoch=best_epoch,
        metrics={name: final.get(name, math.nan) for name in METRICS},
        diverged=diverged,
        images_seen=images_seen,
        seconds=time.perf_counter() - started,
        peak_memory_bytes=(
            torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
        ),
        trained_share=share,
    )


def _check(policy: Policy, recipe: Recipe, train: Images, val: Images) -> None:
    if not policy.trained:
        raise ValueError(
            f"the policy freezes every block ({', '.join(policy)}), so there is nothing to fit; "
            "evaluate the model instead, or give at least one block a multiplier above 0"
        )
    for name, images in (("training", train), ("validation", val)):
        if not len(images):
            raise ValueError(f"the {name} split must hold at least one image, got none")
    if recipe.metric == "auc" and len(np.unique(val.labels)) < 2:
        raise ValueError(
            "metric 'auc' needs at least two classes in the validation split, got one; "
            "use 'loss' or 'accuracy', or a stratified split"
        )


def _optimizer(
    model: nn.Module, blocks: Blocks, policy: Policy, recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    groups = param_groups(
        model,
        blocks,
        policy,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        decay_norms_and_biases=recipe.decay_norms_and_biases,
        max_lr=recipe.max_lr,
    )
    fused = True if device.type == "cuda" else None
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=fused)
    adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return adam(groups, lr=recipe.lr, fused=fused)


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe) -> lr_scheduler.LRScheduler:
    if recipe.schedule == "constant":
        return lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
    return lr_scheduler.CosineAnnealingLR(optimizer, recipe.cosine_epochs or recipe.epochs)


def _changing(model: nn.Module) -> list[torch.Tensor]:
    """What training can change: trained parameters, and buffers of modules in train mode."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training = [module for module in model.modules() if module.training]
    return trained + [buffer for m in training for buffer in m.buffers(recurse=False)]


@torch.no_grad()
def _copy(source: list[torch.Tensor], target: list[torch.Tensor]) -> None:
    for new, old in zip(source, target, strict=True):
        old.copy_(new)
