"""Choosing which of many points to evaluate, by what a surrogate says about them.

Most members of a cohort are the best of a few draws from the algorithm's own distribution, which
stays what decides how far to look. Every third member instead climbs a Thompson sample from the
best points known, by small steps and by genes borrowed from a wide version of the distribution:
this is what finds optima that the distribution would need many generations to walk to. All
depends on the finished trials and the member's own generator alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

from optuna_layerwise.samplers._algorithm import Draw, Genes, Mask, Member, Rng, Space
from optuna_layerwise.samplers._catcmawm_layout import Layout
from optuna_layerwise.samplers._catcmawm_model import Model
from optuna_layerwise.samplers._surrogate import Surrogate, fit

_KEPT = 120
"""Points that the surrogate is fitted to: half of them the best, half the newest."""
_FEWEST = 20
"""It chooses from so many points on, and twice as many as genes: before, it misled searches."""
_DRAWS = 8
_OPTIMISM = 0.5
"""A draw is judged by its mean less up to so many standard deviations; with 2, high-dimensional
searches chase what is unusual."""
_EVERY = 3
_STRAY = 0.5
"""How far Thompson samples stray from the mean; with 1, batches do not settle within 100."""
_CLIMBERS, _ROUNDS, _PARENTS = 32, 3, 5


@dataclasses.dataclass(frozen=True)
class Screen:
    """The trials that are remembered, and what they say about others.

    Args:
        space: Of the genes.
        layout: Which of them are what in the distribution.
        members: The best and the newest trials, by number.
    """

    space: Space
    layout: Layout
    members: tuple[Member, ...] = ()

    def tell(self, members: Sequence[Member]) -> Screen:
        """With a cohort's members; those without genes are forgotten."""
        told = [*self.members, *(m for m in members if not np.isnan(m.genes).all())]
        best = sorted(told, key=lambda m: m.order)[: _KEPT // 2]
        chosen = {m.number for m in best}
        newest = [m for m in told if m.number not in chosen][-(_KEPT // 2) :]
        kept = sorted([*best, *newest], key=lambda m: m.number)
        return dataclasses.replace(self, members=tuple(kept))

    @cached_property
    def surrogate(self) -> Surrogate | None:
        """Fitted to normal scores of the ranks; none while there is too little to learn from."""
        if len(self.members) < min(max(_FEWEST, 2 * len(self.space.names)), _KEPT):
            return None
        outcomes = [m.merit for m in self.members]
        place = {outcome: k for k, outcome in enumerate(sorted(set(outcomes)))}
        if len(place) < 2:
            return None
        ranks = rankdata([place[outcome] for outcome in outcomes])
        costs = ndtri((ranks - 0.5) / len(ranks))
        return fit(self._features(self._genes), self._features.groups, costs)

    @cached_property
    def _genes(self) -> Genes:
        """Of the members [m, n]; NaN where a trial had none."""
        return np.array([m.genes for m in self.members])

    @cached_property
    def _features(self) -> Features:
        return Features(self.space)

    def draw(self, model: Model, index: int, rng: Rng) -> Draw:
        """Member ``index`` of a cohort; only while there is a surrogate."""
        generator = rng("screen")
        if index % _EVERY == _EVERY - 1:
            return Draw(self._climb(model, generator), {"raw": {}})
        raw, choices = model.draws(_DRAWS, generator)
        points = self._points(raw, choices)
        assert self.surrogate is not None
        mean, deviation = self.surrogate.predict(self._features(points))
        best = self._best(points, mean - generator.uniform(0, _OPTIMISM) * deviation)
        facts = {"raw": dict(zip(self.layout.names, raw[best].tolist(), strict=True))}
        return Draw(points[best], facts)

    def _climb(self, model: Model, generator: np.random.Generator) -> Genes:
        """A low point [n] of a Thompson sample, reached from the best points and fresh ones."""
        assert self.surrogate is not None
        path = self.surrogate.sample(_STRAY, generator)
        known = np.where(np.isnan(self._genes), 0.5, self._genes)
        parents = known[np.argsort(path(self._features(known)), kind="stable")[:_PARENTS]]
        pool = self._points(*model.draws(_CLIMBERS // 4, generator, wide=True))
        costs = path(self._features(pool))
        for _ in range(_ROUNDS):
            new = self._vary(parents, model, generator)
            pool = np.vstack([pool, new])
            costs = np.append(costs, path(self._features(new)))
            order = np.argsort(costs, kind="stable")
            parents = pool[order[:_PARENTS]]
        return np.asarray(pool[self._best(pool, costs)])

    def _vary(self, parents: Genes, model: Model, generator: np.random.Generator) -> Genes:
        """Children [m, n] with some genes of a wide draw, or numbers a step away."""
        chosen = parents[generator.integers(len(parents), size=_CLIMBERS)]
        m, n = chosen.shape
        borrowed = self._points(*model.draws(m, generator, wide=True))
        share = np.exp(generator.uniform(np.log(1 / n), np.log(max(0.5, 1 / n)), (m, 1)))
        hit = generator.random((m, n)) < share
        hit[np.arange(m), generator.integers(n, size=m)] = True
        length = np.exp(generator.uniform(np.log(0.02), np.log(0.25), (m, 1)))
        moved = np.clip(chosen + length * generator.standard_normal((m, n)), 0, 1)
        steps = (generator.random((m, 1)) < 0.5) & (np.array(self.space.choices) == 0)
        return self._snapped(np.where(hit, np.where(steps, moved, borrowed), chosen))

    def _best(self, points: Genes, costs: Genes) -> int:
        """The cheapest of the valid points; of all, where none is."""
        order = np.argsort(costs, kind="stable").tolist()
        return next((k for k in order if self.space.valid(points[k])), int(order[0]))

    def _points(self, raw: Genes, choices: npt.NDArray[np.intp]) -> Genes:
        """Genes [m, n] of raw numbers and of choices."""
        layout = self.layout
        genes = np.empty((len(raw), len(self.space.names)))
        genes[:, layout.numbers] = np.clip(raw, *layout.ends)
        for k, values, chosen in zip(layout.choices, layout.values, choices.T, strict=True):
            genes[:, k] = values[chosen]
        return self._snapped(genes)

    def _snapped(self, genes: Genes) -> Genes:
        """Numbers with levels moved to the nearest one, in place."""
        for k, grid in enumerate(self.space.grid):
            if grid:
                levels = np.array(grid)
                genes[:, k] = levels[np.abs(genes[:, k, None] - levels).argmin(axis=1)]
        return genes


class Features:
    """Genes as the surrogate sees them: what has no effect is the same, whatever its value.

    A gene that is active in some points only has one more feature, its activity. A number that
    only decides what is active is seen through that alone.
    """

    def __init__(self, space: Space) -> None:
        n, self._choices, self._active = len(space.names), space.choices, space.active
        generator = np.random.Generator(np.random.Philox(key=0))
        active = _rows(space.active(genes) for genes in generator.random((32, n)))
        self._gated = np.flatnonzero(~active.all(axis=0))
        ordered = np.array(space.choices) == 0
        hidden = space.gates & bool(len(self._gated))
        self._numbers, self._categories = (
            np.flatnonzero(ordered & ~hidden),
            np.flatnonzero(~ordered),
        )
        single = len(self._numbers) + len(self._gated)
        widths = [1] * single + [space.choices[k] for k in self._categories]
        self.groups: npt.NDArray[np.intp] = np.repeat(np.arange(len(widths)), widths)

    def __call__(self, genes: Genes) -> Genes:
        """Features [m, f] of genes [m, n], of about unit variance over a uniform sample."""
        known = ~np.isnan(genes)
        genes = np.where(known, genes, 0.5)
        if len(self._gated):
            known &= _rows(self._active(row) for row in genes)
        numbers = np.where(known, genes - 0.5, 0.0)[:, self._numbers] * np.sqrt(12)
        parts = [numbers, known[:, self._gated] * np.sqrt(2)]
        for k in self._categories:
            n = self._choices[k]
            chosen = np.minimum((genes[:, k] * n).astype(int), n - 1)
            parts.append((np.arange(n) == chosen[:, None]) & known[:, k, None])
        return np.hstack(parts)


def _rows(masks: Iterable[Mask]) -> Mask:
    return np.array(list(masks))
