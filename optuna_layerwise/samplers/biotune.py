"""BioTune: evolutionary selective fine-tuning, for any search space.

Davila, Colan and Hasegawa 2025, https://arxiv.org/abs/2508.15367.

A memetic evolution after Bio IK (Starke et al.): elites are improved by probing one gene in
both directions, the rest of the population is replaced by children of rank-selected parents
with crossover, mutation and adaptation. Written from the papers' equations. One run of G
generations evaluates 10 + 13 G configurations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from optuna.distributions import BaseDistribution

from optuna_layerwise.samplers._algorithm import (
    Draw,
    Encoding,
    Facts,
    Member,
    Rng,
    Space,
    check_flag,
    check_share,
    check_whole,
    name_with_options,
    preset_with,
)
from optuna_layerwise.samplers._biotune_operators import (
    Individual,
    adapt,
    crossover,
    exhausted,
    extinction_factors,
    immigrant,
    individual,
    individuals,
    mutate,
    of,
    probeable,
    rank,
    rank_weights,
)
from optuna_layerwise.samplers._cohort import CohortSampler

Stage = Literal["start", "elite", "probe", "child"]


@dataclasses.dataclass(frozen=True)
class State:
    """What is known before a cohort.

    Args:
        space: The genes.
        cohort: The next cohort.
        population: From best to worst, as of the end of the last generation; accepted probes
            take the place of their elite without a new sort, as in BioTune's code.
        pool: Those that may still become parents in this generation; `None` between two.
        offspring: The new individuals of this generation.
    """

    space: Space
    cohort: int = 0
    population: tuple[Individual, ...] = ()
    pool: tuple[Individual, ...] | None = None
    offspring: tuple[Individual, ...] = ()


@dataclasses.dataclass(frozen=True)
class BioTune:
    """The pure algorithm; `BioTuneSampler` describes the options."""

    population: int = 10
    elites: int = 3
    perturbation: float = 0.25
    reproduction: Literal["sequential", "batched"] = "sequential"
    extinction: Literal["range", "rank", "unit"] = "range"
    momentum: bool = False
    reevaluate_elites: bool = False
    compat_ranks: bool = False
    compat_ties: bool = False

    def __post_init__(self) -> None:
        check_whole("population", self.population, least=4)
        check_whole("elites", self.elites, least=0)
        for flag in ("momentum", "reevaluate_elites", "compat_ranks", "compat_ties"):
            check_flag(flag, getattr(self, flag))
        if self.elites >= self.population:
            raise ValueError(
                f"elites must be from 0 to population - 1 = {self.population - 1}, "
                f"got {self.elites}"
            )
        check_share("perturbation", self.perturbation)
        for field, choices in (
            ("reproduction", ("sequential", "batched")),
            ("extinction", ("range", "rank", "unit")),
        ):
            if (value := getattr(self, field)) not in choices:
                raise ValueError(f"{field} must be one of {choices}, got {value!r}")

    @property
    def name(self) -> str:
        """With the options: trials drawn under others are of cohorts that lie elsewhere."""
        return name_with_options("biotune/1", dataclasses.astuple(self))

    def start(self, space: Space) -> State:
        """No population yet."""
        return State(space)

    def cohort_size(self, cohort: int) -> int:
        """The population; then per generation 2 probes an elite, and the children."""
        return {
            "start": self.population,
            "elite": self.elites,
            "probe": 2 * self.elites,
            "child": self._children if self.reproduction == "batched" else 1,
        }[self._stage(cohort)[0]]

    def generation(self, cohort: int) -> int:
        """Generation of a cohort; the start and the first generation are both 0."""
        return self._stage(cohort)[1]

    @property
    def _children(self) -> int:
        return self.population - self.elites

    def _stage(self, cohort: int) -> tuple[Stage, int]:
        stages: list[Stage] = ["probe"] if self.elites else []
        stages += ["child"] * (1 if self.reproduction == "batched" else self._children)
        if 0 < cohort <= len(stages):
            return stages[cohort - 1], 0
        if cohort == 0:
            return "start", 0
        first = len(stages)  # generation 0 has the fold of the start, so its elites are fresh
        if self.reevaluate_elites and self.elites:
            stages = ["elite", *stages]
        generation, step = divmod(cohort - 1 - first, len(stages))
        return stages[step], generation + 1

    def ask(self, state: State, cohort: int, index: int, rng: Rng) -> Draw:
        """What the stage calls for; while that cannot be known, a child or an immigrant."""
        stage, _ = self._stage(cohort)
        if stage in ("elite", "probe") and state.cohort == cohort:
            place = index if stage == "elite" else index // 2
            if place < len(state.population):
                elite = state.population[place]
                if stage == "elite":
                    return Draw(elite.genes, {"kind": "elite", "of": elite.number})
                return self._probe(state.space, elite, place, 1 - 2 * (index % 2), rng)
        parents = state.population if state.pool is None else state.pool
        if stage == "start" or len(parents) <= 2:
            return Draw(immigrant(state.space, rng), {"kind": "immigrant"})
        return self._child(state.space, parents, rng)

    def _probe(self, space: Space, elite: Individual, place: int, sign: int, rng: Rng) -> Draw:
        """One gene, moved by the same step both ways, or to two other categories.

        Of two categories there is only one other: the second probe then moves another gene.
        """
        generator = rng("probe", place)  # both signs share the genes' order and the step
        order = generator.permutation(np.flatnonzero(probeable(space, elite.genes)))
        gene = int(order[-1] if sign < 0 and space.choices[order[0]] == 2 else order[0])
        step = self.perturbation * generator.uniform(-1, 1)
        genes = elite.genes.copy()
        if n := space.choices[gene]:
            others = 1 + generator.permutation(n - 1)
            category = int(genes[gene] * n) + int(others[0 if sign > 0 else -1])
            genes[gene] = (category % n + 0.5) / n
        else:
            genes[gene] = np.clip(genes[gene] + sign * step, 0, 1)
        facts: Facts = {"kind": "probe", "of": elite.number, "gene": space.names[gene]}
        if self.momentum:
            kept = generator.random(len(genes)) * elite.momentum
            facts["momentum"] = (kept + genes - elite.genes).tolist()
        return Draw(genes, {**facts, "sign": sign})

    def _child(self, space: Space, parents: Sequence[Individual], rng: Rng) -> Draw:
        generator = rng("child")
        weights = rank_weights(len(parents), compat=self.compat_ranks)
        i, j = generator.choice(len(parents), size=2, replace=False, p=weights)
        a, b, c = parents[i], parents[j], parents[generator.choice(len(parents), p=weights)]
        categorical = np.array(space.choices) > 0
        genes = crossover(a.genes, b.genes, categorical, generator)
        momentum = np.zeros_like(genes)
        if self.momentum:
            r = generator.random((2, len(genes)))
            momentum = r[0] * a.momentum + r[1] * b.momentum
            genes = np.where(categorical, genes, genes + momentum)
        crossed = genes
        genes = mutate(genes, (a.extinction + b.extinction) / 2, space.choices, generator)
        genes = adapt(genes, a.genes, b.genes, c.genes, categorical, generator)
        facts: Facts = {"kind": "child", "parents": [a.number, b.number], "prototype": c.number}
        if self.momentum:
            momentum = generator.random(len(genes)) * momentum + (genes - crossed)
            facts["momentum"] = momentum.tolist()
        return Draw(genes, facts)

    def tell(self, state: State, cohort: int, members: Sequence[Member]) -> State:
        """The state after a cohort; members other than the stage asked for are offspring."""
        stage, generation = self._stage(cohort)
        population, others = state.population, list(members)
        if stage == "elite":
            population, others = self._look_again(population, others)
        elif stage == "probe":
            population, others = self._exploit(population, others)
        offspring = state.offspring + individuals(others, population)
        pool = state.pool
        if stage == "start":
            population, offspring = tuple(sorted(offspring, key=rank)), ()
        elif stage == "probe":
            pool = population
        elif stage == "child":
            pool = exhausted(population if pool is None else pool, members)
            if self.generation(cohort + 1) > generation:
                population = self._survivors(population, offspring)
                pool, offspring = None, ()
        return State(state.space, cohort + 1, population, pool, offspring)

    def _look_again(
        self, population: tuple[Individual, ...], members: list[Member]
    ) -> tuple[tuple[Individual, ...], list[Member]]:
        """Give elites the outcome of their new evaluation, good or bad, and sort."""
        again = {of(m, "elite"): m for m in members if of(m, "elite") is not None}
        looked_at = [
            dataclasses.replace(i, member=again.pop(i.number, i.member)) for i in population
        ]
        others = [m for m in members if of(m, "elite") is None]
        return tuple(sorted(looked_at, key=rank)), others

    def _exploit(
        self, population: tuple[Individual, ...], members: list[Member]
    ) -> tuple[tuple[Individual, ...], list[Member]]:
        """Move each elite to the better of its probes if that beats it."""
        exploited = list(population)
        others = list(members)
        for place, elite in enumerate(population[: self.elites]):
            probes = [m for m in members if of(m, "probe") == elite.number]
            others = [m for m in others if m not in probes]
            best = min(probes, key=lambda m: m.order, default=elite.member)
            tied = len({m.merit for m in probes}) < len(probes)
            if best.beats(elite.member) and not (self.compat_ties and tied):
                exploited[place] = dataclasses.replace(
                    individual(best, population), extinction=elite.extinction
                )
        return tuple(exploited), others

    def _survivors(
        self, population: tuple[Individual, ...], offspring: tuple[Individual, ...]
    ) -> tuple[Individual, ...]:
        """Elites and offspring, filled up with the old ones where trials are missing."""
        new = [*population[: self.elites], *offspring]
        spare = max(self.population - len(new), 0)
        new += population[self.elites : self.elites + spare]
        survivors = sorted(new, key=rank)[: self.population]
        factors = extinction_factors([i.member for i in survivors], self.extinction)
        if factors is None:
            return tuple(survivors)
        return tuple(
            dataclasses.replace(survivor, extinction=float(factor))
            for survivor, factor in zip(survivors, factors, strict=True)
        )


PRESETS = {
    "default": BioTune(),
    "paper": BioTune(extinction="unit", compat_ranks=True, compat_ties=True),
}


class BioTuneSampler(CohortSampler):
    """BioTune's evolution as an Optuna sampler, for layer genes or any other parameters.

    Draws depend only on the seed and the finished trials of the study, so an interrupted study
    continues as if it had not been. Works with any number of processes; a population of at
    least half their number keeps parallel search from favouring quick trials.

    Args:
        seed: Of the study; the seed of its first trial wins.
        encoding: What the parameters mean, such as `optuna_layerwise.encodings.Encoding`.
        search_space: Parameter name to distribution; default the encoding's, and all other
            parameters seen in earlier trials.
        preset: ``paper`` takes every literal choice of BioTune: the extinction formula (for
            an objective in [0, 1]), the rank weights of its code, and no move where both
            probes of an elite tie.
        population: Individuals; 10.
        elites: Individuals that are probed and survive; 3.
        perturbation: Largest step of a probe, as a share of a gene's span; 0.25.
        reproduction: ``sequential`` (the paper) draws each child after the result of the one
            before; ``batched`` draws a generation's children together, for parallel workers.
        extinction: How mutation grows with a parent's cost: ``range``, ``rank`` or ``unit``.
        momentum: Add the inherited momentum in crossover, as in Bio IK and BioTune's figure;
            its code stores momentum and never adds it.
        reevaluate_elites: Evaluate elites again at each generation from the second on, for
            folds that rotate.
        seed_with: Parameters of the first trials, such as ``encoding.recipes()``.

    Raises:
        ValueError: for an option out of range, or a study with several objectives.

    Examples:
        >>> import optuna
        >>> study = optuna.create_study(sampler=BioTuneSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=30)
        >>> study.best_value < 0.1
        True
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        encoding: Encoding | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        preset: Literal["default", "paper"] = "default",
        population: int | None = None,
        elites: int | None = None,
        perturbation: float | None = None,
        reproduction: Literal["sequential", "batched"] | None = None,
        extinction: Literal["range", "rank", "unit"] | None = None,
        momentum: bool | None = None,
        reevaluate_elites: bool | None = None,
        seed_with: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        options: dict[str, Any] = {
            "population": population,
            "elites": elites,
            "perturbation": perturbation,
            "reproduction": reproduction,
            "extinction": extinction,
            "momentum": momentum,
            "reevaluate_elites": reevaluate_elites,
        }
        super().__init__(
            preset_with(PRESETS, preset, options),
            seed=seed,
            encoding=encoding,
            search_space=search_space,
            seed_with=seed_with,
        )
