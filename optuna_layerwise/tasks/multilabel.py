"""Several labels at once for each example: the sigmoid of each output."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from torch.nn.functional import binary_cross_entropy_with_logits

from optuna_layerwise.tasks.classification import N_FOLDS, STRENGTHS
from optuna_layerwise.tasks.classification_metrics import LEAST_PROBABILITY, mean_of_known
from optuna_layerwise.tasks.task import Floats, Task


class Multilabel(Task):
    """The loss is the binary cross-entropy, answers are a probability for each label.

    Labels are uint8 [n, labels], 1 where the example has the label. The metrics are

    * ``macro_f1``, the mean over labels of F1, with an answer from a probability of one half on,
    * ``map``, the mean over labels of the average precision (the area under the curve of
      precision over recall, as scikit-learn's ``average_precision_score``),
    * ``loss``, the mean binary cross-entropy over examples and labels.

    Labels that no example has count in the loss only.
    """

    name: ClassVar[str] = "multilabel"
    metrics: ClassVar[tuple[str, ...]] = ("macro_f1", "map", "loss")

    def loss(
        self,
        outputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Task`."""
        return binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype))

    def answered(self, outputs: torch.Tensor) -> torch.Tensor:
        """See `Task`."""
        return outputs.sigmoid()

    def outputs_of(self, answers: Floats) -> Floats:
        """See `Task`."""
        tiny = np.finfo(np.float64).eps
        logits: Floats = logit(np.clip(answers, tiny, 1 - tiny))
        return logits

    @staticmethod
    def mixed(outputs: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
        """See `Task`; the logits of the mean probabilities."""
        parts = [w * logits.double().sigmoid() for logits, w in zip(outputs, weights, strict=True)]
        return torch.stack(parts).sum(dim=0).logit(eps=1e-15).float()

    def evidence(self, answers: Floats, labels: NDArray[Any]) -> Floats:
        """See `Task`; the probabilities of what is true of each label."""
        true = np.where(labels, answers, 1 - answers)
        return np.maximum(true, LEAST_PROBABILITY).reshape(len(answers), -1)

    def cost(self, evidence: Floats) -> Floats:
        """See `Task`; the binary cross-entropy."""
        loss: Floats = -np.log(evidence).mean(axis=-1)
        return loss

    def scores(
        self, answers: Floats, labels: NDArray[Any], metric: str, weights: Floats
    ) -> Floats:
        """See `Task`."""
        true = labels.astype(bool)
        with np.errstate(divide="ignore", invalid="ignore"):
            if metric == "map":
                columns = zip(answers.transpose(2, 0, 1), true.T, strict=True)
                return mean_of_known(np.stack([_precisions(a, t, weights) for a, t in columns]))
            if metric == "macro_f1":
                said = answers >= 0.5  # 2 TP / (2 TP + FP + FN), [labels, m, k]
                hits = np.einsum("mn,knl->lmk", weights, (said & true).astype(float))
                total = np.einsum("mn,knl->lmk", weights, said.astype(float))
                own = (weights @ true)[:, :, None].transpose(1, 0, 2)
                return mean_of_known(np.where(own > 0, 2 * hits / (total + own), np.nan))
            values = -np.log(self.evidence(answers, labels).reshape(answers.shape)).mean(axis=2)
            mean: Floats = weights @ values.T / weights.sum(axis=1, keepdims=True)
            return mean

    def fit(self, x: Floats, labels: NDArray[Any], width: int) -> tuple[Floats, Floats]:
        """See `Task`; a logistic regression for each label, all with one strength."""
        strength, losses = 1.0, np.zeros(len(STRENGTHS))
        if (n_folds := min(N_FOLDS, len(x))) > 1:
            for train, held_out in KFold(n_folds, shuffle=True, random_state=0).split(x):
                for index, each in enumerate(STRENGTHS):
                    weight, bias = _regressions(x[train], labels[train], each)
                    said = expit(x[held_out] @ weight.T + bias)
                    losses[index] += self.cost(self.evidence(said[None], labels[held_out]))[0]
            strength = STRENGTHS[int(losses.argmin())]
        return _regressions(x, labels, strength)


def _precisions(scores: Floats, true: NDArray[np.bool_], weights: Floats) -> Floats:
    """The average precision for one label, [m, k]; NaN without an example that has it.

    It is the mean, over examples with the label, of the share of those with the label among all
    that score at least as high.

    Args:
        scores: [k, n].
        true: [n].
        weights: [m, n].
    """
    found = []
    for values in scores:
        order = np.argsort(-values, kind="stable")
        last = np.searchsorted(-values[order], -values[order], side="right") - 1  # of equals
        counted = weights[:, order]
        own = counted * true[order]
        precision = np.cumsum(own, axis=1)[:, last] / np.cumsum(counted, axis=1)[:, last]
        found.append(np.where(own > 0, own * precision, 0).sum(axis=1) / own.sum(axis=1))
    return np.stack(found, axis=1)


def _regressions(x: Floats, labels: NDArray[Any], strength: float) -> tuple[Floats, Floats]:
    weight, bias = np.zeros((labels.shape[1], x.shape[1])), np.zeros(labels.shape[1])
    for place, column in enumerate(labels.T):
        if not x.shape[1] or len(np.unique(column)) < 2:
            bias[place] = logit((column.sum() + 0.5) / (len(column) + 1))
            continue
        with warnings.catch_warnings():  # a penalty this weak is not the one that is chosen
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=strength, max_iter=1000).fit(x, column)
        weight[place], bias[place] = model.coef_[0], model.intercept_[0]
    return weight, bias
