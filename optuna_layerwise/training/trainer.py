"""One network, one data set, one recipe: what search, baselines and finalists share."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import torch

from optuna_layerwise.data import Images, Splits
from optuna_layerwise.models import ModelSpec, check_input
from optuna_layerwise.policy import Policy, Recipe
from optuna_layerwise.training.checkpoint import Checkpoint
from optuna_layerwise.training.devices import resolve_device, seeded
from optuna_layerwise.training.evaluation import evaluate
from optuna_layerwise.training.fit import EpochResult, Fit, fit


class Trainer:
    """Trains policies, each from the same pretrained weights.

    Args:
        spec: The network.
        data: The splits; `evaluate` of the sealed one is for `finalize` alone.
        recipe: How policies are trained.
        device: See `resolve_device`.

    Raises:
        ValueError: if the network cannot take the images, or the device is missing.
    """

    def __init__(self, spec: ModelSpec, data: Splits, recipe: Recipe, *, device: str) -> None:
        self.spec = spec
        self.data = data
        self.recipe = recipe
        self.device = resolve_device(device)
        with seeded(0, torch.device("cpu")):  # a network without weights is the same each time
            self._template = spec.build(len(data.classes))
        check_input(self._template, spec.image_size)
        self.blocks = spec.partition(self._template)

    def model(self) -> torch.nn.Module:
        """A new copy of the pretrained network, with an untrained head."""
        return copy.deepcopy(self._template)

    def untrained_model(self, seed: int) -> torch.nn.Module:
        """The same network with random weights."""
        with seeded(seed, torch.device("cpu")):
            return dataclasses.replace(self.spec, weights=None).build(len(self.data.classes))

    def train(
        self,
        policy: Policy,
        train: Images,
        val: Images,
        seed: int,
        *,
        model: torch.nn.Module | None = None,
        recipe: Recipe | None = None,
        on_epoch: Callable[[EpochResult], object] | None = None,
        should_stop: Callable[[], bool] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Fine-tune a policy once; ``model`` (default a pretrained copy) has the weights then.

        ``recipe`` takes the place of the trainer's own, for what is tuned in other ways.
        """
        return fit(
            self.model() if model is None else model,
            self.blocks,
            policy,
            self.recipe if recipe is None else recipe,
            train,
            val,
            mean=self.spec.mean,
            std=self.spec.std,
            seed=seed,
            device=self.device,
            on_epoch=on_epoch,
            should_stop=should_stop,
            checkpoint=checkpoint,
        )

    def evaluate(self, model: torch.nn.Module, images: Images) -> dict[str, float]:
        """All metrics of a trained model on some images."""
        spec = self.spec
        return evaluate(model, images, mean=spec.mean, std=spec.std, device=self.device)
