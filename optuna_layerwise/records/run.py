"""What a trial trained and what that cost, as it is stored with the trial."""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import warnings
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from optuna_layerwise.cost import Cost
from optuna_layerwise.recipe import Metric, improves
from optuna_layerwise.records.attributes import VERSION_FIELD, UnreadableAttribute, read
from optuna_layerwise.storage import RUN_KEY as RUN_KEY
from optuna_layerwise.storage import IncompleteValueError, all_trials, trial_attr

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from optuna_layerwise.training import Fit

_VERSION = 1
TRAINED = ("complete", "repeated")
"""Outcomes of a trial whose value is the mean of its trainings."""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def utc_now() -> str:
    """Now, ISO 8601 with its offset: Optuna's own times depend on its version and the zone."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclasses.dataclass
class Run:
    """One trial's trainings, one a seed.

    Args:
        policy: Block to multiplier.
        generation: Of the search; decides the fold.
        fold: Index of the fold of the training and validation splits.
        trained_share: Trained parameters as a share of all.
        outcome: ``complete``, ``repeated`` (nothing was trained), ``pruned``, ``diverged``,
            ``out of memory`` or ``empty``.
        training: What was trained but for the seed; see `training_key`.
        seeds: That are finished.
        repeats: Per finished seed the trial whose training this is; ``None``: this one's own.
        metrics: Per finished seed the validation metrics of the best epoch; ``None`` for NaN.
        best_epochs: Per finished seed the best epoch, from 0.
        cost: Of this trial's own trainings; stored field by field. The peak of memory is on other
            devices than CUDA that of the process so far.
        prefix: Where the frozen prefix ends that was computed once, or why there is none.
        started: UTC.
        finished: UTC; empty until then.
        device: Such as ``cuda:0``.
        device_name: As its driver calls it; of a CPU with torch's number of threads.
        fingerprint: Of what made it; see `Fingerprint`.
        recipe: Fields of the recipe that the trial tuned; see `Recipe.changed`.
    """

    policy: dict[str, float]
    generation: int
    fold: int
    trained_share: float
    outcome: str = "complete"
    training: str = ""
    seeds: list[int] = dataclasses.field(default_factory=list)
    repeats: list[int | None] = dataclasses.field(default_factory=list)
    metrics: list[dict[str, float | None]] = dataclasses.field(default_factory=list)
    best_epochs: list[int | None] = dataclasses.field(default_factory=list)
    cost: Cost = dataclasses.field(default_factory=Cost)
    prefix: str = ""
    started: str = dataclasses.field(default_factory=utc_now)
    finished: str = ""
    device: str = ""
    device_name: str = ""
    fingerprint: str = ""
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)

    def add(self, seed: int, result: Fit) -> None:
        """Add the training of one more seed."""
        self.take_over(seed, None, finite_or_none(result.metrics), result.best_epoch)
        self.prefix = result.prefix
        self.trained_share = result.trained_share
        self.spend(result.cost)

    def take_over(
        self,
        seed: int,
        trial: int | None,
        metrics: dict[str, float | None],
        best_epoch: int | None,
    ) -> None:
        """Add one more seed as another trial has trained it: at no cost."""
        self.seeds.append(seed)
        self.repeats.append(trial)
        self.metrics.append(metrics)
        self.best_epochs.append(best_epoch)

    def spend(self, cost: Cost) -> None:
        """Add what a training cost, also one that was cut short."""
        if cost.peak_memory_bytes is None:
            resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
            cost = dataclasses.replace(cost, peak_memory_bytes=resident)
        self.cost += cost

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Run:
        """From what `dataclasses.asdict` gave."""
        return cls(**{**saved, "cost": Cost(**saved["cost"])})

    def mean(self, metric: str) -> float:
        """Mean over the seeds; NaN if one is missing."""
        values = [seed.get(metric) for seed in self.metrics]
        return float(np.mean([math.nan if v is None else v for v in values or [None]]))

    def newest_is_best(self, metric: Metric) -> bool:
        """Whether the last seed is better than all others that this trial has trained itself."""
        seeds = zip(self.metrics, self.repeats, strict=True)
        *others, newest = [seed[metric] for seed, past in seeds if past is None]
        newest = math.nan if newest is None else newest
        return all(improves(metric, newest, other) for other in others)

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        content = dataclasses.asdict(self)
        cost = content.pop("cost")
        return {VERSION_FIELD: _VERSION, **content, **cost}


def run_of(study: optuna.Study, trial: FrozenTrial) -> Run | None:
    """What a finished trial of this package's objective has stored; ``None`` of another's.

    Raises:
        UnreadableAttribute: if it cannot be read.
    """
    name, number = study.study_name, trial.number
    try:
        content = trial_attr(trial, RUN_KEY)
    except IncompleteValueError as error:
        raise UnreadableAttribute(str(error), key=RUN_KEY, study=name, trial=number) from error
    if content is None:
        return None
    if isinstance(content, dict):
        names = [field.name for field in dataclasses.fields(Cost)]
        content = {**content, "cost": {name: content[name] for name in names if name in content}}
    return read(Run, content, version=_VERSION, key=RUN_KEY, study=name, trial=number)


def run_content(trial: FrozenTrial) -> Mapping[str, Any]:
    """As `run_of`, but whatever is stored, if it is an object of JSON; else nothing."""
    try:
        content = trial_attr(trial, RUN_KEY)
    except IncompleteValueError:
        return {}
    return content if isinstance(content, dict) else {}


def readable_runs(study: optuna.Study, trials: Iterable[FrozenTrial]) -> dict[int, Run]:
    """Trial number to `run_of`; those that cannot be read are left out, with one warning."""
    runs, refused = {}, []
    for trial in trials:
        try:
            run = run_of(study, trial)
        except UnreadableAttribute as error:
            refused.append(error)
        else:
            if run is not None:
                runs[trial.number] = run
    if refused:
        more = f" (and {len(refused) - 1} trials more)" if refused[1:] else ""
        warnings.warn(f"{refused[0]}{more}", stacklevel=2)
    return runs


def check_blocks(study: optuna.Study, blocks: Collection[str]) -> None:
    """Refuse a study all of whose trials speak of other blocks than these.

    Raises:
        ValueError: naming both.
    """
    policies = (run_content(trial).get("policy") for trial in all_trials(study))
    others = [policy for policy in policies if isinstance(policy, dict)]
    if others and not any(policy.keys() == set(blocks) for policy in others):
        raise ValueError(
            f"study {study.study_name!r} was searched over the blocks {[*others[-1]]}, but the "
            f"network is now cut into {[*blocks]} (see `optuna-layerwise blocks`): begin a new "
            "study, go on with the version that began this one, or give the old blocks as "
            "ModelSpec(patterns=...)"
        )


def finite_or_none(metrics: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
