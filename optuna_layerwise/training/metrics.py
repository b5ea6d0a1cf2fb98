"""What a classifier's outputs are worth: loss, accuracies, F1, AUC and calibration.

Accuracy is over images (micro), balanced accuracy the mean recall over the classes that occur
in the labels (macro); BioTune's "accuracy" is the second. Macro F1 is the mean over the same
classes. AUC is one-vs-rest, macro-averaged. The expected calibration error is reported, and no
metric to choose by: a network that always answers with the classes' shares has none.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from optuna_layerwise.data import Examples
from optuna_layerwise.recipe import Metric, improves

METRICS = ("loss", "accuracy", "balanced_accuracy", "auc", "macro_f1", "ece")
"""What `classification_metrics` returns; records of earlier versions lack the last two."""
_N_BINS = 15

START = -1
"""In the place of an epoch's number: before the first step."""


def best_epoch(
    history: Sequence[Mapping[str, float]],
    metric: Metric,
    start: Mapping[str, float] | None = None,
) -> int | None:
    """The first epoch with the best value of the metric; ``None`` if no value is finite.

    Args:
        history: The metrics of each epoch.
        metric: The one that decides.
        start: The metrics before the first epoch, which is then `START` if none improves on it.
    """
    best, best_value = None, None
    for epoch, metrics in enumerate([start or {}, *history], START):
        if improves(metric, value := metrics.get(metric, math.nan), best_value):
            best, best_value = epoch, value
    return best


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


def check_metric(metric: Metric, val: Examples) -> None:
    """Refuse a metric that says nothing about a validation split; warn if it skips classes.

    Raises:
        ValueError: for the AUC of a single class.
    """
    found = [val.classes[label] for label in np.unique(val.labels)]
    if metric == "auc" and len(found) < 2:
        raise ValueError(
            f"metric 'auc' needs at least two classes in the validation split, got only {found}; "
            "use 'loss' or 'accuracy', or a stratified split"
        )
    if metric == "auc" and (absent := [name for name in val.classes if name not in found]):
        warnings.warn(
            f"the validation split has no image of the classes {absent}: auc skips them",
            stacklevel=3,
        )


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
