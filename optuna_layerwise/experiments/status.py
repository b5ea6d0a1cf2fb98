"""How far a study is and who works on it, as plain data for a table or a script."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.records.answer import Answer, answer_of, readable_openings
from optuna_layerwise.records.final import claim_of, stored_final, times_opened
from optuna_layerwise.storage import (
    LEASE_KEY,
    all_study_attrs,
    all_trials,
    lease_of,
    notices_in,
    only_infeasible,
    owner_of,
)
from optuna_layerwise.studies import order_of


@dataclasses.dataclass(frozen=True)
class RunningTrial:
    """A trial and its worker; a field that is not known is ``None``.

    Args:
        trial: Number.
        host: The machine of the worker.
        pid: The process of the worker.
        dead: Whether the worker is known to be gone: its trial is about to be given back.
        epoch: The epoch that was reported last, counted from 0.
        epochs: The most epochs that the trial may train.
        seconds: Since the trial was begun or taken up again, by this machine's clock.
        lease_age: Seconds since its worker last gave a sign of life, by the two clocks.
    """

    trial: int
    host: str | None
    pid: int | None
    dead: bool
    epoch: int | None
    epochs: int | None
    seconds: float | None
    lease_age: float | None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Args:
        study: Name.
        state: ``running``, ``paused``, ``stopped`` (by an order, or because nobody works),
            ``searched`` (the target is reached, the last test is not made), ``finalizing`` or
            ``finalized``.
        order: The order that holds; see `Order`.
        target: Finished trials asked for; ``None`` if `tune` did not create the study, or a
            budget alone decides.
        finished: Complete, pruned or failed trials.
        trials: Number in each state.
        best: Value and number of the best feasible trial; of a finalized study those of the trial
            that was chosen and tested.
        notices: Number of warnings about the data that are stored with the study.
        infeasible: What to say instead while all trials are infeasible; else empty.
        chosen: Whether something was chosen and tested, that trial or a baseline.
        found: Its name, such as ``trial 3``; empty if nothing was.
        later: Finished trials that the choice did not know; ``None`` where nothing was chosen, or
            that is not recorded.
        opened: How often the test split was opened.
        running: Trials that run.
        median_seconds: Median duration of the finished trials.
        remaining_seconds: Until the target, if the living workers go on at that pace.
    """

    study: str
    state: str
    order: str
    target: int | None
    finished: int
    trials: dict[str, int]
    best: tuple[float, int] | None
    notices: int
    infeasible: str
    chosen: bool
    found: str
    later: int | None
    opened: int
    running: Sequence[RunningTrial]
    median_seconds: float | None
    remaining_seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return dataclasses.asdict(self)


def take_snapshot(study: optuna.Study) -> Snapshot:
    """Read a study's trials once, and say how far it is."""
    trials, order, settings = all_trials(study), order_of(study), stored_settings(study)
    states = dict.fromkeys((state.name.lower() for state in TrialState), 0)
    for trial in trials:
        states[trial.state.name.lower()] += 1
    ended = [trial for trial in trials if trial.state.is_finished()]
    running = [_running(t, settings) for t in trials if t.state == TrialState.RUNNING]
    living = sum(not trial.dead for trial in running)
    target = settings.target if settings else None
    seconds = [s for trial in ended if (s := _seconds(trial)) is not None]
    median = statistics.median(seconds) if seconds else None
    remaining = None
    if median is not None and target is not None and (living or len(ended) >= target):
        remaining = max(target - len(ended), 0) * median / max(living, 1)
    answer = answer_of(study, trials)
    return Snapshot(
        study=study.study_name,
        state=_state(study, living, searched=target is not None and len(ended) >= target),
        order=order.value,
        target=target,
        finished=len(ended),
        trials=states,
        best=None if answer is None else _best(answer),
        notices=len(notices_in(all_study_attrs(study))),
        infeasible="" if answer is not None else only_infeasible(study),
        chosen=answer is not None and answer.final is not None,
        found=answer.final.chosen.name if answer is not None and answer.final else "",
        later=answer.later if answer is not None and answer.final is not None else None,
        opened=times_opened(
            answer.final.number if answer is not None and answer.final is not None else 0,
            readable_openings(study),
        ),
        running=running,
        median_seconds=median,
        remaining_seconds=remaining,
    )


def _best(answer: Answer) -> tuple[float, int] | None:
    trial = answer.trial
    return (trial.values[0], trial.number) if trial is not None and trial.values else None


def stored_settings(study: optuna.Study) -> Settings | None:
    """The settings, or none of a study that is not ours or not of this version."""
    try:
        return Settings.from_study(study)
    except ValueError:
        return None


def _state(study: optuna.Study, living: int, *, searched: bool) -> str:
    order = order_of(study)
    if order.halts:
        return "stopped" if order.ends else "paused"
    if stored_final(study) is not None:
        return "finalized"
    if living:
        return "running"
    claim = claim_of(study)
    if claim is not None and not claim.is_dead:
        return "finalizing"
    return "searched" if searched else "stopped"


def _running(trial: FrozenTrial, settings: Settings | None) -> RunningTrial:
    owner = owner_of(trial)
    return RunningTrial(
        trial=trial.number,
        host=owner.host if owner else None,
        pid=owner.pid if owner else None,
        dead=owner is not None and owner.is_dead,
        epoch=max(trial.intermediate_values, default=None),
        epochs=settings.recipe.epochs if settings else None,
        seconds=_seconds(trial),
        lease_age=_lease_age(trial),
    )


def _lease_age(trial: FrozenTrial) -> float | None:
    lease = lease_of(trial)
    if lease is None:
        return None
    try:
        expires = datetime.fromisoformat(trial.system_attrs[LEASE_KEY]["expires"])
        return (datetime.now(timezone.utc) - expires).total_seconds() + lease.seconds
    except (KeyError, TypeError, ValueError):  # it is for people: nothing depends on it
        return None


def _seconds(trial: FrozenTrial) -> float | None:
    """Seconds from a trial's start to its end, or to now while it runs."""
    if trial.datetime_start is None:
        return None
    end = trial.datetime_complete or type(trial.datetime_start).now()
    return max((end - trial.datetime_start).total_seconds(), 0.0)
