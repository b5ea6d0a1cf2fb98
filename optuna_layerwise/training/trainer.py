"""One network, one data set, one recipe: what search, baselines and finalists share."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable

import torch

from optuna_layerwise.data import Examples, Images, Splits
from optuna_layerwise.models import ModelSpec, check_input, check_takes, trained_share
from optuna_layerwise.models.flops import block_flops
from optuna_layerwise.models.seeding import drawing, seeded
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training.checkpoint import Checkpoint
from optuna_layerwise.training.compute import Compute, ran_out_of_memory
from optuna_layerwise.training.engine import Engine
from optuna_layerwise.training.fit import EpochResult, Fit, fit
from optuna_layerwise.training.metrics import check_metric


class Trainer:
    """Trains policies, each from the same pretrained weights.

    The network is built once; between trainings its weights are put back in place. Threads that
    train at once have a network each.

    Args:
        spec: The network.
        data: The splits; `evaluate` of the sealed one is for `finalize` alone.
        recipe: How policies are trained.
        device: See `resolve_device`.
        compute: Settings of the device.

    Raises:
        ValueError: if the network cannot take the images, or the device is missing.
    """

    def __init__(
        self,
        spec: ModelSpec,
        data: Splits,
        recipe: Recipe,
        *,
        device: str,
        compute: Compute | None = None,
    ) -> None:
        self.spec = spec
        check_metric(recipe.metric, data.val)
        for field in ("label_smoothing", "class_weights"):
            value, task = getattr(recipe, field), data.train.task
            if task != "classification" and value != getattr(Recipe, field):
                raise ValueError(
                    f"{field}={value!r} is for classes, and the task is {task!r}; leave it out"
                )
        self.data = data
        self.recipe = recipe
        self.engine = Engine(mean=spec.mean, std=spec.std, device=device, compute=compute)
        self.device = self.engine.device
        with drawing, seeded(0, torch.device("cpu")):  # without weights the same each time, too
            self._template = spec.build(len(data.classes))
        self.example = self._example()
        self.blocks = spec.partition(self._template)
        self.flops = block_flops(copy.deepcopy(self._template).eval(), self.blocks, self.example)
        self._pretrained = [t.to(self.device) for t in _tensors(self._template)]
        self._idle: list[torch.nn.Module] = []

    def _example(self) -> torch.Tensor:
        """An input [1, ...] of the form that the network gets, after it has taken two of them."""
        train, size = self.data.train, self.spec.image_size
        if isinstance(train, Images):
            check_input(self._template, size)
            return torch.zeros(1, 3, size, size)
        if self.recipe.augment != "none":
            raise ValueError(
                f"augment={self.recipe.augment!r} is for images, and these are {train.noun}; "
                "leave it out"
            )
        two = torch.from_numpy(train.shown(2))
        kind = f"{train.noun} {list(two.shape[1:])} of {two.dtype}".replace("torch.", "")
        check_takes(self._template, two, kind)
        return torch.from_numpy(train.typical())

    def model(self) -> torch.nn.Module:
        """A new copy of the pretrained network, with an untrained head."""
        return copy.deepcopy(self._template)

    def untrained_model(self, seed: int) -> torch.nn.Module:
        """The same network with random weights."""
        with drawing, seeded(seed, torch.device("cpu")):
            return dataclasses.replace(self.spec, weights=None).build(len(self.data.classes))

    def trained_share(self, policy: Policy) -> float:
        """The share of the network's parameters that a policy trains, in [0, 1]."""
        return trained_share(self._template, self.blocks, policy)

    def train(
        self,
        policy: Policy,
        train: Examples,
        val: Examples | None,
        seed: int,
        *,
        model: torch.nn.Module | None = None,
        pretrained: bool = True,
        recipe: Recipe | None = None,
        on_epoch: Callable[[EpochResult], object] | None = None,
        should_stop: Callable[[], bool] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Fine-tune a policy once.

        Where memory runs out, it is freed and the training begins again with half the
        micro-batch, which later trainings keep; what the lost attempt cost is not counted.

        Args:
            policy: For every block a multiplier.
            train: The training split.
            val: The validation split; ``None`` trains all epochs, and ends with the last.
            seed: Of everything random.
            model: Of `model` or `untrained_model`, for a caller who wants the trained weights: it
                gives the weights to begin with and gets those of the end.
            pretrained: Whether the training starts from the pretrained weights, or else from
                random ones. For a ``model`` that is given, say which it has.
            recipe: In the place of the trainer's own, for what is tuned in other ways.
            on_epoch: See `fit`.
            should_stop: See `fit`.
            checkpoint: See `fit`.

        Raises:
            Exception: what `fit` raises; of memory if not even single images fit into it.
        """
        recipe = self.recipe if recipe is None else recipe
        start = self._pretrained
        if model is not None or not pretrained:
            start = _tensors(self.untrained_model(seed) if model is None else model)
        try:
            network = self._idle.pop()
        except IndexError:  # another thread has it, or there is none yet
            network = self.engine.compute.prepared(self.model(), self.blocks, self.device)
        try:
            while True:
                _copy(start, network)
                try:
                    result = fit(
                        network,
                        self.blocks,
                        policy,
                        recipe,
                        train,
                        val,
                        self.engine,
                        seed=seed,
                        flops=self.flops,
                        share_prefixes=pretrained,
                        on_epoch=on_epoch,
                        should_stop=should_stop,
                        checkpoint=checkpoint,
                    )
                    break
                except Exception as error:
                    if not ran_out_of_memory(error):
                        raise
                    if self.engine.largest(recipe) == 1:  # halving was no help
                        self.engine.unshrink()
                        raise
                self.engine.shrink(recipe)  # not before: the error holds the tensors
            if model is not None:
                _copy(_tensors(network), model)
            return result
        finally:
            self._idle.append(network)

    def evaluate(self, model: torch.nn.Module, images: Examples) -> dict[str, float]:
        """All metrics of a trained model on some images."""
        return self.engine.evaluate(model, images)

    def outputs(self, model: torch.nn.Module, images: Examples) -> torch.Tensor:
        """Logits of a trained model on some images, float32 [n, classes]."""
        return self.engine.outputs(model, images)


@torch.no_grad()
def _copy(tensors: list[torch.Tensor], model: torch.nn.Module) -> None:
    for tensor, value in zip(_tensors(model), tensors, strict=True):
        tensor.copy_(value)


def _tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    return [tensor.detach() for tensor in itertools.chain(model.parameters(), model.buffers())]
