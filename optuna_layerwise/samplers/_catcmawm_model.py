"""CatCMAwM's distribution, learning each variable only from the points that used it.

CatCMA with margin (Hamano et al. 2025, https://arxiv.org/abs/2504.07884) as `cmaes` has it. What
is added: a model is never changed but copied, a variable without effect in a point neither
misleads nor drifts, and no deviation exceeds half of the range.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cmaes import CatCMAwM  # type: ignore[attr-defined]

from optuna_layerwise.samplers._algorithm import Genes, Mask

WIDEST = 0.5
"""Largest standard deviation of a variable; on a plateau it would grow without end."""
FINEST = 1e-7
"""All standard deviations below it: nothing is left to be learned here."""
FINEST_TIED = 1e-3
"""The same where all values are equal: on a plateau, or at the limit of floating point."""
_CONDITION = 1e14
_FARTHEST = 6.0


class Model(CatCMAwM):
    """A joint distribution of numbers in [0, 1], levels and categories.

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
        grids = [list(grid) for grid in levels if grid]
        n_continuous = len(levels) - len(grids)
        numbers = {"mean": mean.copy(), "cov": cov.copy()} if len(levels) else {}
        super().__init__(
            x_space=[[0.0, 1.0]] * n_continuous or None,
            z_space=grids or None,
            c_space=list(choices) or None,
            population_size=population,
            cat_param=_padded(probabilities) if choices else None,
            **numbers,
        )
        for q, k, least in zip(self._q, self._K, self._qmin, strict=True) if choices else ():
            if q[:k].min() < least:  # what cmaes keeps after each update
                q[:k] = np.maximum(q[:k], least)
                q /= q.sum()
        self._diagonal = diagonal
        self._last = np.array(choices, dtype=int) - 1
        self._unused: dict[int, Mask] = {}
        self._told: list[tuple[CatCMAwM.Solution, float]] = []
        if diagonal and levels:
            self._learn_variances_faster()
        if levels:
            self._eigen_decomposition()  # rewrites C: the same whether it is asked first or told
        for thresholds, grid in zip(self._z_lim if grids else [], grids, strict=True):
            # cmaes pads short rows with their highest level, which makes a cell of its own above
            # it and loses the margin below; a repeated last threshold has no such cell.
            thresholds[len(grid) - 1 :] = thresholds[len(grid) - 2]

    def _learn_variances_faster(self) -> None:
        n, negative = self._Nmi, self._weights < 0
        faster = (n + 2) / 3
        self._c1 = min(1.0, self._c1 * faster)
        self._cmu = min(1 - self._c1, self._cmu * faster)
        limit = (1 - self._c1 - self._cmu) / (n * self._cmu)  # C stays positive definite
        self._weights[negative] *= min(1.0, limit / -self._weights[negative].sum())

    @property
    def std(self) -> Genes:
        """Standard deviations [n] of numbers and levels."""
        return np.asarray(self._sigma * self._A * np.sqrt(np.diag(self._C)))

    @property
    def mean(self) -> Genes:
        """Means [n] of numbers and levels; those of numbers may lie outside [0, 1]."""
        return np.array(self._mean) if self._use_gaussian else np.empty(0)

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Probabilities [category, choice], padded with zeros."""
        return np.array(self._q)

    def draw(self, words: npt.NDArray[np.uint32]) -> tuple[Genes, Genes, npt.NDArray[np.intp]]:
        """The point that belongs to these random words.

        Returns:
            Raw numbers and levels [n], the same as they are executed [n], choices.
        """
        self._rng.seed(words)
        point = self.ask()
        nothing = np.empty(0)
        numbers = [nothing if part is None else part for part in (point.x, point.z)]
        choices = np.empty((0, 1)) if point.c is None else point.c
        raw = nothing if point._v_raw is None else point._v_raw
        return raw, np.concatenate(numbers), choices.argmax(axis=1)

    def draws(
        self, m: int, generator: np.random.Generator, *, wide: bool = False
    ) -> tuple[Genes, npt.NDArray[np.intp]]:
        """Raw numbers and levels [m, n] and choices [m, k] of independent points.

        ``wide`` has twice the deviations, at least 0.1, without correlations, and a fifth of
        the choices uniform.
        """
        raw, q = np.empty((m, 0)), np.empty((0, 1))
        if self._use_gaussian:
            raw = generator.standard_normal((m, self._Nmi))
            if wide:
                raw = self._mean + np.maximum(2 * self.std, 0.1) * raw
            else:
                basis, axes = self._eigen_decomposition()
                raw = self._mean + self._sigma * self._A * ((raw * axes) @ basis.T)
        if self._use_categorical:
            q = self._q
            if wide:
                q = 0.8 * q + 0.2 * (np.arange(self._Kmax) < self._K[:, None]) / self._K[:, None]
        below = q.cumsum(axis=1)[:, :-1] <= generator.random((m, len(q), 1))
        return raw, np.minimum(below.sum(axis=2), self._last)

    def learn(self, points: Genes, used: Mask, choices: npt.NDArray[np.intp]) -> Model:
        """The model after an update with a population of points, best first.

        Args:
            points: Raw numbers and levels [population, n].
            used: Which of them had an effect [population, n].
            choices: Of each category [population, m], -1 where it had no effect.
        """
        model = copy.deepcopy(self)
        if self._use_gaussian:
            points = self._within_reach(points)
        model._told = [
            (CatCMAwM.Solution(c=self._one_hot(row), _v_raw=point), float(rank))
            for rank, (point, row) in enumerate(zip(points, choices, strict=True))
        ]
        model._unused = {
            id(solution): ~row for (solution, _), row in zip(model._told, used, strict=True)
        }
        with np.errstate(all="ignore"):  # what is not finite afterwards is broken
            model.tell(model._told)
        model._told, model._unused = [], {}
        return model

    def is_spent(self, *, tied: bool) -> bool:
        """Whether nothing is left to learn, or the numbers have become unusable."""
        finite = (not self._use_categorical) or bool(np.isfinite(self._q).all())
        if not self._use_gaussian:
            return not finite
        if not (finite and np.isfinite(self._mean).all() and np.isfinite(self._C).all()):
            return True
        _, axes = self._eigen_decomposition()
        if not axes.min() > 0 or (axes.max() / axes.min()) ** 2 > _CONDITION:
            return True
        std = self.std[: self._Nco]
        return bool(len(std) and std.max() < (FINEST_TIED if tied else FINEST))

    def _within_reach(self, points: Genes) -> Genes:
        """Points too far from the mean, moved to it until they are not (Hansen 2011).

        https://inria.hal.science/inria-00628254: somebody else's point, told to a narrow
        distribution as it is, would blow up the step size. Within 6 deviations in each variable,
        which is farther than any corner from the centre of a fresh model, nothing is moved.
        """
        basis, axes = self._eigen_decomposition()
        steps = (points - self._mean) / (self._sigma * self._A)
        distance = np.linalg.norm((steps @ basis) / axes, axis=1)
        limit = _FARTHEST * np.sqrt(self._Nmi)
        scale = np.minimum(1.0, limit / np.maximum(distance, limit))[:, None]
        return np.where(scale < 1, self._mean + scale * (points - self._mean), points)

    def _one_hot(self, choices: npt.NDArray[np.intp]) -> npt.NDArray[np.float64] | None:
        """Rows of 0 and 1; of a category without effect q, whose natural gradient is 0."""
        if not self._use_categorical:
            return None
        rows = np.arange(self._Kmax) == choices[:, None]
        return np.where(choices[:, None] < 0, self._q, rows)

    def _update_gaussian(self, sv: Genes) -> None:
        """The update, less what the variables without effect have added to it.

        They are told as drawn, which is neutral for the step size and the paths. Their share of
        the mean's step is taken back, and their deviation changes only by the share of the
        weights that used it: log std <- (1 - u) log std_updated + u log std.
        """
        unused = np.stack([self._unused[id(solution)] for solution, _ in self._told])
        steps, std = (sv - self._mean) / self._A, self._sigma * np.sqrt(np.diag(self._C))
        super()._update_gaussian(sv)
        best = self._weights[: self._mu, None]
        self._mean -= self._cm * (best * unused[: self._mu] * steps[: self._mu]).sum(axis=0)
        if self._diagonal:
            self._C = np.diag(np.diag(self._C))
        weights = np.abs(self._weights) / np.abs(self._weights).sum()
        updated = self._sigma * np.sqrt(np.diag(self._C))
        scale = (std / updated) ** (weights @ unused)
        scale *= np.minimum(1.0, WIDEST / (updated * scale))
        if self._diagonal or (scale != 1).any():
            self._C = scale[:, None] * self._C * scale
            self._B, self._D = None, None
            self._eigen_decomposition()

    def _update_categorical(self, sc: npt.NDArray[np.float64]) -> None:
        """The update, unless no category had an effect: its step has no direction then."""
        if (sc[: self._mu] != self._q).any():
            super()._update_categorical(sc)


def _padded(probabilities: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """As rows [category, choice] with zeros at their ends."""
    table = np.zeros((len(probabilities), max(map(len, probabilities))))
    for row, p in zip(table, probabilities, strict=True):
        row[: len(p)] = p
    return table
