"""Where a CatCMAwM search begins: means, deviations and probabilities, in the unit cube."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from optuna_layerwise.samplers._algorithm import Genes, Space
from optuna_layerwise.samplers._catcmawm_layout import Layout, lay_out
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
            if not (isinstance(spread, int | float) and 0 < spread <= WIDEST):
                raise ValueError(
                    f"spread{where} must be above 0 and at most {WIDEST}, got {spread!r}"
                )
        for name, p in self.probabilities:
            numbers = all(isinstance(share, int | float) for share in p)
            if not (numbers and min(p, default=-1) >= 0 and abs(sum(p) - 1) <= 1e-6):
                raise ValueError(
                    f"the probabilities of {name!r} must be at least 0 and sum to 1, got {p}"
                )

    def gaussian(self, space: Space, layout: Layout) -> tuple[Genes, Genes]:
        """Mean [n] and covariance [n, n] of numbers and levels.

        Raises:
            ValueError: for a mean out of the range, or of a category.
        """
        low, high = layout.ends
        mean, std, names = (low + high) / 2, self.std(space, layout), layout.names
        cov = np.diag(std**2)
        good = self._good(space)[:, layout.numbers]
        if (known := ~np.isnan(good).all(axis=0)).any():
            mean[known], cov[np.ix_(known, known)] = promising(good[:, known])
            fixed = np.isin(names, [name for name, _ in self.spreads])
            scale = np.where(fixed, std / np.sqrt(np.diag(cov)), 1.0)
            cov = scale[:, None] * cov * scale
        given = self._means(space)[layout.numbers]
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
        """The probabilities of each category's choices.

        Raises:
            ValueError: for more or fewer probabilities than choices, or those of a number.
        """
        given, means = dict(self.probabilities), self._means(space)
        for k in layout.numbers:
            if space.names[k] in given:
                raise ValueError(f"{space.names[k]!r} has no choices: it is a number; give a mean")
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
            categories.append(p)
        return categories

    def tells_of(self, name: str) -> bool:
        """Whether anything but the defaults applies to a parameter."""
        named = (
            *self.means,
            *self.spreads,
            *self.probabilities,
            *(p for t in self.warm for p in t),
        )
        spreads = {self.spread, self.level_spread}
        return spreads != {Start.spread} or any(name == other for other, *_ in named)

    def draw(self, space: Space, rng: np.random.Generator) -> float:
        """A gene of a space that has no other."""
        layout = lay_out(space)
        for p, values in zip(self.categories(space, layout), layout.values, strict=True):
            return float(rng.choice(values, p=p / p.sum()))
        mean, cov = self.gaussian(space, layout)
        return float(np.clip(rng.normal(mean[0], np.sqrt(cov[0, 0])), 0, 1))

    def _means(self, space: Space) -> Genes:
        """The genes [n] of the means that are given, NaN where none is."""
        means = dict(self.means)
        genes = space.encode(means)
        for name, gene, n in zip(space.names, genes, space.choices, strict=True):
            if name in means and n:
                raise ValueError(f"{name!r} has no mean: it is a category; give probabilities")
            if name in means and np.isnan(gene):
                raise ValueError(
                    f"the mean of {name!r} is {means[name]}, which is not in its range"
                )
        return genes

    def _good(self, space: Space) -> Genes:
        """The good trials' genes [k, n], at least one row of NaN."""
        params: list[dict[str, Any]] = [dict(trial) for trial in self.warm] or [{}]
        return np.stack([space.encode(trial) for trial in params])
