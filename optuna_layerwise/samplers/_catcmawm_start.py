"""Where a CatCMAwM search begins: means, deviations and probabilities, in the unit cube."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from optuna_layerwise.samplers._algorithm import Genes, Space
from optuna_layerwise.samplers._catcmawm_layout import Layout
from optuna_layerwise.samplers._catcmawm_model import WIDEST
from optuna_layerwise.samplers._warm_start import Params, frequencies, promising

_SURE = 0.8
"""Probability of the level that is given as the mean of a number with two levels."""


@dataclasses.dataclass(frozen=True)
class Start:
    """Of what is named what is given, of the rest what is found in `warm`, then the defaults.

    Args:
        spread: Standard deviation of continuous parameters, as a share of the range.
        level_spread: Of those with levels, as a share of what is between the first and the last.
        means: Parameter name and value.
        spreads: Parameter name and standard deviation, as a share of the range.
        probabilities: Name of a category and the probability of each choice.
        warm: Parameters of good trials of another study.
    """

    spread: float = 1 / 6
    level_spread: float = 1 / 6
    means: Params = ()
    spreads: tuple[tuple[str, float], ...] = ()
    probabilities: tuple[tuple[str, tuple[float, ...]], ...] = ()
    warm: tuple[Params, ...] = ()

    def __post_init__(self) -> None:
        for name, spread in (("", self.spread), *self.spreads):
            where = f" of {name!r}" if name else ""
            if not 0 < spread <= WIDEST:
                raise ValueError(
                    f"spread{where} must be above 0 and at most {WIDEST}, got {spread}"
                )
        for name, p in self.probabilities:
            if min(p, default=-1) < 0 or abs(sum(p) - 1) > 1e-6:
                raise ValueError(
                    f"the probabilities of {name!r} must be at least 0 and sum to 1, got {p}"
                )

    def gaussian(self, space: Space, layout: Layout) -> tuple[Genes, Genes]:
        """Mean [n] and covariance [n, n] of numbers and levels."""
        low, high = layout.ends
        mean, std, names = (low + high) / 2, self.std(space, layout), layout.names
        cov = np.diag(std**2)
        good = self._good(space)[:, layout.numbers]
        if (known := ~np.isnan(good).all(axis=0)).any():
            mean[known], cov[np.ix_(known, known)] = promising(good[:, known])
            fixed = np.isin(names, [name for name, _ in self.spreads])
            scale = np.where(fixed, std / np.sqrt(np.diag(cov)), 1.0)
            cov = scale[:, None] * cov * scale
        given = space.encode(dict(self.means))[layout.numbers]
        mean = np.where(np.isnan(given), mean, given)
        inside = np.sqrt(np.diag(cov)) / 2  # on a bound half of the draws would be alike
        return np.clip(mean, low + inside, high - inside), cov

    def std(self, space: Space, layout: Layout) -> Genes:
        """Standard deviations [n] of numbers and levels, as given or by default."""
        low, high = layout.ends
        centre, own = (low + high) / 2, dict(self.spreads)
        share = np.full(len(low), self.level_spread)
        share[: layout.n_continuous] = self.spread
        std = np.minimum(centre - low, high - centre) / (0.5 / share)  # rounded as in cmaes
        return np.array([own.get(name, s) for name, s in zip(layout.names, std, strict=True)])

    def categories(self, space: Space, layout: Layout) -> list[npt.NDArray[np.float64]]:
        """The probabilities of each category's choices, nowhere below the margin.

        Raises:
            ValueError: for more or fewer probabilities than choices.
        """
        margin = 1 - 0.73 ** (1 / max(len(space.names) - layout.n_continuous, 1))
        given, means = dict(self.probabilities), space.encode(dict(self.means))
        good, categories = self._good(space), []
        for k, values in zip(layout.choices, layout.values, strict=True):
            n, name, seen = len(values), space.names[k], good[~np.isnan(good[:, k]), k]
            p = np.full(n, 1 / n)
            if name in given:
                p = np.array(given[name])
            elif not space.choices[k] and not np.isnan(means[k]):
                p = np.where(np.abs(values - means[k]) < 1e-9, _SURE, 1 - _SURE)
            elif len(seen):
                p = frequencies(np.abs(seen[:, None] - values).argmin(axis=1), n)
            if len(p) != n:
                raise ValueError(
                    f"{name!r} has {n} choices: expected as many probabilities, got {given[name]}"
                )
            if p.min() < margin / (n - 1):
                p = np.maximum(p, margin / (n - 1))
                p = p / p.sum()
            categories.append(p)
        return categories

    def _good(self, space: Space) -> Genes:
        """The good trials' genes [k, n], at least one row of NaN."""
        params: list[dict[str, Any]] = [dict(trial) for trial in self.warm] or [{}]
        return np.stack([space.encode(trial) for trial in params])
