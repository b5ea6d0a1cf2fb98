"""Who may be handed over: a policy with its recipe, validated on images that it did not see."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.data import Examples
from optuna_layerwise.models.weights import load_tensors
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Metric, Recipe, higher_is_better
from optuna_layerwise.recipe_methods import Regression
from optuna_layerwise.records.final import Candidate
from optuna_layerwise.records.run import finite_or_none
from optuna_layerwise.tasks import task_of
from optuna_layerwise.training import Checkpoint, Cost, Fit, Trainer

Logits: TypeAlias = torch.Tensor
"""float32 [images, classes], on the CPU."""
MakeCheckpoint: TypeAlias = Callable[[Mapping[str, Any]], Checkpoint]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """The weights, on the CPU, that a training ended with.

    Args:
        seed: Of the training.
        epochs: That it was trained; ``None`` where validation chose the best one.
        weights: Name to tensor, of those that differ from the pretrained ones.
    """

    seed: int
    epochs: int | None
    weights: dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a training gave.

    Args:
        fit: Its metrics and its cost.
        logits: Of the images that it held out; ``None`` if there were none.
        weights: As `Network.weights`, if they were wanted.
    """

    fit: Fit
    logits: Logits | None
    weights: dict[str, torch.Tensor] | None

    def as_dict(self) -> dict[str, Any]:
        """As tensors and plain data."""
        fit = dataclasses.asdict(self.fit)
        return {"fit": fit, "logits": self.logits, "weights": self.weights}

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Outcome:
        """From what `as_dict` gave.

        Raises:
            KeyError: if something is missing.
            TypeError: if there is something else.
        """
        fit = {**saved["fit"], "cost": Cost(**saved["fit"]["cost"])}
        fit["history"] = tuple(fit["history"])
        return cls(Fit(**fit), saved["logits"], saved["weights"])


class Entrant:
    """A policy with its recipe, its trainings so far, and what came of them.

    Args:
        trainer: Trains.
        name: ``trial 17``, or the title of a baseline.
        policy: The policy.
        changes: Fields in which its recipe differs from that of the study; see `Recipe.changed`.
        checkpoint: Makes the checkpoint of a training from what decides it, so that an
            interrupted contest goes on; ``None`` keeps nothing.
        pretrained: Whether it starts from the pretrained weights.
        is_baseline: Whether it is no trial of the search.
    """

    def __init__(
        self,
        trainer: Trainer,
        name: str,
        policy: Policy,
        changes: Mapping[str, Any],
        *,
        checkpoint: MakeCheckpoint | None = None,
        pretrained: bool = True,
        is_baseline: bool = False,
    ) -> None:
        self.name, self.policy, self.changes = name, policy, dict(changes)
        self.recipe = trainer.recipe.changed(changes)
        self.fits: list[Fit] = []
        self.held_out: list[Logits] = []
        self.kept: list[Network] = []
        self.refitted: list[Network] = []
        self.is_probe = isinstance(self.recipe.method, Regression)
        self.is_baseline = is_baseline
        self._trainer, self._pretrained, self._checkpoint = trainer, pretrained, checkpoint
        self._refits: list[Fit] = []

    @classmethod
    def baseline(
        cls,
        trainer: Trainer,
        name: str,
        changes: Mapping[str, Any],
        checkpoint: MakeCheckpoint | None,
    ) -> Entrant:
        """A method of `BASELINES`, untuned, with the recipe of the study where it has none.

        Args:
            trainer: Trains.
            name: Of the method.
            changes: In the recipe of the study, before those of the method.
            checkpoint: See `Entrant`.
        """
        method = BASELINES[name]
        plain = {**changes, "method": None, "head_start": "random"}
        policy = method.policy(list(trainer.blocks))
        recipe = method.applied(trainer.recipe.changed(plain))
        ours, studys = dataclasses.asdict(recipe), dataclasses.asdict(trainer.recipe)
        differing = {field: value for field, value in ours.items() if value != studys[field]}
        title = method.title
        if trainer.data.train.task == "regression":
            title = title.replace("logistic", "ridge")  # see `Regression.fit`
        return cls(
            *(trainer, title, policy, differing),
            checkpoint=checkpoint,
            pretrained=method.pretrained,
            is_baseline=True,
        )

    def train(self, seed: int, train: Examples, held_out: Examples, *, keep: bool) -> None:
        """Train it once, and keep what it says of the images that it did not see.

        Args:
            seed: Of the training.
            train: The images to train on.
            held_out: Those that choose the epoch.
            keep: Whether to keep the network, too.
        """
        outcome = self._trained(seed, train, held_out, self.recipe, keep=keep)
        assert outcome.logits is not None
        self.fits.append(outcome.fit)
        self.held_out.append(outcome.logits)
        if outcome.weights is not None:
            self.kept.append(Network(seed, None, outcome.weights))

    def refit(self, seed: int, labelled: Examples) -> None:
        """Train it on all labelled images, for as many epochs as `suggested_epochs` says."""
        epochs = suggested_epochs(self.recipe.epochs, self.fits)
        recipe = self.recipe.changed({"epochs": epochs, "patience": None})
        outcome = self._trained(seed, labelled, None, recipe, keep=True)
        assert outcome.weights is not None
        self._refits.append(outcome.fit)
        self.refitted.append(Network(seed, 0 if self.is_probe else epochs, outcome.weights))

    def _trained(
        self, seed: int, train: Examples, val: Examples | None, recipe: Recipe, *, keep: bool
    ) -> Outcome:
        """One training, from its checkpoint if it has one."""
        trainer, pretrained = self._trainer, self._pretrained
        checkpoint, found = None, list[Outcome]()
        if self._checkpoint is not None:
            decides = {
                "policy": dict(self.policy),
                "recipe": recipe.to_json(),
                "seed": seed,
                "pretrained": pretrained,
                "train": list(train.names),
                "held out": [] if val is None else list(val.names),
                "keep": keep,
            }
            checkpoint = self._checkpoint(decides)
            if checkpoint.restore_trial(lambda saved: found.append(Outcome.restored(saved))):
                return found[0]
        model = trainer.model() if pretrained else trainer.untrained_model(seed)
        fit = trainer.train(
            self.policy,
            train,
            val,
            seed,
            model=model,
            pretrained=pretrained,
            recipe=recipe,
            checkpoint=checkpoint,
        )
        logits = None if val is None else trainer.outputs(model, val).cpu()
        outcome = Outcome(fit, logits, _changed(model, trainer.model()) if keep else None)
        if checkpoint is not None:
            checkpoint.trial = outcome.as_dict()
            checkpoint.save()
        return outcome

    @property
    def logits(self) -> Logits:
        """What its trainings say of the images that each held out, one behind the other."""
        return torch.cat(self.held_out)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The answers that they mean, such as probabilities, float64 [images, classes]."""
        return task_of(self._trainer.data.train).answers(self.logits)

    @property
    def diverged(self) -> bool:
        """Whether one of its trainings gave no finite outputs."""
        return not all(bool(logits.isfinite().all()) for logits in self.held_out)

    def best_network(self, metric: Metric) -> Network:
        """That of its best training by validation."""
        sign = -1 if higher_is_better(metric) else 1
        costs = [worst_if_nan(sign * fit.metrics[metric]) for fit in self.fits]
        return self.kept[costs.index(min(costs))]

    def model(self, network: Network) -> torch.nn.Module:
        """A network to use."""
        model = self._trainer.model()
        load_tensors(model, network.weights)
        return model

    def candidate(self, test: Sequence[dict[str, float]] = ()) -> Candidate:
        """What is stored of it.

        Args:
            test: Metrics of its networks on the test split.
        """
        cost = sum((fit.cost for fit in (*self.fits, *self._refits)), Cost())
        return Candidate(
            name=self.name,
            policy=dict(self.policy),
            trained_share=self.fits[0].trained_share,
            val=[finite_or_none(fit.metrics) for fit in self.fits],
            test=[finite_or_none(metrics) for metrics in test],
            images_seen=cost.images_seen,
            seconds=cost.seconds,
            flops=cost.flops,
            recipe=self.changes,
        )


def suggested_epochs(epochs: int, fits: Sequence[Fit]) -> int:
    """The epochs to train without validation: the median of the best ones of validated trainings.

    At least half of those of the recipe, rounded up.
    """
    best = [fit.best_epoch + 1 for fit in fits if fit.best_epoch is not None]
    return max(math.ceil(epochs / 2), round(median(best or [0])))


def worst_if_nan(value: float) -> float:
    """A cost to compare: NaN is as bad as can be."""
    return math.inf if math.isnan(value) else value


def _changed(model: torch.nn.Module, start: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies, on the CPU, of the tensors that are no longer those of ``start``."""
    before = start.state_dict()
    now = {name: tensor.to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    return {name: tensor for name, tensor in now.items() if not torch.equal(tensor, before[name])}
