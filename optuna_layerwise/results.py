"""What finalizing a study found, as it is stored with the study; read without torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from optuna_layerwise.storage import FINAL_KEY


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A policy retrained on all training data, once per seed until it dropped out of the race.

    Args:
        name: ``trial 17``, or the title of a baseline.
        policy: Block to multiplier.
        trained_share: Trained parameters as a share of all.
        val: Per seed the validation metrics.
        test: Per seed the test metrics; empty for finalists that were not chosen.
        images_seen: In all of its trainings.
        seconds: In all of its trainings.
        flops: In all of its trainings; see `Cost`.
    """

    name: str
    policy: dict[str, float]
    trained_share: float
    val: list[dict[str, float | None]]
    test: list[dict[str, float | None]]
    images_seen: int
    seconds: float
    flops: float = 0.0

    def mean(self, metric: str, *, split: str) -> float:
        """Mean over the seeds of a metric on ``val`` or ``test``; NaN where one diverged."""
        seeds = self.val if split == "val" else self.test
        return float(np.mean([_number(seed[metric]) for seed in seeds])) if seeds else math.nan

    def spread(self, metric: str) -> float:
        """Standard deviation (n - 1) of a test metric over the seeds."""
        values = [_number(seed[metric]) for seed in self.test]
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclasses.dataclass(frozen=True)
class Final:
    """The result of a study.

    Args:
        metric: By which the search and this choice were made.
        chosen: The finalist with the best mean validation metric, with its test metrics.
        finalists: All that were retrained, the chosen one included, best validation first, and
            those that dropped out of the race last.
        baselines: With the same recipe and seeds, with test metrics.
        weights: Where the chosen policy's weights were saved (``path``), and their ``sha256``.
    """

    metric: str
    chosen: Candidate
    finalists: list[Candidate]
    baselines: list[Candidate]
    weights: dict[str, str] | None = None

    @property
    def trainings_saved(self) -> int:
        """Trainings that finalists did not need, because they had dropped out of the race."""
        return sum(len(self.chosen.val) - len(finalist.val) for finalist in self.finalists)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Final:
        """Read what `finalize` stored."""
        return cls(
            content["metric"],
            Candidate(**content["chosen"]),
            [Candidate(**c) for c in content["finalists"]],
            [Candidate(**c) for c in content["baselines"]],
            content["weights"],
        )


def stored_final(study: optuna.Study) -> Final | None:
    """The result of a study that has been finalized."""
    content = study.user_attrs.get(FINAL_KEY)
    return None if content is None else Final.from_json(content)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
