"""A LayerBench as an Optuna objective: encodings over it, learning curves, durations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection

from optuna_layerwise.encodings import All, Bits, Encoding, Gene, Global, Layout
from optuna_layerwise.layerbench.bench import LayerBench, Training
from optuna_layerwise.storage import TIE_KEY

GRID = "grid"
"""The encoding of the table's own grid: a mask, and one of its rates. No surrogate is asked."""
FULL = "full"
"""Full fine-tuning with a searched rate, as an encoding: what a search of layers has to beat."""


@dataclasses.dataclass(frozen=True)
class GridRate:
    """One of the grid's learning rates for all trained blocks."""

    choices: tuple[float, ...]
    absolute: ClassVar[bool] = True

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """``lr``, a category."""
        n = len(self.choices)
        return {"lr": Gene(CategoricalDistribution(self.choices), (1 / n,) * n)}

    def names(self, block: str) -> frozenset[str]:
        """``lr``."""
        return frozenset({"lr"})

    def multiplier(self, params: Mapping[str, Any], block: str, layout: Layout) -> float:
        """The rate."""
        return float(params["lr"]) / layout.lr

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """The rate that is nearest to the highest multiplier."""
        wanted = max([value * layout.lr for value in multipliers.values()], default=layout.lr)
        return {"lr": min(self.choices, key=lambda rate: abs(rate - wanted))}


def encoding_for(bench: LayerBench, name: str) -> Encoding:
    """An encoding of `ENCODINGS`, `GRID` or `FULL` for a bench; its head always trains."""
    if name == FULL:
        return Encoding(bench.blocks, All(), Global(), lr=bench.lr)
    if name != GRID:
        return Encoding.preset(name, bench.blocks, lr=bench.lr)
    on_grid = bench.table.rates[bench.table.kinds == "grid"]
    choices = tuple(sorted({float(rate) for rate in on_grid.max(axis=1)}))
    return Encoding(bench.blocks, Bits(), GridRate(choices), lr=bench.lr)


class LayerBenchObjective:
    """What a study optimizes: parameters of an encoding in, the validation metric out.

    Shaped as `optunahub.benchmarks.BaseProblem`: `search_space`, `directions`, `evaluate`. As an
    objective it reports every epoch, so that pruners work, and stores what decides ties.

    Args:
        bench: The table.
        encoding: A name of `ENCODINGS`, or ``grid``.
        seed: Of the trainings: another one gives another realisation of their noise.
        metric: What is maximised (``loss``: minimised).

    Examples:
        >>> bench = LayerBench("busi")
        >>> objective = LayerBenchObjective(bench, "binary", seed=1)
        >>> study = optuna.create_study(directions=objective.directions)
        >>> study.optimize(objective, n_trials=5)
        >>> 0.5 < study.best_value < 0.9
        True
    """

    def __init__(
        self,
        bench: LayerBench,
        encoding: Encoding | str,
        *,
        seed: int = 0,
        metric: str = "accuracy",
    ) -> None:
        self.bench = bench
        self.on_grid = encoding == GRID
        self.encoding = encoding_for(bench, encoding) if isinstance(encoding, str) else encoding
        self.seed = seed
        self.metric = metric

    @property
    def search_space(self) -> dict[str, BaseDistribution]:
        """Parameter name to distribution."""
        return dict(self.encoding.search_space)

    @property
    def directions(self) -> list[StudyDirection]:
        """One."""
        down = self.metric == "loss"
        return [StudyDirection.MINIMIZE if down else StudyDirection.MAXIMIZE]

    def training(self, params: Mapping[str, Any], *, epochs: int | None = None) -> Training:
        """The whole of what `evaluate` gives a number of."""
        policy = self.encoding.decode(params)
        if self.on_grid:
            seeds = self.bench.grid_seeds
            seed = seeds[self.seed % len(seeds)]
            return self.bench.evaluate(
                policy, seed=seed, epochs=epochs, metric=self.metric, source="table"
            )
        return self.bench.evaluate(
            policy, seed=self.seed, epochs=epochs, metric=self.metric, source="surrogate"
        )

    def evaluate(self, params: Mapping[str, Any]) -> float:
        """The metric at the best epoch."""
        return self.training(params).value()

    def observe(self, params: Mapping[str, Any], number: int) -> tuple[float, float]:
        """The metric, larger is better, and what decides ties: the validation loss."""
        training = self.training(params)
        value = training.value()
        return -value if self.metric == "loss" else value, training.value("loss")

    def duration(self, params: Mapping[str, Any]) -> float:
        """Seconds of a training, for simulated workers."""
        return self.training(params).seconds

    def __call__(self, trial: optuna.Trial) -> float:
        """As `evaluate`, for `Study.optimize`.

        Raises:
            optuna.TrialPruned: when the study's pruner says so.
        """
        self.encoding.suggest(trial)
        training = self.training(trial.params)
        for epoch, value in enumerate(training.val[self.metric]):
            trial.report(float(value), epoch)
            if trial.should_prune():
                raise optuna.TrialPruned(f"at epoch {epoch}")
        trial.set_user_attr(TIE_KEY, training.value("loss"))
        return training.value()
