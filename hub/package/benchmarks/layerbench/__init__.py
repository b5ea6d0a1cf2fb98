"""LayerBench as a problem of OptunaHub, from the package optuna-layerwise."""

from __future__ import annotations

from typing import Any

import optuna
from optunahub.benchmarks import BaseProblem

from optuna_layerwise import LayerBench, LayerBenchObjective

__all__ = ["Problem"]


class Problem(BaseProblem):
    """A search for the layers to train, on a table of real fine-tunings.

    Args:
        name: ``busi``, ``citrus`` or ``rsmas``.
        encoding: What a trial's parameters mean, such as ``binary`` or ``profile``.
        seed: Seed of the noise; another one gives other trainings.
    """

    def __init__(self, name: str = "busi", encoding: str = "binary", seed: int = 0) -> None:
        self._objective = LayerBenchObjective(LayerBench(name), encoding, seed=seed)

    @property
    def search_space(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """Parameter name to distribution."""
        return self._objective.search_space

    @property
    def directions(self) -> list[optuna.study.StudyDirection]:
        """Validation accuracy is maximised."""
        return self._objective.directions

    def evaluate(self, params: dict[str, Any]) -> float:
        """Validation accuracy at the best epoch of the training that the parameters stand for."""
        return self._objective.evaluate(params)
