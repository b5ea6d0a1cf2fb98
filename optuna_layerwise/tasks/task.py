"""What a network is to answer: the one place where kinds of tasks differ.

A new task is a module like `classification`, a row of `TASKS`, and labels that `task_named` of
``data.targets`` tells from those of others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from optuna_layerwise.recipe import METRICS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task(ABC):
    """How outputs of a network are trained, judged and averaged.

    Outputs are what the network returns, [n, width]. Answers are what they mean: probabilities,
    or numbers. The mean of the answers of several networks is an answer, too.

    Attributes:
        name: The name in `TASKS`.
        metrics: The names of what `measure` returns.

    Args:
        scale: For targets that are numbers, the mean and the standard deviation of each over the
            training examples.
    """

    scale: tuple[tuple[float, float], ...] = ()

    name: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    has_classes: ClassVar[bool] = False
    """Whether each example belongs to exactly one class."""

    @property
    def choices(self) -> tuple[str, ...]:
        """The `metrics` by which a study may choose."""
        return METRICS[self.name]

    @abstractmethod
    def loss(
        self,
        outputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The training loss, the mean over n examples.

        Args:
            outputs: [n, width].
            labels: Those of the examples, on the same device.
            label_smoothing: See `Recipe`; 0 unless the task has classes.
            class_weights: See `balanced_weights`; ``None`` unless the task has classes.
        """

    @abstractmethod
    def answered(self, outputs: torch.Tensor) -> torch.Tensor:
        """What outputs mean, [n, width] like these."""

    def answers(self, outputs: torch.Tensor) -> Floats:
        """The same as an array, float64 [n, width]."""
        found: Floats = self.answered(outputs.cpu().double()).numpy()
        return found

    @abstractmethod
    def outputs_of(self, answers: Floats) -> Floats:
        """Outputs that mean these answers."""

    @staticmethod
    @abstractmethod
    def mixed(outputs: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
        """Outputs whose answers are the weighted mean of those of several networks.

        Args:
            outputs: Those of each network, [n, width].
            weights: One for each network, with the sum 1.
        """

    @abstractmethod
    def evidence(self, answers: Floats, labels: NDArray[Any]) -> Floats:
        """Numbers [k, m] that `cost` judges, and whose weighted mean is that of mean answers.

        Args:
            answers: Those of k networks, [k, n, width].
            labels: Those of the n examples.
        """

    @abstractmethod
    def cost(self, evidence: Floats) -> Floats:
        """The loss of `evidence` [..., m], over the last axis."""

    @abstractmethod
    def scores(
        self, answers: Floats, labels: NDArray[Any], metric: str, weights: Floats
    ) -> Floats:
        """A metric of k networks, with examples that count several times or not at all.

        Args:
            answers: [k, n, width], finite.
            labels: Those of the n examples.
            metric: One of `choices`.
            weights: [m, n], how often each example counts: whole numbers, for m resamples.

        Returns:
            [m, k]; NaN where the metric is undefined.
        """

    def measure(
        self,
        outputs: torch.Tensor | NDArray[np.floating],
        labels: torch.Tensor | NDArray[Any],
        names: Sequence[str] = (),
    ) -> dict[str, float]:
        """All `metrics` of a split; every one is NaN if an output is not finite.

        Args:
            outputs: [n, width].
            labels: Those of the n examples.
            names: Names of classes or targets, for warnings.

        Raises:
            ValueError: if the shapes do not fit each other, or there is no example.
        """
        found = torch.as_tensor(outputs).detach().cpu().double()
        true = torch.as_tensor(labels).detach().cpu().numpy()
        if found.shape != true.shape or not len(true):
            raise ValueError(
                f"expected one label per output and at least one example, got outputs "
                f"{list(found.shape)} and labels {list(true.shape)}"
            )
        if not torch.isfinite(found).all():
            return dict.fromkeys(self.metrics, float("nan"))
        answers, once = self.answers(found)[None], np.ones((1, len(true)))
        return {name: float(self.scores(answers, true, name, once)[0, 0]) for name in self.metrics}

    @abstractmethod
    def fit(self, x: Floats, labels: NDArray[Any], width: int) -> tuple[Floats, Floats]:
        """Weight [width, d] and bias [width] of the best linear layer for features.

        The strength of its L2 penalty is chosen on folds of these examples.

        Args:
            x: [n, d], centred.
            labels: Those of the n examples.
            width: The number of outputs.
        """
