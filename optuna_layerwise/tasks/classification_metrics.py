"""What a classifier's outputs are worth: loss, accuracies, F1, AUC and calibration.

Accuracy is over images (micro), balanced accuracy the mean recall over the classes that occur
in the labels (macro); BioTune's "accuracy" is the second. Macro F1 is the mean over the same
classes. AUC is one-vs-rest, macro-averaged. The expected calibration error is reported, and no
metric to choose by: a network that always answers with the classes' shares has none.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
METRICS = ("loss", "accuracy", "balanced_accuracy", "auc", "macro_f1", "ece")
"""What `classification_metrics` returns; records of earlier versions lack the last two."""
LEAST_PROBABILITY = 1e-7
"""Smaller ones of the true class count as this, so that no image has an infinite loss."""
_N_BINS = 15


def classification_metrics(
    logits: torch.Tensor | NDArray[np.floating],
    labels: torch.Tensor | NDArray[np.integer],
    classes: Sequence[str] = (),
) -> dict[str, float]:
    """All of `METRICS` at once, in double precision on the CPU.

    Args:
        logits: One row per image, one column per class, before the softmax. The logarithm of
            probabilities serves as well: it is its own log-softmax.
        labels: The class index of each image.
        classes: Their names, for the warning about those without an image; default the indices.

    Returns:
        ``loss`` (mean cross-entropy), ``accuracy``, ``balanced_accuracy``, ``auc``, ``macro_f1``
        and ``ece``. Every one is NaN if a logit is not finite, and ``auc`` is NaN if fewer than
        two classes occur.

    Raises:
        ValueError: if there is no image, or the shapes or the labels do not fit each other.

    Examples:
        >>> classification_metrics(np.log([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]))["accuracy"]
        1.0
    """
    scores = torch.as_tensor(logits).detach().cpu().double()
    target = torch.as_tensor(labels).detach().cpu().long()
    if scores.ndim != 2 or target.shape != scores.shape[:1] or not len(target):
        raise ValueError(
            "expected logits of shape (images, classes) and one label per image, at least one, "
            f"got shapes {tuple(scores.shape)} and {tuple(target.shape)}"
        )
    if target.min() < 0 or target.max() >= scores.shape[1]:
        raise ValueError(
            f"labels must lie in 0..{scores.shape[1] - 1} for {scores.shape[1]} logits, got "
            f"{int(target.min())}..{int(target.max())}; does the head have one output per class?"
        )
    if not torch.isfinite(scores).all():
        return dict.fromkeys(METRICS, math.nan)
    answer, n_classes = scores.argmax(dim=1), scores.shape[1]
    hit = (answer == target).double()
    counts = torch.bincount(target, minlength=n_classes)
    present = counts.nonzero().flatten()
    hits = torch.bincount(target, weights=hit, minlength=n_classes)[present]
    answers = torch.bincount(answer, minlength=n_classes)[present]
    probabilities = scores.softmax(dim=1)
    return {
        "loss": torch.nn.functional.cross_entropy(scores, target).item(),
        "accuracy": hit.mean().item(),
        "balanced_accuracy": (hits / counts[present]).mean().item(),
        "auc": _auc(probabilities, target, present, classes),
        # 2 TP / (2 TP + FP + FN): the denominator is images of the class plus answers of it
        "macro_f1": (2 * hits / (counts[present] + answers)).mean().item(),
        "ece": _calibration_error(probabilities.max(dim=1).values, hit),
    }


def weighted_scores(
    probabilities: Floats, labels: NDArray[np.integer], metric: str, weights: Floats
) -> Floats:
    """The metric of each candidate, with images that count several times or not at all.

    Args:
        probabilities: [k candidates, n images, classes], finite.
        labels: [n], the class of each image.
        metric: As `classification_metrics` defines it, with a loss that is bounded.
        weights: [m, n], how often each image counts: whole numbers, for m resamples.

    Returns:
        [m, k]; NaN where the metric is undefined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "auc":
            return _aucs(probabilities, labels, weights)
        answers = probabilities.argmax(axis=2)
        if metric in ("balanced_accuracy", "macro_f1"):
            return _means_over_classes(answers, labels, metric, weights)
        values = (answers == labels).astype(np.float64)
        if metric == "loss":
            values = -np.log(of_true_classes(probabilities, labels))
        mean: Floats = weights @ values.T / weights.sum(axis=1, keepdims=True)
        return mean


def _means_over_classes(
    answers: NDArray[np.intp], labels: NDArray[np.integer], metric: str, weights: Floats
) -> Floats:
    """Balanced accuracy or macro F1, over classes with images; of answers [k, n]."""
    found = []
    for label in np.unique(labels):
        answered = (answers == label).astype(np.float64).T
        own = weights * (labels == label)
        total, hits = own.sum(axis=1, keepdims=True), own @ answered
        if metric == "balanced_accuracy":
            found.append(hits / total)
        else:  # 2 TP / (2 TP + FP + FN)
            of_class = 2 * hits / (total + weights @ answered)
            found.append(np.where(total > 0, of_class, np.nan))
    return mean_of_known(np.stack(found))


def _aucs(probabilities: Floats, labels: NDArray[np.integer], weights: Floats) -> Floats:
    """One class against the rest, the mean over those with images; of two classes the second.

    ``AUC = (sum_i w_i B_i - P^2 / 2) / (P N)`` over the class's own images i, where B_i is the
    weight of all images with smaller probabilities and half of that with equal ones; P is the
    weight of the class, N that of the rest. P^2 / 2 is what its own images add to B_i.
    """
    counts = np.ascontiguousarray(weights.T.astype(np.float32))  # exact up to 16 million images
    up_to = np.zeros((len(counts) + 1, len(weights)), dtype=np.float32)
    found = []
    for label in [1] if probabilities.shape[2] == 2 else np.unique(labels):
        own = weights.T[labels == label]
        total = own.sum(axis=0)
        pairs = total * (weights.sum(axis=1) - total)
        for values in probabilities[:, :, label]:
            order = np.argsort(values)
            np.cumsum(counts[order], axis=0, out=up_to[1:])
            left, right = (
                np.searchsorted(values, values[labels == label], side, sorter=order)
                for side in ("left", "right")
            )
            wins = (own * (up_to[left] + up_to[right])).sum(axis=0) / 2 - total**2 / 2
            found.append(wins / pairs)
    by_class = np.stack(found).reshape(-1, len(probabilities), len(weights))
    mean: Floats = mean_of_known(by_class).T
    return mean


def mean_of_known(values: Floats) -> Floats:
    """Over the first axis, without NaN; NaN where nothing else is."""
    known = ~np.isnan(values)
    mean: Floats = np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)
    return mean


def of_true_classes(probabilities: Floats, labels: NDArray[np.integer]) -> Floats:
    """[k, n], at least `LEAST_PROBABILITY`."""
    own: Floats = probabilities[:, np.arange(len(labels)), labels]
    return np.maximum(own, LEAST_PROBABILITY)


def _calibration_error(confidence: torch.Tensor, hit: torch.Tensor) -> float:
    """The sum over bins b of n_b / n |accuracy - mean confidence|; b are 15 parts of (0, 1].

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.
    """
    bins = (confidence * _N_BINS).ceil().long() - 1
    gaps = torch.bincount(bins, weights=hit - confidence, minlength=_N_BINS)
    return (gaps.abs().sum() / len(hit)).item()


def _auc(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    present: torch.Tensor,
    names: Sequence[str],
) -> float:
    """Mean over the present classes of that class's AUC against the rest; with two, of class 1.

    All classes at once by rank sums (Mann and Whitney), ties at their mean rank:
    ``AUC = (R - n (n + 1) / 2) / (n (N - n))`` with R the sum of the n positives' ranks among N.
    The same values as scikit-learn's, whose loop over 102 classes takes longer than an epoch of
    a linear probe.
    """
    total, n_classes = probabilities.shape
    if len(present) < n_classes:
        without = sorted(set(range(n_classes)).difference(present.tolist()))
        absent = [names[label] for label in without] if names else without
        outcome = "is NaN" if len(present) < 2 else "skips them"
        warnings.warn(f"classes {absent} have no image here: auc {outcome}", stacklevel=3)
    if len(present) < 2:
        return math.nan
    classes = present[1:] if n_classes == 2 else present
    columns = probabilities.T[classes].contiguous()
    ordered = columns.sort(dim=1).values
    below = torch.searchsorted(ordered, columns, right=False)
    ranks = (below + 1 + torch.searchsorted(ordered, columns, right=True)) / 2
    positive = classes[:, None] == target
    n = positive.sum(dim=1)
    aucs = ((ranks * positive).sum(dim=1) - n * (n + 1) / 2) / (n * (total - n))
    return aucs.mean().item()
