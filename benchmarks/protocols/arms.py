"""One method of a comparison, with the budget that it searches or tunes with."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from optuna_layerwise.experiments.settings import Settings

_STORED = (
    *("encoding", "baseline", "head", "granularity", "sampler", "sampler_options", "seed_recipes"),
    *("prune", "trials", "work", "seeds", "n_folds", "tie_break", "reuse", "finalists"),
    "final_seeds",
)
_NAMES = {"sampler_options": "options", "seed_recipes": "known_first", "prune": "halving"}
"""Fields that the studies and results of cells have under another name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm(Settings):
    """Settings of a search, or of a published method whose hyper-parameters are tuned.

    Data and network are those of the experiment. An arm ends after ``trials``, or before that as
    soon as it has done the operations of ``work`` full trainings (of every block, on the same
    images, for all epochs); the trial that reaches them is finished.

    Args:
        title: As tables call it.
        work: Most work, in full trainings; ``None`` is no bound.

    Raises:
        ValueError: unless it has either an encoding or a baseline.
    """

    title: str
    work: float | None = None
    encoding: str = ""
    sampler: str = "tpe"
    pruner: str = "halving"
    trials: int = 100
    finalists: int = 1
    race: bool = False

    def __post_init__(self) -> None:
        if (not self.encoding) == (self.baseline is None):
            raise ValueError(
                f"{self.title!r} must have an encoding or a baseline, got {self.encoding!r} and "
                f"{self.baseline!r}"
            )
        super().__post_init__()

    def stored(self) -> dict[str, Any]:
        """What may not change in a cell's study, as JSON gives it back."""
        fields = dataclasses.asdict(self)
        content = {_NAMES.get(name, name): fields[name] for name in _STORED}
        content |= {"encoding": self.encoding or None, "recipe": self.recipe.as_dict()}
        if not self.retrain:
            content["final_seeds"] = 0
        return dict(json.loads(json.dumps(content)))
