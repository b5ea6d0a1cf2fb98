"""CatCMAwM's distribution, learning each variable only from the points that used it.

`_catcmawm_update` has CatCMA with margin as its authors have it (Hamano et al. 2025,
https://arxiv.org/abs/2504.07884). What is added here: a variable without effect in a point neither
misleads nor drifts, and no deviation exceeds half of the range.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optuna_layerwise.samplers._algorithm import Genes, Mask
from optuna_layerwise.samplers._catcmawm_update import (
    Categories,
    Gaussian,
    Levels,
    centre_on_levels,
    keep_margin,
    learning_rates,
    order_in_range,
    update,
    update_categories,
)

WIDEST = 0.5
"""Largest standard deviation of a variable; on a plateau it would grow without end."""
FINEST = 1e-7
"""All standard deviations below it: nothing is left to be learned here."""
FINEST_TIED = 1e-3
"""The same where all values are equal: on a plateau, or at the limit of floating point."""
_CONDITION = 1e14
_FARTHEST = 6.0


class Model:
    """A joint distribution of numbers in [0, 1], levels and categories; never changed in place.

    Args:
        levels: For each variable its levels, ascending; none for a continuous one. Continuous
            variables come first.
        choices: For each category the number of choices, at least 2.
        population: Points per update, at least 4.
        mean: Where the numbers and levels start [n].
        cov: Their covariance [n, n].
        probabilities: For each category the probability of each choice; raised to the margin.
        diagonal: Learn no correlations; variances are learned (n + 2) / 3 times as fast, as in
            sep-CMA-ES (Ros and Hansen 2008).
    """

    def __init__(
        self,
        *,
        levels: Sequence[Sequence[float]],
        choices: Sequence[int],
        population: int,
        mean: Genes,
        cov: Genes,
        probabilities: Sequence[npt.NDArray[np.float64]],
        diagonal: bool = False,
    ) -> None:
        grids = [grid for grid in levels if grid]
        margin = 1 - 0.73 ** (1 / max(1, len(grids) + len(choices)))
        self._n_continuous = len(levels) - len(grids)
        self._levels, self._diagonal = Levels.of(grids, margin), diagonal
        self._rates = learning_rates(population, max(1, len(levels)), diagonal=diagonal)
        self.numbers = Gaussian.begin(mean, cov, len(grids)) if levels else None
        self.categories = Categories.begin(probabilities, margin) if choices else None

    @property
    def std(self) -> Genes:
        """Standard deviations [n] of numbers and levels."""
        if self.numbers is None:
            return np.empty(0)
        ours = self.numbers
        return np.asarray(ours.sigma * ours.stretch * np.sqrt(np.diag(ours.cov)))

    @property
    def mean(self) -> Genes:
        """Means [n] of numbers and levels; those of numbers may lie outside [0, 1]."""
        return np.empty(0) if self.numbers is None else self.numbers.mean.copy()

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Probabilities [category, choice], padded with zeros."""
        return np.empty((0, 1)) if self.categories is None else self.categories.q.copy()

    def draw(self, words: npt.NDArray[np.uint32]) -> tuple[Genes, Genes, npt.NDArray[np.intp]]:
        """The point that belongs to these random words.

        Returns:
            Raw numbers and levels [n], the same as they are executed [n], choices.
        """
        rng, n = np.random.RandomState(words), self._n_continuous
        raw, choices = np.empty(0), np.empty(0, dtype=np.intp)
        if self.numbers:
            raw = self.numbers.draw(rng)
        if self.categories:
            choices = self.categories.draw(rng)
        executed = np.append(np.clip(raw[:n], 0, 1), self._levels.executed(raw[n:]))
        return raw, executed, choices

    def draws(
        self, m: int, generator: np.random.Generator, *, wide: bool = False
    ) -> tuple[Genes, npt.NDArray[np.intp]]:
        """Raw numbers and levels [m, n] and choices [m, k] of independent points.

        ``wide`` has twice the deviations, at least 0.1, without correlations, and a fifth of
        the choices uniform.
        """
        raw, q, last = np.empty((m, 0)), np.empty((0, 1)), np.empty(0, dtype=int)
        if ours := self.numbers:
            raw = generator.standard_normal((m, len(ours.mean)))
            if wide:
                raw = ours.mean + np.maximum(2 * self.std, 0.1) * raw
            else:
                raw = ours.mean + ours.sigma * ours.stretch * ((raw * ours.axes) @ ours.basis.T)
        if self.categories:
            q, k = self.categories.q, self.categories.choices[:, None]
            last = self.categories.choices - 1
            if wide:
                q = 0.8 * q + 0.2 * (np.arange(q.shape[1]) < k) / k
        below = q.cumsum(axis=1)[:, :-1] <= generator.random((m, len(q), 1))
        return raw, np.minimum(below.sum(axis=2), last)

    def learn(self, points: Genes, used: Mask, choices: npt.NDArray[np.intp]) -> Model:
        """The model after an update with a population of points, best first.

        Args:
            points: Raw numbers and levels [population, n].
            used: Which of them had an effect [population, n].
            choices: For each category the choice [population, m], -1 where it had no effect.
        """
        model = copy.copy(self)
        with np.errstate(all="ignore"):  # what is not finite afterwards is broken
            if self.numbers:
                points = self._within_reach(points)
                order = order_in_range(self.numbers, points, self._n_continuous, self._rates)
                model.numbers = self._learn_numbers(self.numbers, points[order], ~used[order])
                choices = choices[order]
            if self.categories:
                model.categories = self._learn_choices(self.categories, choices)
        return model

    def is_spent(self, *, tied: bool) -> bool:
        """Whether nothing is left to learn, or the numbers have become unusable."""
        finite = self.categories is None or bool(np.isfinite(self.categories.q).all())
        if self.numbers is None:
            return not finite
        axes = self.numbers.axes
        if not (finite and np.isfinite(self.mean).all() and np.isfinite(self.numbers.cov).all()):
            return True
        if not axes.min() > 0 or (axes.max() / axes.min()) ** 2 > _CONDITION:
            return True
        std = self.std[: self._n_continuous]
        return bool(len(std) and std.max() < (FINEST_TIED if tied else FINEST))

    def _within_reach(self, points: Genes) -> Genes:
        """Points too far from the mean, moved to it until they are not (Hansen 2011).

        https://inria.hal.science/inria-00628254: somebody else's point, told to a narrow
        distribution as it is, would blow up the step size. Within 6 deviations in each variable,
        which is farther than any corner from the centre of a fresh model, nothing is moved.
        """
        assert self.numbers is not None
        ours = self.numbers
        steps = (points - ours.mean) / (ours.sigma * ours.stretch)
        distance = np.linalg.norm((steps @ ours.basis) / ours.axes, axis=1)
        limit = _FARTHEST * np.sqrt(len(ours.mean))
        scale = np.minimum(1.0, limit / np.maximum(distance, limit))[:, None]
        return np.where(scale < 1, ours.mean + scale * (points - ours.mean), points)

    def _learn_numbers(self, old: Gaussian, points: Genes, unused: Mask) -> Gaussian:
        """The update, less what the variables without effect have added to it.

        They are told as drawn, which is neutral for the step size and the paths. Their share of
        the mean's step is taken back, and their deviation changes only by the share of the
        weights that used it: log std <- (1 - u) log std_updated + u log std.
        """
        rates, w = self._rates, self._rates.weights
        points, succeeded = centre_on_levels(old, points, self._levels, rates)
        new = update(old, points, rates)
        steps, best = (points - old.mean) / old.stretch, slice(rates.parents)
        idle = (w[best, None] * unused[best] * steps[best]).sum(axis=0)
        new = dataclasses.replace(new, mean=new.mean - idle)
        cov = np.diag(np.diag(new.cov)) if self._diagonal else new.cov
        scale = (old.unstretched / new.unstretched) ** (np.abs(w) / np.abs(w).sum() @ unused)
        scale *= np.minimum(1.0, WIDEST / (new.unstretched * scale))
        if self._diagonal or (scale != 1).any():
            new = new.with_cov(scale[:, None] * cov * scale)
        return keep_margin(new, succeeded, self._levels)

    def _learn_choices(self, old: Categories, choices: npt.NDArray[np.intp]) -> Categories:
        """The update with rows of 0 and 1; q where a category had no effect: its gradient is 0.

        If none had one, nothing changes: the step would have no direction.
        """
        chosen = choices[:, :, None]
        points = np.where(chosen < 0, old.q, np.arange(old.q.shape[1]) == chosen)
        if (points[: self._rates.parents] == old.q).all():
            return old
        return update_categories(old, points, self._rates)
