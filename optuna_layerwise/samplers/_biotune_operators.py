"""BioTune's operators, on n genes with span 1; each is pure and takes its generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from optuna_layerwise.samplers._algorithm import Genes, Mask, Member, Rng, Space, uniform_gene
from optuna_layerwise.storage.standing import INFEASIBLE, Standing


@dataclasses.dataclass(frozen=True)
class Individual:
    """A point [n] of the population with its newest evaluation."""

    genes: Genes
    momentum: Genes
    member: Member
    extinction: float = 0.0

    @property
    def number(self) -> int:
        """The trial that evaluated it: who it is."""
        return self.member.number


def rank(individual: Individual) -> Standing:
    """Sorts individuals from best to worst."""
    return individual.member.order


def of(member: Member, kind: str) -> int | None:
    """The individual that a member of this kind is about."""
    facts = member.facts or {}
    return facts.get("of") if facts.get("kind") == kind else None


def individuals(
    members: Sequence[Member], population: Sequence[Individual]
) -> tuple[Individual, ...]:
    """Those members that are known at all."""
    return tuple(individual(m, population) for m in members if not np.isnan(m.genes).all())


def individual(member: Member, population: Sequence[Individual]) -> Individual:
    """A member as an individual; genes that its trial did not have are the population's mean."""
    absent = np.isnan(member.genes)
    mean = np.mean([i.genes for i in population], axis=0) if population else 0.5
    momentum = (member.facts or {}).get("momentum")
    known = isinstance(momentum, list) and len(momentum) == len(member.genes)
    return Individual(
        np.where(absent, mean, member.genes),
        np.array(momentum, dtype=float) if known else np.zeros(len(member.genes)),
        member,
    )


def exhausted(pool: tuple[Individual, ...], members: Sequence[Member]) -> tuple[Individual, ...]:
    """The pool without the parents that one of their children beats."""
    beaten = {
        parent.number
        for child in members
        for parent in pool
        if parent.number in (child.facts or {}).get("parents", ()) and child.beats(parent.member)
    }
    return tuple(parent for parent in pool if parent.number not in beaten)


def immigrant(space: Space, rng: Rng) -> Genes:
    """A valid point, uniform in the cube; after 100 invalid ones, the last."""
    for attempt in range(100):
        suffix = f"/{attempt}" if attempt else ""
        genes = np.array([uniform_gene(rng, name + suffix) for name in space.names])
        if space.valid(genes):
            break
    return genes


def probeable(space: Space, genes: Genes) -> Mask:
    """The genes of trained blocks; never a threshold or a mask bit unless there is no other."""
    active = space.active(genes)
    for mask in (active & ~space.gates, active):
        if mask.any():
            return mask
    return np.ones(len(genes), dtype=bool)


def rank_weights(m: int, *, compat: bool = False) -> npt.NDArray[np.float64]:
    """Chance of rank j of m, best first: linear, P(j) ~ m - j; `compat`: BioTune's code."""
    weights = np.arange(m, 0, -1, dtype=float)
    if compat and m > 2:
        weights = np.array([m + 2, *range(m, 2, -1), 1], dtype=float)
    return np.asarray(weights / weights.sum())


def crossover(a: Genes, b: Genes, categorical: Mask, rng: np.random.Generator) -> Genes:
    """A blend with its own weight for each gene; of a category, either parent's."""
    t = rng.random(len(a))
    return np.where(categorical, np.where(t < 0.5, a, b), t * a + (1 - t) * b)


def mutation_probability(amplitude: float, n: int) -> float:
    """Per gene: 1/n for the best parents, up to 1 where both are the worst."""
    return (amplitude * (n - 1) + 1) / n


def mutate(
    genes: Genes, amplitude: float, choices: Sequence[int], rng: np.random.Generator
) -> Genes:
    """Add amplitude * U(-1, 1) to the genes that are hit; redraw a category that often."""
    n = len(genes)
    hit = rng.random(n) < mutation_probability(amplitude, n)
    step, redraw, category = rng.uniform(-1, 1, n), rng.random(n) < amplitude, rng.random(n)
    moved = np.clip(genes + hit * amplitude * step, 0, 1)
    k = np.array(choices)
    redrawn = (np.floor(category * k) + 0.5) / np.maximum(k, 1)
    return np.where(k > 0, np.where(hit & redraw, redrawn, genes), moved)


def adapt(
    genes: Genes, a: Genes, b: Genes, c: Genes, categorical: Mask, rng: np.random.Generator
) -> Genes:
    """Draw a child to the mean of its parents and to a prototype: three scalars for all genes.

    A category has no mean: it becomes the prototype's with the chance of the second pull.
    """
    u, r1, r2 = rng.random(3)
    pulled = np.clip(genes + u * r1 * ((a + b) / 2 - genes) + (1 - u) * r2 * (c - genes), 0, 1)
    taken = rng.random(len(genes)) < (1 - u) * r2
    return np.where(categorical, np.where(taken, c, genes), pulled)


_WIDEST = np.finfo(float).max / 4


def extinction_factors(
    members: Sequence[Member], mode: Literal["range", "rank", "unit"]
) -> npt.NDArray[np.float64] | None:
    """From 0 (best) to 1 (worst), for members from best to worst; `None` leaves the old ones.

    ``unit`` is the paper's formula, (f_i + f_min (i / (m - 1) - 1)) / f_max, for costs in
    [0, 1]; a cost below 0 is a maximised value, whose cost is 1 - value. It depends on the
    origin of f, so ``range`` shifts f_min to 0. Failed, pruned and infeasible members have factor
    1. Ranks stand for costs that are too far apart for floating point, and for those of
    infeasible members where nobody is better.
    """
    ranks = np.arange(len(members)) / max(len(members) - 1, 1)
    if mode == "rank":
        return ranks
    finished = np.array([m.finished for m in members])
    if not finished.any():
        return ranks if any(m.order.outcome == INFEASIBLE for m in members) else None
    f = np.array([m.cost if m.finished else -np.inf for m in members])
    f = np.where(finished, f, f.max())
    low, high = f.min(), f.max()
    if high / 2 - low / 2 > _WIDEST:
        return np.where(finished, ranks, 1.0)
    if mode == "unit" and low < 0:
        f, low, high = f + 1, low + 1, high + 1
    if high == low or (mode == "unit" and high <= 0):
        return None
    with np.errstate(over="ignore"):  # what is too large is clipped
        factors = (f + low * (ranks - 1)) / high if mode == "unit" else (f - low) / (high - low)
    return np.where(finished, np.clip(factors, 0, 1), 1.0)
