"""What the table says about policies between its rows: a Gaussian process, and measured noise.

One process with one kernel serves all curves (splits, metrics, epochs) at once: a prediction is
one row of the kernel matrix times the weights of every output. The kernel is a Matern-5/2 over
the features of a policy (Rasmussen and Williams 2006, eq. 4.17), one length for each. Its noise
is the variance that repeated trainings of the grid have; its lengths were fitted when the table
was packed (``benchmarks/layerbench``), where its error on held-out policies is measured, too.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from optuna_layerwise.layerbench.measured import METRICS, SPLITS, Array, Table

LOW, HIGH = -5.0, -1.0
"""log10 of the rates that the tables cover; others count as the nearest."""
NEIGHBOURS = 30
"""Trainings of the grid whose deviations stand for those of a policy that is as good."""


def features(rates: Array) -> Array:
    """Of policies [n, blocks]: which blocks but the head train, and how fast [n, 2 blocks - 1].

    A frozen block has no rate: it gets the middle of the range, whatever it was asked with.
    """
    trained = rates > 0
    logs = np.log10(np.where(trained, rates, 1.0)).clip(LOW, HIGH)
    centred = np.where(trained, (logs - (LOW + HIGH) / 2) / (HIGH - LOW), 0.0)
    return np.hstack([centred, trained[:, :-1]])


def matern(a: Array, b: Array, lengths: Array) -> Array:
    """Matern-5/2 correlations [len(a), len(b)]."""
    scaled = np.sqrt(5.0) * cdist(a / lengths, b / lengths)
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What was fitted: a length for each feature, and the noise as a share of the variance."""

    lengths: Array
    noise: float

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Kernel:
        """From a table's header."""
        return cls(np.array(content["lengths"], dtype=float), float(content["noise"]))


class Surrogate:
    """Curves of any policy, as the rows of a table suggest them.

    Outputs are held on scales where differences add up: the logarithm of losses and seconds.

    Args:
        table: The rows to learn from.
        kernel: How alike policies are.
    """

    def __init__(self, table: Table, kernel: Kernel) -> None:
        self.epochs = table.epochs
        self._kernel = kernel
        rows = _outputs(table)
        fine = np.isfinite(rows).all(axis=1)
        policies, number = table.policies
        n = np.bincount(number[fine], minlength=len(policies))
        known = n > 0
        means = np.zeros((len(policies), rows.shape[1]))
        np.add.at(means, number[fine], rows[fine])
        means = means[known] / n[known, None]
        self._features = features(policies[known])
        self._middle = means.mean(axis=0)
        self._scale = means.std(axis=0) + 1e-12
        correlations = matern(self._features, self._features, kernel.lengths)
        correlations[np.diag_indices_from(correlations)] += kernel.noise / n[known]
        factor = cho_factor(correlations, lower=True)
        self._weights = cho_solve(factor, (means - self._middle) / self._scale)
        repeated = fine & (n[number] > 1)
        place = np.cumsum(known) - 1
        several = n[number[repeated]]
        self._residuals = (rows[repeated] - means[place[number[repeated]]]) * np.sqrt(
            several / (several - 1)
        )[:, None]  # deviations from a mean of n are sqrt((n - 1) / n) too small
        self._levels = self._level(means[place[number[repeated]]])

    def mean(self, rates: Array) -> dict[str, Array]:
        """Expected curves of policies [n, blocks]: ``val.accuracy``, ... [n, epochs]."""
        return self._curves(self._predict(features(rates)))

    def sample(self, rates: Array, seed: int) -> dict[str, Array]:
        """One training of one policy [blocks]: the mean, and the noise of policies as good.

        The deviations of a whole real training are added, so that its metrics and epochs go
        together: bad policies are noisier than good ones. The same policy and seed give the same.
        """
        point = features(rates[None])
        scaled = self._predict(point)[0]
        if len(self._residuals):
            away = np.abs(self._levels - self._level(scaled[None])).sum(axis=1)
            n = min(NEIGHBOURS, len(away))
            digest = hashlib.blake2b(point.tobytes(), digest_size=8, key=b"%d" % seed).digest()
            rng = np.random.Generator(np.random.Philox(int.from_bytes(digest, "little")))
            scaled = scaled + self._residuals[rng.choice(np.argpartition(away, n - 1)[:n])]
        return {name: curve[0] for name, curve in self._curves(scaled[None]).items()}

    def _level(self, outputs: Array) -> Array:
        """How good after each epoch [n, 2 epochs], in deviations between policies."""
        first = [NAMES.index(name) * self.epochs for name in LEVEL]
        columns = np.concatenate([np.arange(at, at + self.epochs) for at in first])
        return np.asarray(outputs[:, columns] / self._scale[columns])

    def _predict(self, points: Array) -> Array:
        like = matern(points, self._features, self._kernel.lengths)
        return np.asarray(self._middle + self._scale * (like @ self._weights))

    def _curves(self, outputs: Array) -> dict[str, Array]:
        parts = np.split(outputs, len(NAMES), axis=1)
        return {name: _natural(name, part) for name, part in zip(NAMES, parts, strict=True)}


NAMES = (*(f"{split}.{metric}" for split in SPLITS for metric in METRICS), "seconds")
"""Outputs, each a value an epoch."""
LEVEL = ("val.loss", "val.accuracy")


def _outputs(table: Table) -> Array:
    """[rows, names * epochs]; NaN in the rows of trainings that diverged."""
    curves = [table.curves[split, metric] for split in SPLITS for metric in METRICS]
    parts = zip(NAMES, [*curves, table.seconds], strict=True)
    return np.hstack([_additive(name, part) for name, part in parts])


def _is_logarithmic(name: str) -> bool:
    return name.endswith("loss") or name == "seconds"


def _additive(name: str, values: Array) -> Array:
    return np.log(np.maximum(values, 1e-6)) if _is_logarithmic(name) else values


def _natural(name: str, values: Array) -> Array:
    return np.exp(values) if _is_logarithmic(name) else values.clip(0.0, 1.0)
