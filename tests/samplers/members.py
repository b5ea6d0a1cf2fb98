"""Cohorts by hand, for tests of the pure algorithm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from optuna_layerwise.samplers._algorithm import Algorithm, Draw, Genes, Member, Space
from optuna_layerwise.samplers._rng import TrialRng
from optuna_layerwise.storage.standing import FAILED, FINISHED, INFEASIBLE, PRUNED, Standing


def cube(
    n: int,
    *,
    choices: Sequence[int] | None = None,
    levels: Sequence[int] | None = None,
    gates: Sequence[int] = (),
    active: Callable[[Genes], Any] | None = None,
    valid: Callable[[Genes], bool] = lambda genes: True,
) -> Space:
    """A space of n genes; all are active unless said otherwise; levels are the choices."""
    steps = np.array(levels or choices or [0] * n)

    def executed(genes: Genes) -> Genes:
        centre = (np.minimum(np.floor(genes * steps), steps - 1) + 0.5) / np.maximum(steps, 1)
        return np.where(steps > 0, centre, genes)

    return Space(
        names=tuple(f"g{k}" for k in range(n)),
        choices=tuple(choices or [0] * n),
        levels=tuple(steps.tolist()),
        grid=tuple(
            tuple(((np.arange(n) + 0.5) / n).tolist()) if n and not k else ()
            for n, k in zip(steps.tolist(), choices or [0] * n, strict=True)
        ),
        executed=executed,
        encode=lambda params: np.array([params.get(f"g{k}", np.nan) for k in range(n)]),
        active=active or (lambda genes: np.ones(n, dtype=bool)),
        valid=valid,
        gates=np.isin(np.arange(n), gates),
    )


def member(
    number: int,
    genes: Genes,
    cost: float | None,
    *,
    facts: dict[str, Any] | None = None,
    tie: float = 0.0,
    pruned: bool = False,
    violation: float = 0.0,
) -> Member:
    """The outcome of a trial; without a cost it failed."""
    order = Standing(FAILED, 0.0, 0.0, 0.0, number)
    if cost is not None:
        outcome = INFEASIBLE if violation else PRUNED if pruned else FINISHED
        order = Standing(outcome, violation, cost, tie, number)
    return Member(number, np.asarray(genes, dtype=float), facts, order)


class Serial:
    """A search whose trials are told before the next one is asked."""

    def __init__(self, algorithm: Algorithm, space: Space, *, seed: int = 0) -> None:
        self.algorithm, self.space, self.seed = algorithm, space, seed
        self.states: list[Any] = [algorithm.start(space)]
        self.draws: list[Draw] = []
        self.cohorts: list[list[Member]] = []

    @property
    def state(self) -> Any:
        return self.states[-1]

    def ask(self) -> list[Draw]:
        """The next cohort's draws."""
        cohort = len(self.cohorts)
        return [
            self.algorithm.ask(self.state, cohort, i, TrialRng(self.seed, cohort, i))
            for i in range(self.algorithm.cohort_size(cohort))
        ]

    def tell(self, draws: Sequence[Draw], costs: Sequence[float | None]) -> None:
        """Their outcomes, in order."""
        members = [
            member(
                len(self.draws) + i,
                self.space.executed(draw.genes),
                cost,
                facts=draw.facts,
            )
            for i, (draw, cost) in enumerate(zip(draws, costs, strict=True))
        ]
        self.states.append(self.algorithm.tell(self.state, len(self.cohorts), members))
        self.cohorts.append(members)
        self.draws += draws

    def run(self, objective: Callable[[Genes], float | None], *, generations: int) -> None:
        """From the current cohort to the end of a generation."""
        while not self.cohorts or self.algorithm.generation(len(self.cohorts)) < generations:
            draws = self.ask()
            self.tell(draws, [objective(draw.genes) for draw in draws])
