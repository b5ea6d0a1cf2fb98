"""One or several numbers for each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from optuna_layerwise.tasks.classification import N_FOLDS, STRENGTHS
from optuna_layerwise.tasks.task import Floats, Task


class Regression(Task):
    """The loss is the mean squared error of standardised targets, answers are numbers.

    Labels are float32 [n, targets]. A network's outputs are standardised, by `scale`; its answers
    have the targets' own units. The metrics are

    * ``loss``, the mean squared error of the standardised targets: 0 is perfect, and 1 is what
      their mean over the training examples would have,
    * ``r2``, the mean over targets of ``1 - sum (y - answer)^2 / sum (y - mean y)^2``,
    * ``mae``, the mean over examples and targets of ``|y - answer|``, in the targets' own units.

    The loss is the default: it counts targets of different units alike, and its mean over folds is
    that of all examples, while R2 on a small fold of examples that are alike is mostly chance.
    """

    name: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("loss", "r2", "mae")

    def loss(
        self,
        outputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Task`."""
        mean, std = self._scale(labels)
        return (outputs.float() - (labels - mean) / std).square().mean()

    def answered(self, outputs: torch.Tensor) -> torch.Tensor:
        """See `Task`."""
        mean, std = self._scale(outputs)
        return outputs * std + mean

    def outputs_of(self, answers: Floats) -> Floats:
        """See `Task`."""
        mean, std = np.array(self.scale).T
        outputs: Floats = (answers - mean) / std
        return outputs

    @staticmethod
    def mixed(outputs: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
        """See `Task`."""
        parts = [w * each.float() for each, w in zip(outputs, weights, strict=True)]
        return torch.stack(parts).sum(dim=0)

    def evidence(self, answers: Floats, labels: NDArray[Any]) -> Floats:
        """See `Task`; the standardised errors."""
        errors: Floats = self.outputs_of(answers) - self.outputs_of(labels.astype(np.float64))
        return errors.reshape(len(answers), -1)

    def cost(self, evidence: Floats) -> Floats:
        """See `Task`; the mean squared error."""
        loss: Floats = np.square(evidence).mean(axis=-1)
        return loss

    def scores(
        self, answers: Floats, labels: NDArray[Any], metric: str, weights: Floats
    ) -> Floats:
        """See `Task`."""
        true = labels.astype(np.float64)
        total = weights.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            if metric == "r2":
                off = np.einsum("mn,knt->mkt", weights, np.square(answers - true))
                mean = weights @ true / total[:, None]
                spread = weights @ np.square(true) / total[:, None] - np.square(mean)
                # what is left of a constant target is rounding
                spread[spread <= 1e-12 * np.square(mean)] = np.nan
                r2: Floats = (1 - off / (spread * total[:, None])[:, None]).mean(axis=2)
                return r2
            values = np.abs(answers - true).mean(axis=2)
            if metric == "loss":
                errors = self.evidence(answers, labels).reshape(answers.shape)
                values = np.square(errors).mean(axis=2)
            scores: Floats = weights @ values.T / total[:, None]
            return scores

    def _scale(self, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.tensor(self.scale, dtype=like.dtype, device=like.device).unbind(1)

    def fit(self, x: Floats, labels: NDArray[Any], width: int) -> tuple[Floats, Floats]:
        """See `Task`; ridge regression, whose penalty is the inverse of the strength."""
        y, strength, losses = self.outputs_of(labels), 1.0, np.zeros(len(STRENGTHS))
        if not x.shape[1]:
            return np.zeros((width, 0)), y.mean(axis=0)
        if (n_folds := min(N_FOLDS, len(x))) > 1:
            for train, held_out in KFold(n_folds, shuffle=True, random_state=0).split(x):
                for index, each in enumerate(STRENGTHS):
                    said = Ridge(1 / each).fit(x[train], y[train]).predict(x[held_out])
                    losses[index] += np.square(said.reshape(-1, width) - y[held_out]).sum()
            strength = STRENGTHS[int(losses.argmin())]
        model = Ridge(1 / strength).fit(x, y)
        return model.coef_.reshape(width, -1), np.reshape(model.intercept_, width)
