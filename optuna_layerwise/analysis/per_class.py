"""Results of each class, and calibration: whether answers are right as often as their probability.

* Recall and precision are shares, so their intervals are Wilson's.
* F1 = 2 J / (1 + J) with J = TP / (TP + FP + FN): of all images that are of the class or are
  called so, the share that is both. The interval is Wilson's for J, transformed alike: the "Wilson
  indirect" method of K. Lam, V. Gopal and J. Qian, Confidence intervals for the F1 score, 2023
  (https://arxiv.org/abs/2309.14621).
* Calibration: C. Guo, G. Pleiss, Y. Sun and K. Weinberger, On calibration of modern neural
  networks, 2017 (https://arxiv.org/abs/1706.04599), equation 3.

The intervals take the images as drawn independently: of several images of one patient, say, they
are too narrow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.analysis.statistics import wilson
from optuna_layerwise.records.final import Estimate
from optuna_layerwise.records.predictions import Integers, Predictions

N_BINS = 15
"""The number of bins, the same as in the calibration error that is stored with a result."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shares:
    """A share for each class with its interval of 95 %; NaN for a share of nothing."""

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, hits: Integers, n: Integers) -> Shares:
        """How many of how many, for each class."""
        with np.errstate(invalid="ignore"):
            return cls(hits / n, *wilson(hits / np.maximum(n, 1), n))

    def at(self, label: int) -> Estimate | None:
        """The share of one class; ``None`` where there is nothing to take a share of."""
        if np.isnan(self.values[label]):
            return None
        return Estimate(*(float(each[label]) for each in (self.values, self.low, self.high)))


@dataclasses.dataclass(frozen=True, eq=False)
class PerClass:
    """The results of k classes.

    Args:
        images: Test images of each class.
        answers: How often each class was answered.
        recall: The share of a class's images that are found.
        precision: The share of a class's answers that are right.
        f1: Their harmonic mean.
        mistakes: The wrong answers, [different ones, 3]: true class, answer and how often, the
            most frequent first.
        accuracy: The share of all images that are answered right.
    """

    images: Integers
    answers: Integers
    recall: Shares
    precision: Shares
    f1: Shares
    mistakes: Integers
    accuracy: Estimate

    @property
    def surely_weak(self) -> NDArray[np.bool_]:
        """Whether recall or precision is below the accuracy with all of its interval, [k]."""
        sure: NDArray[np.bool_] = (
            np.minimum(self.recall.high, self.precision.high) < self.accuracy.value
        )
        return sure

    def taken_for(self, label: int) -> tuple[int, int] | None:
        """The most frequent wrong answer for a class's images, and how often it came."""
        return self._most_frequent(label, 0)

    def mistaken_for_it(self, label: int) -> tuple[int, int] | None:
        """The class whose images most often get this answer wrongly, and how often."""
        return self._most_frequent(label, 1)

    def _most_frequent(self, label: int, column: int) -> tuple[int, int] | None:
        own = self.mistakes[self.mistakes[:, column] == label]
        return (int(own[0, 1 - column]), int(own[0, 2])) if len(own) else None

    def most_confused(self, limit: int) -> list[int]:
        """The classes that take part in most mistakes, as many as the limit, in their order."""
        wrong = np.zeros(len(self.images), np.int64)
        for column in (0, 1):
            np.add.at(wrong, self.mistakes[:, column], self.mistakes[:, 2])
        return sorted(np.argsort(-wrong, kind="stable")[:limit].tolist())

    def weak(self, below: float) -> list[int]:
        """The classes whose recall or precision is that far below the accuracy.

        Those that are `surely_weak` come first, and then those with the worst F1.
        """
        with np.errstate(invalid="ignore"):
            least = np.fmin(self.recall.values, self.precision.values)
            found = np.flatnonzero((self.images > 0) & (least < self.accuracy.value - below))
        order = np.lexsort([self.f1.values[found], ~self.surely_weak[found]])
        return [int(label) for label in found[order]]


def per_class(predictions: Predictions) -> PerClass:
    """The results of every class."""
    labels, answers, k = predictions.labels, predictions.answers, len(predictions.classes)
    right = labels == answers
    images, answered, hits = (
        np.bincount(each, minlength=k).astype(np.int64)
        for each in (labels, answers, labels[right])
    )
    union = Shares.of(hits, images + answered - hits)
    pairs, counts = np.unique(
        np.stack([labels[~right], answers[~right]], axis=1), axis=0, return_counts=True
    )
    mistakes = np.column_stack([pairs, counts])[np.argsort(-counts, kind="stable")]
    accuracy = Shares.of(np.array([right.sum()]), np.array([len(right)])).at(0)
    assert accuracy is not None
    return PerClass(
        images=images,
        answers=answered,
        recall=Shares.of(hits, images),
        precision=Shares.of(hits, answered),
        f1=Shares(*(2 * j / (1 + j) for j in (union.values, union.low, union.high))),
        mistakes=mistakes.astype(np.int64),
        accuracy=accuracy,
    )


def confusion(predictions: Predictions, classes: Sequence[int]) -> Integers:
    """Counts of some classes' images: a row for each true class, a column for each answer.

    The last column counts the answers that are none of these classes.
    """
    place = np.full(len(predictions.classes), len(classes))
    place[list(classes)] = np.arange(len(classes))
    rows, columns = place[predictions.labels], place[predictions.answers]
    found = np.zeros((len(classes) + 1, len(classes) + 1), np.int64)
    np.add.at(found, (rows, columns), 1)
    return found[:-1]


@dataclasses.dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in one part of (0, 1].

    Args:
        low: Lower end of the part.
        high: Upper end.
        images: How many there are.
        confidence: The mean of their largest probabilities.
        right: The share of them that is answered right.
    """

    low: float
    high: float
    images: int
    confidence: float
    right: Estimate


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Whether answers are right as often as their probabilities say.

    Args:
        bins: Those with an image.
        error: The expected calibration error: the mean over images of the distance between
            confidence and share of right answers in their bin.
        confidence: The mean over all images.
    """

    bins: Sequence[Bin]
    error: float
    confidence: float


def calibration(predictions: Predictions) -> Calibration:
    """The reliability of the largest probabilities."""
    confidence = predictions.confidence.astype(np.float64)
    right = predictions.answers == predictions.labels
    place = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    images, hits = (np.bincount(place[each], minlength=N_BINS) for each in (right >= 0, right))
    total = np.bincount(place, weights=confidence, minlength=N_BINS)
    shares = Shares.of(hits, images)
    bins = [
        Bin(i / N_BINS, (i + 1) / N_BINS, int(images[i]), float(total[i] / images[i]), share)
        for i in range(N_BINS)
        if (share := shares.at(i)) is not None
    ]
    error = float(np.abs(hits - total).sum() / len(right))
    return Calibration(bins, error, float(confidence.mean()))
