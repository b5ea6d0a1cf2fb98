"""Who is in a team, with what weight, and what may be promised of the best of many candidates.

Both ask for nothing but the candidates' answers (probabilities, or numbers) for images that they
were not trained on.

* `select_members`: R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes, Ensemble selection from
  libraries of models, 2004 (https://doi.org/10.1145/1015330.1015432).
* `bias_corrected`: I. Tsamardinos, E. Greasidou and G. Borboudakis, Bootstrapping the
  out-of-sample predictions for efficient and accurate cross-validation, 2018
  (https://doi.org/10.1007/s10994-018-5714-4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.io.plain import one_of
from optuna_layerwise.recipe import Metric, higher_is_better
from optuna_layerwise.records.final import Estimate
from optuna_layerwise.tasks import Classification, Task

Floats = NDArray[np.float64]
_CLASSES = Classification()
LEAST_IN_A_BAG = 5
_MISSED = 0.1
"""Share of images whose true class may be implausible."""
_AT_ONCE = 4_000_000
"""Images of resamples that are in memory at a time."""


def select_members(
    probabilities: Floats,
    labels: NDArray[np.generic],
    *,
    task: Task = _CLASSES,
    n_rounds: int = 50,
    start: int = 5,
    n_bags: int = 20,
    seed: int = 0,
) -> Floats:
    """Weights of candidates in the team with the least log-loss, by greedy selection.

    A team begins with the best candidates by log-loss. In each round the candidate joins whose
    probabilities, added to the team's, make the mean with the least log-loss; it may be in the
    team already. Of the teams on the way the one with the least loss is kept, the earliest of
    equals. That is done in bags, random halves of the candidates, and the bags' weights are
    averaged. A bag has at least `LEAST_IN_A_BAG` candidates, where there are as many: half of a
    few would leave all good ones out by chance.

    Args:
        probabilities: [k candidates, n images, classes]. A candidate with a value that is not
            finite is never chosen. Those of true classes count as at least `LEAST_PROBABILITY`.
        labels: [n], the class of each image; see `Task`.
        task: What the candidates answer. Its loss takes the place of the log-loss.
        n_rounds: Candidates that join, of which the last ones may be left out again.
        start: Candidates that a team begins with, or all of a bag if it has fewer.
        n_bags: Bags.
        seed: It decides which candidates are in which bag.

    Returns:
        [k], 0 or more, with the sum 1. Of equal candidates the earlier one is chosen.

    Raises:
        ValueError: if no candidate is finite, the shapes or labels do not fit each other, or a
            number is out of its range.

    Examples:
        >>> good, bad = [[0.9, 0.1], [0.2, 0.8]], [[0.1, 0.9], [0.8, 0.2]]
        >>> select_members(np.array([bad, good]), np.array([0, 1]), start=1)
        array([0., 1.])
    """
    if n_rounds < 0 or start < 1 or n_bags < 1:
        raise ValueError(
            "n_rounds must be at least 0, start and n_bags at least 1, "
            f"got {n_rounds}, {start} and {n_bags}"
        )
    usable = _usable(probabilities, labels, task)
    evidence = task.evidence(probabilities[usable], labels)
    size = min(len(usable), max(LEAST_IN_A_BAG, (len(usable) + 1) // 2))
    rng = np.random.default_rng(seed)
    weights = np.zeros(len(probabilities))
    for _ in range(n_bags):
        bag = np.sort(rng.permutation(len(usable))[:size])
        counts = _greedy(evidence[bag], n_rounds, start, task)
        weights[usable[bag]] += counts / counts.sum() / n_bags
    mean: Floats = weights / weights.sum()
    return mean


def _greedy(evidence: Floats, n_rounds: int, start: int, task: Task) -> Floats:
    """How often each candidate is in the best team on the way; see `Task.evidence`."""
    order = np.argsort(task.cost(evidence), kind="stable")[:start]
    counts = np.zeros(len(evidence))
    counts[order] = 1
    total = evidence[order].sum(axis=0)
    best: Floats = counts.copy()
    least = task.cost(total / len(order))
    for size in range(len(order) + 1, len(order) + n_rounds + 1):
        losses = task.cost((total + evidence) / size)
        joins = int(np.argmin(losses))
        counts[joins] += 1
        total = total + evidence[joins]
        if losses[joins] < least:
            best, least = counts.copy(), losses[joins]
    return best


def bias_corrected(
    probabilities: Floats,
    labels: NDArray[np.generic],
    metric: Metric,
    *,
    task: Task = _CLASSES,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
    n_resamples: int = 500,
    seed: int = 0,
) -> Estimate | None:
    """The score that the best of several candidates may be expected to have on new images.

    The best score of many is too good: some of it is luck on these images. So images are
    resampled with replacement, the best candidate on the resample is chosen, and its score on the
    images left out is taken. Resamples in which either score is undefined, such as the AUC of a
    single class, are left out.

    Args:
        probabilities: [k candidates, n images, classes], as in `select_members`.
        labels: [n], the class of each image.
        metric: Chooses, and is what is estimated. The loss has probabilities of true classes of
            at least `LEAST_PROBABILITY`; classes without an image in a resample are skipped.
        task: What the candidates answer.
        groups: [n], what belongs together, such as the patient: it is resampled as a whole.
        n_resamples: Resamples; with 500 the AUC of 40 candidates, 2000 images and 102 classes
            takes a minute, and any other metric seconds.
        seed: It decides which images they have.

    Returns:
        The mean over resamples, and the interval of 95 % of single resamples; ``None`` if no
        resample has a score.

    Raises:
        ValueError: if no candidate is finite, the shapes or labels do not fit each other, or the
            metric is unknown.
    """
    one_of("metric", metric, task.choices)
    usable = _usable(probabilities, labels, task)
    found = probabilities[usable]
    if groups is not None and len(groups) != len(labels):
        raise ValueError(f"expected a group for each of {len(labels)} images, got {len(groups)}")
    of_image = np.arange(len(labels))
    if groups is not None:
        of_image = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    n_groups = int(of_image.max()) + 1
    sign = 1 if higher_is_better(metric) else -1
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // len(labels))
    scores: list[float] = []
    for begin in range(0, n_resamples, at_once):
        n = min(at_once, n_resamples - begin)
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n)[:, of_image]
        inside = sign * task.scores(found, labels, metric, drawn.astype(np.float64))
        best = np.where(np.isnan(inside), -np.inf, inside).argmax(axis=1)
        chosen, at = np.unique(best, return_inverse=True)
        left_out = (drawn == 0).astype(np.float64)
        outside = task.scores(found[chosen], labels, metric, left_out)[np.arange(n), at]
        scores.extend(outside[~np.isnan(inside).all(axis=1) & ~np.isnan(outside)])
    return _estimate(float(np.mean(scores)), scores) if scores else None


def lead(
    ours: Floats,
    theirs: Floats,
    labels: NDArray[np.generic],
    metric: Metric,
    *,
    task: Task = _CLASSES,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Estimate | None:
    """How much better one classifier is than the mean of others, with the luck of the images.

    Args:
        ours: Its probabilities, [n images, classes].
        theirs: Those of the others, [k, n images, classes].
        labels: [n], the class of each image.
        metric: That is compared; a smaller loss is better.
        task: What they answer.
        n_resamples: Resamples of the images, the same for all.
        seed: It decides which images they have.

    Returns:
        The difference, positive is better, and the interval of 95 % of the resamples; ``None``
        where the metric is undefined for one of them.
    """
    if not len(theirs) or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return None
    every, n = np.concatenate([ours[None], theirs]), len(labels)
    rng = np.random.default_rng(seed)

    def differences(weights: Floats) -> Floats:
        scores = task.scores(every, labels, metric, weights)
        ahead: Floats = scores[:, 0] - scores[:, 1:].mean(axis=1)
        return ahead if higher_is_better(metric) else -ahead

    [value], drawn = differences(np.ones((1, n))), list[float]()
    at_once = max(1, _AT_ONCE // n)
    for begin in range(0, n_resamples, at_once):
        size = min(at_once, n_resamples - begin)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        drawn.extend(differences(counts))
    known = [each for each in drawn if not np.isnan(each)]
    return None if np.isnan(value) or not known else _estimate(float(value), known)


def plausible_from(probabilities: Floats, labels: NDArray[np.integer]) -> float | None:
    """The probability from which on a class is plausible.

    For a new image like the held-out ones, the true class is plausible with a probability of at
    least 90 %, whatever the network (split conformal prediction: H. Papadopoulos, K. Proedrou,
    V. Vovk and A. Gammerman, 2002, https://doi.org/10.1007/3-540-36755-1_29). With folds, and
    networks that were trained once more afterwards, this is an approximation.

    Args:
        probabilities: [n images, classes], of images that were held out.
        labels: [n], the class of each image.

    Returns:
        A number in [0, 1]; ``None`` if a probability is not finite.

    Examples:
        >>> certain = np.array([[0.9, 0.1]] * 18 + [[0.6, 0.4]])
        >>> plausible_from(certain, np.zeros(19, int))
        0.9
    """
    if not np.isfinite(probabilities).all():
        return None
    own = np.sort(probabilities[np.arange(len(labels)), labels])[::-1]
    rank = math.ceil((len(own) + 1) * (1 - _MISSED))
    return float(own[rank - 1]) if rank <= len(own) else 0.0


def _estimate(value: float, drawn: Sequence[float]) -> Estimate:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _usable(probabilities: Floats, labels: NDArray[np.generic], task: Task) -> NDArray[np.intp]:
    """The candidates whose values are all finite."""
    if probabilities.ndim != 3 or labels.shape[:1] != probabilities.shape[1:2] or not len(labels):
        raise ValueError(
            "expected probabilities of shape (candidates, images, classes) and one label per "
            f"image, at least one, got shapes {probabilities.shape} and {labels.shape}"
        )
    n_classes = probabilities.shape[2]
    if task.has_classes and (labels.min() < 0 or labels.max() >= n_classes):
        raise ValueError(
            f"labels must lie in 0..{n_classes - 1} for {n_classes} probabilities, got "
            f"{labels.min()}..{labels.max()}"
        )
    usable = np.flatnonzero(np.isfinite(probabilities).all(axis=(1, 2)))
    if not len(usable):
        raise ValueError(
            f"none of {len(probabilities)} candidates has finite probabilities, so none can be "
            "chosen"
        )
    return usable
