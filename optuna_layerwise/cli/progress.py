"""Progress of a search: a bar in a terminal, a line a trial elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from optuna_layerwise.cli.options import console
from optuna_layerwise.cli.terminal import study_options
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.texts import brief_value
from optuna_layerwise.records.run import run_content
from optuna_layerwise.storage import best_trial, only_infeasible, without_secrets

if TYPE_CHECKING:
    from optuna_layerwise.reporting.dashboard import LiveDashboard


def live_dashboard(study: optuna.Study, storage: str) -> LiveDashboard:
    """Keeps the study's page in optuna-dashboard.

    Args:
        study: The study.
        storage: URL; the dashboard, which has no passwords, is not told the one in it.
    """
    from optuna_layerwise.reporting.dashboard import LiveDashboard  # with plotly

    where = without_secrets(storage)  # whoever looks at the page has not typed it
    options = study_options(where, study.study_name)
    return LiveDashboard(resume=f"optuna-layerwise resume {options}")


@contextmanager
def after_trials(
    study: optuna.Study, settings: Settings, storage: str
) -> Iterator[Callable[[optuna.Study, FrozenTrial], None]]:
    """Yields a callback that shows the progress, here and in the study's dashboard.

    Args:
        study: The study.
        settings: Its own.
        storage: URL.
    """
    with ExitStack() as stack:
        progress = stack.enter_context(search_progress(study, settings.target))
        if not settings.live:
            yield progress
            return
        live = stack.enter_context(live_dashboard(study, storage))

        def both(study: optuna.Study, trial: FrozenTrial) -> None:
            progress(study, trial)
            live(study, trial)

        yield both


@contextmanager
def search_progress(
    study: optuna.Study, n_finished: int | None
) -> Iterator[Callable[[optuna.Study, FrozenTrial], None]]:
    """Yields a callback for `study.optimize`."""
    if not console.is_terminal:
        yield lambda study, trial: console.print(trial_line(study, trial), highlight=False)
        return
    from optuna_layerwise.studies import finished

    with _bars("trials, {task.fields[best]}") as progress:
        task = progress.add_task(
            study.study_name, total=n_finished, completed=finished(study), best=_best(study)
        )
        yield lambda study, trial: progress.update(
            task, completed=finished(study), best=_best(study)
        )


@contextmanager
def end_progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """Yields what `finalize` calls before each training: a bar for each kind, in a terminal."""
    if not console.is_terminal:
        yield None
        return
    with _bars("trainings") as progress:
        bars: dict[str, TaskID] = {}

        def on_training(kind: str, before: int, total: int) -> None:
            if kind not in bars:
                for bar in bars.values():  # a race may have ended the contest early
                    done = progress.tasks[bar].completed + 1
                    progress.update(bar, completed=done, total=done)
                bars[kind] = progress.add_task(kind, total=total)
            progress.update(bars[kind], completed=before, total=total)

        yield on_training
        for bar in bars.values():
            progress.update(bar, completed=progress.tasks[bar].total)


def _bars(of_what: str) -> Progress:
    """Bars with a name, a number of what is done, and the time that has passed and remains."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(of_what, markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def trial_line(study: optuna.Study, trial: FrozenTrial) -> str:
    """What came out of a trial, and the best so far."""
    run = run_content(trial)
    value = ", ".join(map(brief_value, trial.values or [None]))
    outcome = run.get("outcome", trial.state.name.lower())
    seconds = run.get("seconds", 0.0)
    return f"trial {trial.number}: {value} ({outcome}, {seconds:.1f} s), {_best(study)}"


def _best(study: optuna.Study) -> str:
    if best := best_trial(study):
        return f"best {brief_value(best.value)} (trial {best.number})"
    if len(study.directions) > 1:
        return f"{len(study.best_trials)} on the front"
    return only_infeasible(study) or "no best yet"
