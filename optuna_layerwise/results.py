"""What finalizing a study found, as it is stored with the study; read without torch."""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import optuna

from optuna_layerwise.attributes import VERSION_FIELD, UnreadableAttribute, read
from optuna_layerwise.policy import Metric
from optuna_layerwise.storage import FINAL_KEY, IncompleteValueError, Owner
from optuna_layerwise.storage.study_attrs import compare_and_set, study_attr, write_once

CLAIM_KEY = "olw:finalizing"
"""Study user attribute: the process that finalizes."""
OPENED_KEY = "olw:opened:"
"""Study user attributes, this and a number from 1: each opening of the test split."""
_VERSION = 1


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
    me, stored = Owner.of_this_process(), study_attr(study, CLAIM_KEY)
    other = claimant(study)
    if other is None or other.is_dead:
        compare_and_set(study, CLAIM_KEY, stored, dataclasses.asdict(me))
        other = claimant(study)
    if other != me:
        if other is None:  # given back this very moment
            return claim(study)
        raise FinalizedElsewhere(
            f"study {study.study_name!r} is being finalized by process {other.pid} on "
            f"{other.host}; if that process is gone, `optuna-layerwise doctor --repair` takes its "
            "claim back"
        )


def holds_claim(study: optuna.Study) -> bool:
    """Whether this process is the one that finalizes the study."""
    return claimant(study) == Owner.of_this_process()


def release(study: optuna.Study) -> None:
    """Take this process's claim back, so that another one may finalize."""
    compare_and_set(study, CLAIM_KEY, dataclasses.asdict(Owner.of_this_process()), None)


@dataclasses.dataclass(frozen=True)
class Opening:
    """One opening of the test split, recorded before it happens.

    Args:
        at: UTC.
        host: Of the process that opened it.
        pid: Of that process.
        token: Random; tells the record from every other one.
        chose: Name of the finalist that was tested.
        finalists: Their trials' numbers, best first in the search.
        seeds: Of their trainings.
    """

    at: str
    host: str
    pid: int
    token: str
    chose: str
    finalists: list[int]
    seeds: list[int]

    @classmethod
    def now(cls, chose: str, finalists: Sequence[int], seeds: Sequence[int]) -> Opening:
        """By this process."""
        me, at = Owner.of_this_process(), datetime.now(timezone.utc).isoformat(timespec="seconds")
        token = secrets.token_hex(8)
        return cls(at, me.host, me.pid, token, chose, list(finalists), list(seeds))


def openings(study: optuna.Study) -> list[Opening]:
    """How often the test split was opened, oldest first; an older release recorded none.

    Raises:
        UnreadableAttribute: if a record cannot be read.
    """
    attributes, name, found = study.user_attrs, study.study_name, list[Opening]()
    while (content := attributes.get(key := f"{OPENED_KEY}{len(found) + 1}")) is not None:
        found.append(read(Opening, content, version=_VERSION, key=key, study=name))
    return found


def record_opening(study: optuna.Study, opening: Opening, *, number: int) -> bool:
    """Record an opening as the first, second, ...; false if another process was quicker."""
    content = {VERSION_FIELD: _VERSION, **dataclasses.asdict(opening)}
    return bool(write_once(study, f"{OPENED_KEY}{number}", content)["token"] == opening.token)


def store_final(study: optuna.Study, final: Final) -> Final:
    """Store a result unless there is one; returns the one that is stored."""
    write_once(study, FINAL_KEY, final.as_json())
    stored = stored_final(study)
    assert stored is not None
    return stored


def _number(value: float | None) -> float:
    return math.nan if value is None else value
