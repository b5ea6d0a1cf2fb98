"""A transfer task for the tests: a pretrained model, its data, and the two calls made on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import nn

from optuna_layerwise.data import Images, Splits
from optuna_layerwise.models import ModelSpec
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training import Checkpoint, Compute, Engine, EpochResult, Fit, fit


@dataclasses.dataclass(frozen=True)
class Transfer:
    spec: ModelSpec
    splits: Splits

    def build(self) -> nn.Module:
        return self.spec.build(len(self.splits.classes))

    def policy(self, **multipliers: float) -> Policy:
        """Multiplier 1 but for what is named."""
        with torch.random.fork_rng(devices=()):
            blocks = self.spec.partition(self.build())
        return Policy({block: multipliers.get(block, 1.0) for block in blocks})

    def fit(
        self,
        model: nn.Module,
        policy: Mapping[str, float] | None = None,
        recipe: Recipe | None = None,
        *,
        train: Images | None = None,
        val: Images | None = None,
        seed: int = 0,
        on_epoch: Callable[[EpochResult], object] | None = None,
        should_stop: Callable[[], bool] | None = None,
        checkpoint: Checkpoint | None = None,
        compute: Compute | None = None,
    ) -> Fit:
        return fit(
            model,
            self.spec.partition(model),
            Policy(policy) if policy is not None else self.policy(),
            recipe or Recipe(lr=3e-3, epochs=4, patience=None),
            self.splits.train if train is None else train,
            self.splits.val if val is None else val,
            Engine(mean=self.spec.mean, std=self.spec.std, device="cpu", compute=compute),
            seed=seed,
            on_epoch=on_epoch,
            should_stop=should_stop,
            checkpoint=checkpoint,
        )

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        engine = Engine(mean=self.spec.mean, std=self.spec.std, device="cpu")
        return engine.evaluate(model, self.splits.val)
