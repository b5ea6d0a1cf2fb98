"""The genetic algorithm of the set encoding: no point twice, parents from all points visited.

After P-Transfer (Shen et al., AAAI 2021), which picks each layer's learning rate from a small
set; its evolution is that of single-path one-shot search (Guo et al., ECCV 2020): the best K of
all visited points are copied with mutations or crossed over, a visited point is never evaluated
again, and random points fill what is left of a batch. Works on any search space.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from optuna.distributions import BaseDistribution

from optuna_layerwise.samplers._algorithm import (
    Draw,
    Encoding,
    Genes,
    Member,
    Rng,
    Space,
    check_share,
    check_whole,
    name_with_options,
    preset_with,
    uniform_gene,
)
from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.storage.standing import FAILED

TRIES = 10
"""Tries for each place of a batch before random points fill it."""
_ATTEMPTS = 100
_WALK = 1000


@dataclasses.dataclass(frozen=True)
class State:
    """What is known before a cohort.

    Args:
        space: The genes.
        visited: The identities of all points that were executed.
        best: The best of them, best first, one of each identity, none that failed.
    """

    space: Space
    visited: frozenset[bytes] = frozenset()
    best: tuple[Member, ...] = ()


@dataclasses.dataclass(frozen=True)
class SetGA:
    """The pure algorithm; `SetGASampler` describes the options."""

    population: int = 20
    mutants: int = 10
    crossovers: int = 10
    immigrants: int = 0
    parents: int = 10
    mutation: float = 0.1

    def __post_init__(self) -> None:
        for field in ("population", "parents"):
            check_whole(field, getattr(self, field), least=2)
        for field in ("mutants", "crossovers", "immigrants"):
            check_whole(field, getattr(self, field), least=0)
        if not self.cohort_size(1):
            raise ValueError("mutants, crossovers and immigrants must not all be 0, got 0")
        check_share("mutation", self.mutation)

    @property
    def name(self) -> str:
        """With the options: trials drawn under others are of cohorts that lie elsewhere."""
        return name_with_options("set-ga/1", dataclasses.astuple(self))

    def start(self, space: Space) -> State:
        """Nothing visited yet."""
        return State(space)

    def cohort_size(self, cohort: int) -> int:
        """The random start, then one batch a generation."""
        return self.mutants + self.crossovers + self.immigrants if cohort else self.population

    def generation(self, cohort: int) -> int:
        """The start and the first batch are both generation 0."""
        return max(cohort - 1, 0)

    def ask(self, state: State, cohort: int, index: int, rng: Rng) -> Draw:
        """Entry ``index`` of the cohort's batch, whose earlier entries are drawn again for it."""
        return next(itertools.islice(self._batch(state, cohort, rng), index, None))

    def _batch(self, state: State, cohort: int, rng: Rng) -> Iterator[Draw]:
        """The draws of a cohort, no two the same; whoever asks from this state gets these."""
        space, taken, place = state.space, set(state.visited), 0
        if cohort and len(state.best) >= 2:
            for kind, quota in (("mutant", self.mutants), ("crossover", self.crossovers)):
                tries = (self._child(kind, state, rng(kind, t)) for t in range(TRIES * quota))
                new = (draw for draw in tries if take(space, draw.genes, taken))
                for draw in itertools.islice(new, quota):
                    yield draw
                    place += 1
        for index in range(place, self.cohort_size(cohort)):
            yield immigrant(space, taken, rng, index)

    def _child(self, kind: str, state: State, rng: np.random.Generator) -> Draw:
        chosen = rng.choice(len(state.best), size=1 if kind == "mutant" else 2, replace=False)
        parents = [state.best[i] for i in chosen]
        genes = (
            mutate(parents[0].genes, self.mutation, rng)
            if kind == "mutant"
            else crossover(parents[0].genes, parents[1].genes, rng)
        )
        return Draw(genes, {"kind": kind, "parents": [parent.number for parent in parents]})

    def tell(self, state: State, cohort: int, members: Sequence[Member]) -> State:
        """The state after a cohort; who proposed a point does not matter."""
        known = [m for m in members if not np.isnan(m.genes).all()]
        best: dict[bytes, Member] = {}
        for member in sorted((*state.best, *known), key=lambda m: m.order):
            if member.order.outcome != FAILED:
                best.setdefault(identity(state.space, member.genes), member)
        visited = state.visited.union(identity(state.space, m.genes) for m in known)
        return State(state.space, visited, tuple(best.values())[: self.parents])


def identity(space: Space, genes: Genes) -> bytes:
    """Equal for points that do the same: genes without effect, or absent, do not count."""
    absent = np.isnan(genes)
    if not absent.any():
        absent, genes = ~space.active(genes), space.executed(genes)
    return np.round(np.where(absent, -1.0, genes), 9).tobytes()


def take(space: Space, genes: Genes, taken: set[bytes]) -> bool:
    """Add a valid point to those taken; false if it already was, or is not valid."""
    point = identity(space, genes)
    if point in taken or not space.valid(genes):
        return False
    taken.add(point)
    return True


def mutate(genes: Genes, probability: float, rng: np.random.Generator) -> Genes:
    """Draw each gene anew, uniformly, with a probability; one that is absent always."""
    hit = (rng.random(len(genes)) < probability) | np.isnan(genes)
    return np.where(hit, rng.random(len(genes)), genes)


def crossover(a: Genes, b: Genes, rng: np.random.Generator) -> Genes:
    """Each gene from either parent; one that a parent lacks from the other, or drawn anew."""
    child = np.where(rng.random(len(a)) < 0.5, a, b)
    for other in (a, b, rng.random(len(a))):
        child = np.where(np.isnan(child), other, child)
    return child


def immigrant(space: Space, taken: set[bytes], rng: Rng, index: int) -> Draw:
    """A random point that is not taken, and takes it; a repeat only where none is left."""
    genes = np.array([uniform_gene(rng, name, index) for name in space.names])
    if not space.names:
        return Draw(genes, {"kind": "immigrant"})
    generator, spare = rng("immigrant", index), genes
    for _ in range(_ATTEMPTS):
        if take(space, genes, taken):
            return Draw(genes, {"kind": "immigrant"})
        spare = genes if space.valid(genes) else spare
        genes = generator.random(len(genes))
    left = unvisited(space, taken, generator)
    if left is None:
        return Draw(spare, {"kind": "repeat"})
    taken.add(identity(space, left))
    return Draw(left, {"kind": "immigrant"})


def unvisited(space: Space, taken: set[bytes], rng: np.random.Generator) -> Genes | None:
    """From a random place on, the first point not taken, rather a valid one; ``None`` if none.

    Counting needs levels: with a continuous gene there is always another point, but random
    draws find it, unless next to nothing is valid.
    """
    if not all(space.levels):
        return None
    size, found = math.prod(space.levels), None
    start = int(rng.integers(min(size, 2**62)))
    for step in range(min(size, len(taken) + _WALK)):
        genes = point((start + step) % size, space.levels)
        if identity(space, genes) not in taken:
            if space.valid(genes):
                return genes
            found = genes if found is None else found
    return found


def point(index: int, levels: Sequence[int]) -> Genes:
    """The ``index``-th of all combinations of levels, at the centres of their cells."""
    genes = []
    for n in levels:
        index, level = divmod(index, n)
        genes.append((level + 0.5) / n)
    return np.array(genes)


PRESETS = {
    "default": SetGA(),
    "paper": SetGA(immigrants=50, mutants=50, crossovers=50),
}


class SetGASampler(CohortSampler):
    """P-Transfer's genetic algorithm as an Optuna sampler, for sets of rates or anything else.

    Random trials come first; then batches of mutants and crossovers of the best K of all points
    visited, by this sampler or by anyone else. A gene with levels is drawn anew among all of
    them, a continuous one uniformly on its scale.

    No point is visited twice: a child that was visited before is drawn again, at most ten times
    a place of the batch, and random unvisited points fill what is left. The members of a batch
    do not see each other, but a batch is a function of the state before it and of the seed
    alone, so each member draws those before it again and avoids them. Genes that an encoding
    calls without effect do not make another point. A repeat is left where

    * a space of levels is exhausted: its draws are then random points, of kind ``repeat``;
    * a parallel worker draws before the results of the batch before it are known, or beside a
      straggler, an enqueued trial or one of an older state, whose points are not known to it;
    * no search space is known, for the first batch: its parameters are drawn one by one;
    * points differ in a threshold alone that leaves the same blocks trained.

    Args:
        seed: Of the study; the seed of its first trial wins.
        encoding: What the parameters mean, such as ``Encoding.preset("set", ...)``.
        search_space: Parameter name to distribution; default the encoding's, and all other
            parameters seen in earlier trials.
        preset: ``default`` is REVO-Tune's version for 100 trials: 20 random, then 10 mutants and
            10 crossovers a batch. ``paper`` is P-Transfer's: 20 random (its population), then
            50 random, 50 mutants and 50 crossovers for each of its 20 iterations: 3020 trials.
            P-Transfer does not state K and the mutation probability: they are those of the
            evolution that it takes over.
        population: Random trials that come first; 20.
        mutants: Of a batch; 10.
        crossovers: Of a batch; 10.
        immigrants: Random points of a batch beside those that fill it; 0.
        parents: K, the number of best points that have children; 10.
        mutation: Probability that a gene of a mutant is drawn anew; 0.1.
        seed_with: Parameters of the first trials, such as ``encoding.recipes()``.

    Raises:
        ValueError: for an option out of range, or a study with several objectives.

    Examples:
        >>> import optuna
        >>> study = optuna.create_study(sampler=SetGASampler(seed=0))
        >>> def objective(trial):
        ...     rates = [trial.suggest_categorical(b, [0.0, 0.1, 1.0]) for b in "abcd"]
        ...     return sum((rate - 0.1) ** 2 for rate in rates)
        >>> study.optimize(objective, n_trials=60)
        >>> study.best_value
        0.0
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        encoding: Encoding | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        preset: Literal["default", "paper"] = "default",
        population: int | None = None,
        mutants: int | None = None,
        crossovers: int | None = None,
        immigrants: int | None = None,
        parents: int | None = None,
        mutation: float | None = None,
        seed_with: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        options: dict[str, Any] = {
            "population": population,
            "mutants": mutants,
            "crossovers": crossovers,
            "immigrants": immigrants,
            "parents": parents,
            "mutation": mutation,
        }
        super().__init__(
            preset_with(PRESETS, preset, options),
            seed=seed,
            encoding=encoding,
            search_space=search_space,
            seed_with=seed_with,
        )
