"""One class of several for each example: the softmax of a network's outputs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from torch.nn.functional import cross_entropy

from optuna_layerwise.tasks.classification_metrics import (
    METRICS,
    classification_metrics,
    of_true_classes,
    weighted_scores,
)
from optuna_layerwise.tasks.task import Floats, Task

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C, scikit-learn's inverse strength of the L2 penalty, among which folds choose."""
N_FOLDS = 5
_TINY = np.finfo(np.float64).tiny


class Classification(Task):
    """The loss is the cross-entropy, answers are probabilities of classes.

    Labels are class indices, int64 [n].
    """

    name: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[str, ...]] = METRICS
    has_classes: ClassVar[bool] = True

    def loss(
        self,
        outputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Task`."""
        if class_weights is None:
            return cross_entropy(outputs, labels, label_smoothing=label_smoothing)
        each = cross_entropy(outputs, labels, reduction="none", label_smoothing=label_smoothing)
        return (each * class_weights[labels]).mean()

    def answered(self, outputs: torch.Tensor) -> torch.Tensor:
        """See `Task`."""
        return outputs.softmax(dim=1)

    def outputs_of(self, answers: Floats) -> Floats:
        """See `Task`."""
        logarithms: Floats = np.log(np.maximum(answers, _TINY))
        return logarithms

    @staticmethod
    def mixed(outputs: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
        """See `Task`; the logarithms of the mean probabilities."""
        parts = [
            logits.float().log_softmax(dim=1) + math.log(weight)
            for logits, weight in zip(outputs, weights, strict=True)
        ]
        return torch.stack(parts).logsumexp(dim=0)

    def evidence(self, answers: Floats, labels: NDArray[Any]) -> Floats:
        """See `Task`; the probabilities of the true classes."""
        return of_true_classes(answers, labels)

    def cost(self, evidence: Floats) -> Floats:
        """See `Task`; the log-loss."""
        loss: Floats = -np.log(evidence).mean(axis=-1)
        return loss

    def scores(
        self, answers: Floats, labels: NDArray[Any], metric: str, weights: Floats
    ) -> Floats:
        """See `Task`."""
        return weighted_scores(answers, labels, metric, weights)

    def measure(
        self,
        outputs: torch.Tensor | NDArray[np.floating],
        labels: torch.Tensor | NDArray[Any],
        names: Sequence[str] = (),
    ) -> dict[str, float]:
        """See `Task`."""
        return classification_metrics(outputs, labels, names)

    def fit(self, x: Floats, labels: NDArray[Any], width: int) -> tuple[Floats, Floats]:
        """See `Task`; the multinomial logistic regression with the least log-loss on folds."""
        return _regression(x, labels, width, _best_strength(x, labels, width))


def _best_strength(x: Floats, y: NDArray[Any], n_classes: int) -> float:
    """The value of `STRENGTHS` whose classifiers have the smallest log-loss on held-out folds."""
    n_folds = min(N_FOLDS, int(np.bincount(y).max()))
    if n_folds < 2:
        return 1.0
    losses = np.zeros(len(STRENGTHS))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        folds = list(StratifiedKFold(n_folds, shuffle=True, random_state=0).split(x, y))
    for train, held_out in folds:
        for index, strength in enumerate(STRENGTHS):
            weight, bias = _regression(x[train], y[train], n_classes, strength)
            scores = log_softmax(x[held_out] @ weight.T + bias, axis=1)
            losses[index] -= scores[np.arange(len(held_out)), y[held_out]].sum()
    return STRENGTHS[int(losses.argmin())]


def _regression(
    x: Floats, y: NDArray[Any], n_classes: int, strength: float
) -> tuple[Floats, Floats]:
    """Weight [n_classes, d] and bias [n_classes] of a multinomial logistic regression."""
    weight, bias = np.zeros((n_classes, x.shape[1])), np.zeros(n_classes)
    present = np.unique(y)
    if len(present) < 2 or not x.shape[1]:
        share = np.bincount(y, minlength=n_classes) / len(y)
        bias[present] = np.log(share[present])
    else:
        model = LogisticRegression(C=strength, max_iter=1000)
        with warnings.catch_warnings():  # a penalty this weak is not the one that is chosen
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(present) == 2:  # scikit-learn has one row w, of the second class against the first
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        weight[present], bias[present] = coefficients, intercepts
    absent = np.setdiff1d(np.arange(n_classes), present)
    bias[absent] = min(bias[present], default=-math.inf)
    return weight, bias
