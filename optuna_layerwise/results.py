"""What finalizing a study found, as it is stored with the study; read without torch."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
import optuna

from optuna_layerwise.attributes import VERSION_FIELD, UnreadableAttribute, read
from optuna_layerwise.policy import Metric
from optuna_layerwise.storage import FINAL_KEY, IncompleteValueError, Owner, study_attr

CLAIM_KEY = "olw:finalizing"
"""Study user attribute: the process that finalizes."""
_VERSION = 1
_CLAIM_SECONDS = 0.2


class FinalizedElsewhere(RuntimeError):
    """Another process finalizes the study at this moment."""


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
        recipe: Fields of the recipe that its trial tuned; see `Recipe.changed`.
    """

    name: str
    policy: dict[str, float]
    trained_share: float
    val: list[dict[str, float | None]]
    test: list[dict[str, float | None]]
    images_seen: int
    seconds: float
    flops: float = 0.0
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)

    def mean(self, metric: str, *, split: str) -> float:
        """Mean over the seeds of a metric on ``val`` or ``test``; NaN where one diverged."""
        seeds = self.val if split == "val" else self.test
        return float(np.mean([_number(seed.get(metric)) for seed in seeds])) if seeds else math.nan

    def spread(self, metric: str) -> float:
        """Standard deviation (n - 1) of a test metric over the seeds."""
        values = [_number(seed.get(metric)) for seed in self.test]
        if len(values) < 2:
            return math.nan
        return 0.0 if min(values) == max(values) else float(np.std(values, ddof=1))


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
        trials: Finished trials that the choice was made among; ``None`` if an older release
            made it, which did not store that.
    """

    metric: Metric
    chosen: Candidate
    finalists: list[Candidate]
    baselines: list[Candidate]
    weights: dict[str, str] | None = None
    trials: int | None = None

    @property
    def trainings_saved(self) -> int:
        """Trainings that finalists did not need, because they had dropped out of the race."""
        return sum(len(self.chosen.val) - len(finalist.val) for finalist in self.finalists)

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        return {VERSION_FIELD: _VERSION, **dataclasses.asdict(self)}


def stored_final(study: optuna.Study) -> Final | None:
    """The result of a study that has been finalized.

    Raises:
        UnreadableAttribute: if it cannot be read.
    """
    try:
        content = study_attr(study, FINAL_KEY)
    except IncompleteValueError as error:
        name = study.study_name
        raise UnreadableAttribute(str(error), key=FINAL_KEY, study=name) from error
    if content is None:
        return None
    return read(Final, content, version=_VERSION, key=FINAL_KEY, study=study.study_name)


def claimant(study: optuna.Study) -> Owner | None:
    """The process that finalizes the study, or has died while it did.

    Raises:
        UnreadableAttribute: if what is stored of it cannot be read.
    """
    content = study.user_attrs.get(CLAIM_KEY)
    if content is None:
        return None
    return read(Owner, content, version=_VERSION, key=CLAIM_KEY, study=study.study_name)


def claim(study: optuna.Study) -> None:
    """Let this process alone finalize the study; the claim of a dead one is taken over.

    Raises:
        FinalizedElsewhere: if another process does.
    """
    me = Owner.of_this_process()
    other = claimant(study)
    if other is None or other == me or other.is_dead:
        study.set_user_attr(CLAIM_KEY, dataclasses.asdict(me))
        time.sleep(_CLAIM_SECONDS)  # of two that claim at once, the later stands
        other = claimant(study)
    if other is not None and other != me:
        raise FinalizedElsewhere(
            f"study {study.study_name!r} is being finalized by process {other.pid} on "
            f"{other.host}; if that is gone, unset the study's attribute {CLAIM_KEY!r}"
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
