"""One method of a comparison, with the budget that it searches or tunes with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from optuna_layerwise.encodings import Head
from optuna_layerwise.recipe import Granularity, Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """A search over policies, or a published method whose hyper-parameters are tuned.

    It ends after ``trials``, or before that as soon as it has done the operations of ``work``
    full trainings (of every block, on the same images, for all epochs); the trial that reaches
    them is finished.

    Args:
        title: As tables call it.
        encoding: Of a search, a name of `ENCODINGS`.
        baseline: Of a published method, a name of `BASELINES`; the other is ``None``.
        head: Of the encoding.
        granularity: Of the network's blocks.
        recipe: How everything is trained.
        sampler: ``tpe``, ``random``, or a name of `SAMPLERS`.
        options: Of the sampler.
        known_first: Known recipes, or a published method's own defaults, are the first trials.
        halving: Prune by successive halving with a reduction factor of 4.
        trials: Most trials.
        work: Most work, in full trainings; ``None`` is no bound.
        seeds: Of the trainings of a trial.
        n_folds: Of the training and validation splits; see `FinetuneObjective`.
        tie_break: See `FinetuneObjective`.
        reuse: See `FinetuneObjective`.
        finalists: That are retrained.
        final_seeds: Trainings of each; 0 tests the search's own training, as REVO-Tune does.

    Raises:
        ValueError: unless it has either an encoding or a baseline.
    """

    title: str
    encoding: str | None = None
    baseline: str | None = None
    head: Head = "always"
    granularity: Granularity = "stage"
    recipe: Recipe = Recipe()
    sampler: str = "tpe"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    known_first: bool = False
    halving: bool = False
    trials: int = 100
    work: float | None = None
    seeds: tuple[int, ...] = (0,)
    n_folds: int = 1
    tie_break: bool = True
    reuse: bool = True
    finalists: int = 1
    final_seeds: int = 3

    def __post_init__(self) -> None:
        if (self.encoding is None) == (self.baseline is None):
            raise ValueError(
                f"{self.title!r} must have an encoding or a baseline, got {self.encoding!r} and "
                f"{self.baseline!r}"
            )
