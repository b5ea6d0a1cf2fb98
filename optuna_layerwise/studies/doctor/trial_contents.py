"""What trials hold: numbers, values, records, runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import optuna
from optuna.trial import TrialState

from optuna_layerwise.records.attributes import UnreadableAttribute
from optuna_layerwise.records.fingerprint import used_fingerprints
from optuna_layerwise.records.run import Run, run_of
from optuna_layerwise.storage import TIE_KEY, TRIAL_KEY, all_trials, trial_numbers, trial_record
from optuna_layerwise.studies.doctor.finding import Finding


def numbers(study: optuna.Study) -> Iterator[Finding]:
    """Samplers count on every number from 0, each once."""
    counts = Counter(trial_numbers(study))
    holes = sorted(set(range(max(counts, default=-1) + 1)) - set(counts))
    twice = sorted(number for number, n in counts.items() if n > 1)
    remedy = "copy the study with optuna.copy_study and go on with the copy"
    if holes:
        yield Finding("error", f"there is no trial {_listed(holes)}", remedy)
    if twice:
        yield Finding("error", f"there is more than one trial {_listed(twice)}", remedy)


def values(study: optuna.Study) -> Iterator[Finding]:
    """Values and ties that are no finite numbers."""
    remedy = "it is ranked worst; nothing is to be done, unless the objective should not give it"
    for trial in all_trials(study):
        if trial.state == TrialState.COMPLETE:
            for value in trial.values or [math.nan]:
                if not math.isfinite(value):
                    problem = f"the value of trial {trial.number} is {value}"
                    yield Finding("warning", problem, remedy, trial.number)
        tie = trial.user_attrs.get(TIE_KEY, 0.0)
        if not (isinstance(tie, int | float) and math.isfinite(tie)):
            problem = f"attribute {TIE_KEY!r} of trial {trial.number} is no finite number: {tie!r}"
            yield Finding("error", problem, "it counts as none", trial.number)


def records(study: optuna.Study) -> Iterator[Finding]:
    """Records of draws, and of trainings, that cannot be read."""
    for trial in all_trials(study):
        if TRIAL_KEY in trial.system_attrs and not trial_record(trial):
            yield Finding(
                "error",
                f"attribute {TRIAL_KEY!r} of trial {trial.number} cannot be read",
                "its sampler takes the trial as one of another tool, and goes on",
                trial.number,
            )
        try:
            run_of(study, trial)
        except UnreadableAttribute as error:
            yield Finding(
                "error",
                f"attribute {error.key!r} of trial {trial.number} cannot be read: {error.reason}",
                "its training is trained again where an equal trial comes, and it cannot be a "
                "finalist: restore it from a backup",
                trial.number,
            )


def what_made_them(study: optuna.Study) -> Iterator[Finding]:
    """More than one setup or device in one study."""
    runs = [run for trial in all_trials(study) if (run := _readable(study, trial)) is not None]
    used = used_fingerprints(study)
    by = Counter(run.fingerprint for run in runs if run.fingerprint)
    unknown = sorted(set(by) - set(used))
    if unknown:
        problem = f"the study does not hold the fingerprint {', '.join(unknown)} of its trials"
        yield Finding("warning", problem, "what made them is not known any more")
    known = [digest for digest, _ in by.most_common() if digest in used]
    for digest in known[1:]:
        parts = ", ".join(used[digest].differences(used[known[0]]))
        yield Finding("note", f"{by[digest]} trials were made with another setup: {parts}")
    devices = Counter(run.device_name for run in runs if run.device_name)
    if len(devices) > 1:
        listed = ", ".join(f"{n} on {name}" for name, n in devices.most_common())
        yield Finding("note", f"trials ran on several devices: {listed}")


def _readable(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> Run | None:
    try:
        return run_of(study, trial)
    except UnreadableAttribute:
        return None


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return shown + (f" and {len(numbers) - 10} more" if numbers[10:] else "")
