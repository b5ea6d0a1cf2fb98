"""Is one method better than another? Intervals and rank tests over seeds and data sets.

Functions of plain numbers; they know no studies. A *block* is what methods are compared on, such
as one seed on one data set; the values of a block are paired.

* Intervals: BCa bootstrap of the mean (B. Efron, Better bootstrap confidence intervals, 1987).
* Two methods: signed-rank test (F. Wilcoxon, 1945), with its effect size, the matched-pairs
  rank-biserial correlation (D. Kerby, https://doi.org/10.2466/11.IT.3.1).
* Three or more: Friedman's test and the Nemenyi critical difference, as in J. Demsar,
  Statistical comparisons of classifiers over multiple data sets, 2006
  (https://jmlr.org/papers/v7/demsar06a.html).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
FEWEST_FOR_AN_INTERVAL = 3
"""A bootstrap of two values has three outcomes."""
FEW = 6
"""Below, no signed-rank test reaches 5 %: all of five pairs on one side have p = 1/16."""
_EXACT_UP_TO = 50
_DECIMALS = 12
"""That count; the rest is noise."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of one method's values.

    Args:
        n: Number of values.
        mean: Their mean.
        deviation: Standard deviation (n - 1); ``None`` of one value.
        interval: 95 % BCa bootstrap interval of the mean; ``None`` of fewer than three values.
    """

    n: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Paired:
    """One method minus another over the blocks that both have; positive favours the first.

    Args:
        difference: Summary of the differences.
        wins: Blocks that the first wins.
        ties: Blocks with equal values.
        losses: Blocks that the second wins.
        p: Of the two-sided signed-rank test; exact up to 50 pairs that differ.
        effect: Rank-biserial correlation, from -1 (the second wins all) to 1.
    """

    difference: Summary
    wins: int
    ties: int
    losses: int
    p: float
    effect: float


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Several methods over blocks.

    Args:
        n: Number of blocks.
        mean_ranks: Per method; 1 is best, equal values share the mean of their ranks.
        statistic: Friedman's chi-squared, corrected for ties.
        p: Its probability if all methods are alike.
        critical_difference: Nemenyi: mean ranks that differ by less are not told apart (5 %).
    """

    n: int
    mean_ranks: tuple[float, ...]
    statistic: float
    p: float
    critical_difference: float


def summary(values: ArrayLike, *, seed: int = 0) -> Summary:
    """Mean, deviation and interval; ``seed`` is that of the resamples.

    Raises:
        ValueError: if there is no value, or one is not finite.

    Examples:
        >>> summary([1.0, 2.0, 3.0]).mean
        2.0
    """
    numbers = _finite(values)
    n = len(numbers)
    return Summary(
        n=n,
        mean=float(numbers.mean()),
        deviation=float(numbers.std(ddof=1)) if n > 1 else None,
        interval=_interval(numbers, seed) if n >= FEWEST_FOR_AN_INTERVAL else None,
    )


def _interval(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    if np.ptp(values) == 0:  # nothing to resample; BCa would divide by its spread
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.Generator(np.random.Philox(seed)),
    ).confidence_interval
    return float(found.low), float(found.high)


def paired(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Paired:
    """Compare two methods over the same blocks; higher values are better.

    Raises:
        ValueError: if the lengths differ, there is no value, or one is not finite.

    Examples:
        >>> paired([3, 5, 4], [1, 2, 2]).p
        0.25
    """
    ours, theirs = _finite(first), _finite(second)
    if len(ours) != len(theirs):
        raise ValueError(
            f"paired values must be as many, got {len(ours)} and {len(theirs)}; leave out the "
            "blocks that only one method has"
        )
    # the last bits of 0.9 - 0.8 and 0.8 - 0.7 differ, but the accuracies are one image apart
    differences = _rounded(ours - theirs)
    p, effect = _signed_rank(differences)
    return Paired(
        difference=summary(differences, seed=seed),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        p=p,
        effect=effect,
    )


def _signed_rank(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Two-sided p and rank-biserial correlation; zeros are left out, as Wilcoxon did.

    SciPy's exact test knows no ties and falls back to a normal approximation, which is bad for a
    few seeds; accuracies on few images tie often. So the distribution is counted here, over all
    signs of the midranks.
    """
    nonzero = differences[differences != 0]
    n = len(nonzero)
    if n == 0:
        return 1.0, 0.0
    ranks = stats.rankdata(abs(nonzero))
    positive = float(ranks[nonzero > 0].sum())
    total = n * (n + 1) / 2
    effect = 2 * positive / total - 1
    if n > _EXACT_UP_TO:
        return float(stats.wilcoxon(nonzero, method="approx").pvalue), effect
    ways = np.ones(1)  # ways[s]: choices of signs whose positive ranks sum to s / 2
    for doubled in (2 * ranks).astype(int):
        ways = np.concatenate([ways, np.zeros(doubled)]) + np.concatenate(
            [np.zeros(doubled), ways]
        )
    smaller = round(2 * min(positive, total - positive))
    return min(1.0, 2 * float(ways[: smaller + 1].sum()) / 2.0**n), effect


def ranking(scores: ArrayLike) -> Ranking:
    """Rank three or more methods; ``scores[block, method]``, higher is better.

    Raises:
        ValueError: for fewer than three methods or two blocks, or a score that is not finite.

    Examples:
        >>> ranking([[3, 2, 1], [3, 2, 1]]).mean_ranks
        (1.0, 2.0, 3.0)
    """
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise ValueError(
            f"scores must be [block, method] with at least 2 blocks and 3 methods, got "
            f"{list(table.shape)}"
        )
    _finite(table.ravel())
    table = _rounded(table)  # equal scores that were summed in another order tie
    n, k = table.shape
    ranks = stats.rankdata(-table, axis=1)
    same = bool((np.ptp(table, axis=1) == 0).all())  # scipy divides by zero
    found = (0.0, 1.0) if same else stats.friedmanchisquare(*table.T)
    return Ranking(
        n=n,
        mean_ranks=tuple(float(rank) for rank in ranks.mean(axis=0)),
        statistic=float(found[0]),
        p=float(found[1]),
        critical_difference=nemenyi(k, n),
    )


def nemenyi(methods: int, blocks: int, *, alpha: float = 0.05) -> float:
    """The critical difference of mean ranks: ``q_alpha sqrt(k (k + 1) / (6 n))``, eq. in 3.2.2.

    Examples:
        >>> round(nemenyi(4, 14), 2)
        1.25
    """
    q = stats.studentized_range.ppf(1 - alpha, methods, math.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * blocks)))


def alike(mean_ranks: Sequence[float], critical_difference: float) -> list[tuple[int, ...]]:
    """The largest sets of methods that are not told apart, as indices by rank; none of one.

    Examples:
        >>> alike([1.0, 1.5, 3.0], 0.6)
        [(0, 1)]
    """
    order = sorted(range(len(mean_ranks)), key=lambda i: mean_ranks[i])
    sets: list[tuple[int, ...]] = []
    for start, first in enumerate(order):
        within = [
            i for i in order[start:] if mean_ranks[i] - mean_ranks[first] < critical_difference
        ]
        if len(within) > 1 and not any(set(within) <= set(larger) for larger in sets):
            sets.append(tuple(within))
    return sets


def holm(probabilities: Sequence[float]) -> list[float]:
    """Adjust for several tests (S. Holm, 1979), in the order given.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(probabilities), 0.0
    order = sorted(range(len(probabilities)), key=lambda i: probabilities[i])
    for done, index in enumerate(order):
        largest = max(largest, min(1.0, probabilities[index] * (len(order) - done)))
        adjusted[index] = largest
    return adjusted


def wilson(share: ArrayLike, n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95 % intervals of shares of ``n`` images, by Wilson's score; of no image [0, 1].

    Examples:
        >>> [bound.round(3).tolist() for bound in wilson([1.0, 0.5], [4, 0])]
        [[0.51, 0.0], [1.0, 1.0]]
    """
    p, count = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    # (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), times n / n
    half = z * np.sqrt(count * p * (1 - p) + z**2 / 4)
    low, high = ((count * p + z**2 / 2 + sign * half) / (count + z**2) for sign in (-1, 1))
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def binomial_margin(share: float, n: int) -> float:
    """Half of the 95 % interval of a share of ``n`` images; see `wilson`.

    Examples:
        >>> round(binomial_margin(0.8, 100), 3)
        0.078
    """
    low, high = wilson(share, n)
    return float(high - low) / 2


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the last bits; NumPy's own overflows for large values."""
    rounded = [round(value, _DECIMALS) for value in values.ravel().tolist()]
    return np.array(rounded).reshape(values.shape)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"values must be one or more finite numbers, got {values!r}")
    return numbers
