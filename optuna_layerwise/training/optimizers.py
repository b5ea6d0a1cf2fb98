"""A recipe's optimizer and schedule, as torch has them."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from optuna_layerwise.models import Blocks, param_groups
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import OPTIMIZERS, Recipe

Groups = list[dict[str, Any]]
MakeOptimizer = Callable[[Groups, Recipe, "bool | None"], torch.optim.Optimizer]


def make_optimizer(
    model: nn.Module,
    blocks: Blocks,
    policy: Policy,
    recipe: Recipe,
    device: torch.device,
    *,
    per_tensor: bool = False,
) -> torch.optim.Optimizer:
    """A group for each trained block, or tensor, at its rate; fused on a CUDA device."""
    groups = param_groups(
        model,
        blocks,
        policy,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        decay_norms_and_biases=recipe.decay_norms_and_biases,
        max_lr=recipe.max_lr,
    )
    if per_tensor:
        groups = [single for group in groups for single in _per_tensor(group)]
    fused = True if device.type == "cuda" else None
    make: MakeOptimizer = pkgutil.resolve_name(OPTIMIZERS[recipe.optimizer])
    return make(groups, recipe, fused)


def adam(groups: Groups, recipe: Recipe, fused: bool | None) -> torch.optim.Optimizer:
    """Adam; weight decay is added to the gradient."""
    return torch.optim.Adam(groups, lr=recipe.lr, fused=fused)


def adamw(groups: Groups, recipe: Recipe, fused: bool | None) -> torch.optim.Optimizer:
    """AdamW; weight decay shrinks the weights."""
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=fused)


def sgd(groups: Groups, recipe: Recipe, fused: bool | None) -> torch.optim.Optimizer:
    """Stochastic gradient descent with the recipe's momentum."""
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=fused)


def _per_tensor(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The group as groups of one parameter each."""
    for parameter, name in zip(group["params"], group["param_names"], strict=True):
        yield {**group, "params": [parameter], "param_names": [name]}


def relative_rate(schedule: lr_scheduler.LRScheduler) -> float:
    """What the schedule multiplies every rate with at this moment."""
    pairs = zip(schedule.get_last_lr(), schedule.base_lrs, strict=True)
    return next(float(now / base) for now, base in pairs if base)


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe) -> lr_scheduler.LRScheduler:
    """Of the rate, stepped once per epoch."""
    if recipe.schedule == "constant":
        return lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
    return lr_scheduler.CosineAnnealingLR(optimizer, recipe.cosine_epochs or recipe.epochs)
