"""Who may still win: finalists are trained seed by seed, and drop out when the leader is clear.

A race in the manner of Maron and Moore (1994, Hoeffding races) and of Birattari et al. (2002,
F-Race), with the rule that ends trials in medicine early: drop out whoever would be ahead at the
planned end with a small predictive probability only (Spiegelhalter, Freedman and Blackburn,
1986).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CHANCE = 0.1
"""Predictive probability of being ahead in the end below which a finalist drops out."""


def still_in_the_race(
    scores: NDArray[np.float64], n_seeds: int, *, chance: float = CHANCE
) -> NDArray[np.bool_]:
    """Which finalists go on to the next seed; whoever leads does.

    A lead D in the means over r of n seeds is, under a flat prior, a final lead that is normal
    around D with variance ``2 s^2 (n - r) / (n r)``, where s is the standard deviation of one
    training about its policy's mean. For s^2 we take the variance of the finalists within a seed,
    which is known from the first seed on, pooled over the seeds: what seeds have in common is
    gone, and as it holds the differences between policies, too, it errs towards going on. With
    it the normal becomes Student's t with r (k - 1) degrees of freedom.

    Args:
        scores: [k finalists, r seeds so far], larger is better, NaN is worse than any number.
        n_seeds: Seeds at the end of the race, n >= r.
        chance: In (0, 0.5].

    Returns:
        [k], true for those that go on.
    """
    going_on = np.asarray(np.isfinite(scores).all(axis=1))
    if not going_on.any():
        going_on[0] = True
    left = scores[going_on]
    k, r = left.shape
    if k > 1:
        behind = left.mean(axis=1).max() - left.mean(axis=1)
        variance = ((left - left.mean(axis=0)) ** 2).sum() / (r * (k - 1))
        spread = np.sqrt(2 * variance * (n_seeds - r) / (n_seeds * r))
        going_on[going_on] = behind <= stats.t.isf(chance, r * (k - 1)) * spread
    return going_on
