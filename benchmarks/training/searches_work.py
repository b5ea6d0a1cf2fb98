"""What the contestants of `searches.py` compute in a trial, in floating-point operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from optuna.trial import FrozenTrial
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training.searches_table import OURS
from optuna_layerwise import FinetuneObjective, Policy
from optuna_layerwise.cost import training_flops
from optuna_layerwise.records.run import RUN_KEY


class Work:
    """Operations of a trial: of convolutions and linear maps, in training and validation.

    The scripts pass every image forward and backward in each epoch, the naive one through the
    whole network, and every validation image forward, at what torch counts for one image. Ours
    does the careful script's work but for what its stored prefixes save, and none in a trial that
    repeats another, whose result it takes over.
    """

    def __init__(self, objective: FinetuneObjective) -> None:
        self._objective = objective
        self._known: dict[tuple[str, ...], tuple[int, int]] = {}

    def of(self, name: str, policy: Policy, trial: FrozenTrial) -> float:
        """Of one contestant's trial."""
        ours, run = self._objective, trial.user_attrs.get(RUN_KEY, {})
        if run.get("outcome") == "repeated":
            return 0.0
        trained = tuple(policy) if name == "naive" else policy.trained
        work = self._work(*self._image(trained))
        if name == OURS:
            forward, all_of_it = (
                sum(ours.trainer.flops.values()),
                training_flops(ours.trainer.flops, policy),
            )
            work -= self._work(forward, all_of_it - forward) - run["flops"]
        return work

    def _work(self, forward: float, backward: float) -> float:
        data, epochs = self._objective.data, self._objective.recipe.epochs
        return epochs * (len(data.train) * (forward + backward) + len(data.val) * forward)

    def _image(self, trained: tuple[str, ...]) -> tuple[int, int]:
        """Forward and backward, where only these blocks need gradients."""
        if trained not in self._known:
            ours = self._objective
            model = ours.trainer.model().cpu().eval()
            for block, names in ours.blocks.items():
                for name in names:
                    model.get_parameter(name).requires_grad_(block in trained)
            size = ours.spec.image_size
            with counter() as forward:
                loss = model(torch.zeros(1, 3, size, size)).sum()
            with counter() as backward:
                loss.backward()
            self._known[trained] = forward.get_total_flops(), backward.get_total_flops()
        return self._known[trained]


def counter() -> FlopCounterMode:
    """Torch's, which takes the backward pass of a grouped convolution for an ungrouped one."""
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )


def _convolution_backward(
    gradient: Sequence[int], _: Sequence[int], weight: Sequence[int], *more: Any, **__: Any
) -> int:
    """The gradients of input and weight take as much as the forward pass, each if it is needed."""
    wanted = more[-1]  # gradients of input, weight and bias
    return sum(wanted[:2]) * 2 * math.prod(gradient) * math.prod(weight[1:])
