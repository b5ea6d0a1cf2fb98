"""The course of a training; this one is plain fine-tuning, and methods change parts of it."""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim import lr_scheduler

from optuna_layerwise.models import Blocks
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Joint:
    """What a method may use at an epoch's start.

    Args:
        epoch: From 0.
        batches: Rows of the epoch's batches, in order; each in the parts that memory has room for.
        backward: Adds the gradient of a batch's mean loss, scaled, to the parameters.
        optimizer: With no gradients.
        schedule: Of its rates.
        scaler: Of the loss; it scales in fp16 only.
    """

    epoch: int
    batches: Sequence[list[torch.Tensor]]
    backward: Callable[[list[torch.Tensor]], None]
    optimizer: torch.optim.Optimizer
    schedule: lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler


class Course:
    """Every block of the policy, from the first step to the last, at its own rate.

    Args:
        policy: What is trained.
        recipe: How; its ``method`` is this course's own.
    """

    group_per_tensor = False
    """Whether each tensor has a group of the optimizer, and so a rate, of its own."""
    settled = 0
    """The first epoch in which all blocks of the policy are trained; patience begins there."""

    def __init__(self, policy: Policy, recipe: Recipe) -> None:
        self.policy = policy
        self.recipe = recipe

    @property
    def epochs(self) -> int:
        """The largest number of epochs."""
        return self.recipe.epochs

    @contextmanager
    def prepared(self, model: nn.Module, blocks: Blocks, seed: int) -> Iterator[Blocks]:
        """Adds modules to the model, for as long as the context is open; yields its blocks."""
        yield blocks

    def begin(self, model: nn.Module, blocks: Blocks) -> None:
        """Looks at the model once its head is new and its blocks are frozen.

        May take the gradient from parameters of trained blocks.
        """

    def trained(self, epoch: int) -> Policy:
        """What is trained in an epoch: blocks of the policy, the others frozen as it freezes."""
        return self.policy

    def penalty(self) -> torch.Tensor | None:
        """What is added to the loss of a step."""
        return None

    def begin_epoch(self, joint: Joint) -> None:
        """Before the first step of an epoch."""


def course_of(policy: Policy, recipe: Recipe) -> Course:
    """What the recipe's method does to a training of the policy."""
    kind: type[Course] = Course
    if recipe.method is not None:
        kind = pkgutil.resolve_name(recipe.method.course)
    return kind(policy, recipe)
