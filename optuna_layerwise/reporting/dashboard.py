"""A study's page in optuna-dashboard, kept up to date while the study runs."""

from __future__ import annotations

import hashlib
import threading
import time
import warnings
from collections.abc import Callable
from types import TracebackType

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from optuna_layerwise.analysis.history import Axis, History, read
from optuna_layerwise.reporting.notes import study_note, trial_note
from optuna_layerwise.storage.dashboard_attributes import (
    ROW_BYTES,
    claim_page,
    live_state,
    note,
    row_bytes,
    save_figure,
    save_live_state,
    save_note,
)
from optuna_layerwise.visualization import figures

HEIGHT = 450
"""Pixels that the dashboard gives a figure."""
SHARE = 0.02
"""Of the time, at most, is spent on writing."""
_CELLS = (4_000, 2_000, 1_000, 400)
_MAX_BLOCKS = 40
_MAX_POINTS = 400


class LiveDashboard:
    """A callback for `study.optimize` and `work` that keeps three figures and two notes.

    The figures (layer plans, block importance, best value so far against the cost) are on the
    study's *History* page, the notes beside the study and the trial whose plan is its answer;
    notes that somebody has edited are left alone. Written in a thread after the first trial, then
    after every ``every`` trials but at most 2 % of the time, and at the end of a ``with`` block.
    Of several workers one writes. All of it has less than 200 kB. An error becomes one warning,
    never a failed trial.

    Args:
        every: Trials from one writing to the next.
        resume: How to go on, for the note: a command or a line of Python.

    Raises:
        ValueError: if ``every`` is below 1.

    Examples:
        >>> study = optuna.create_study()
        >>> with LiveDashboard(every=5) as live:
        ...     study.optimize(
        ...         lambda trial: trial.suggest_float("x", 0, 1), n_trials=3, callbacks=[live]
        ...     )
    """

    def __init__(self, *, every: int = 10, resume: str = "") -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self._every = every
        self._resume = resume
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._study: optuna.Study | None = None
        self._due_at = 0.0
        self._waiting = 0
        self._written = -1
        self._error: Exception | None = None
        self._warned = False

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """After a trial."""
        self._tell_error()
        with self._lock:
            self._study = study
            self._waiting += 1
            busy = self._thread is not None and self._thread.is_alive()
            first = self._written < 0
            due = self._waiting >= self._every and time.monotonic() >= self._due_at
            if busy or not (first or due):
                return
            self._thread = threading.Thread(target=self._write, args=(study,), name="dashboard")
            self._thread.start()

    def __enter__(self) -> LiveDashboard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what the last trials changed."""
        if self._thread is not None:
            self._thread.join()
        if self._study is not None and self._waiting:
            self.refresh(self._study)
        self._tell_error()

    def refresh(self, study: optuna.Study) -> None:
        """Write now, such as after a study was finalized."""
        self._write(study, last=True)
        self._tell_error()

    def _write(self, study: optuna.Study, *, last: bool = False) -> None:
        started = time.monotonic()
        self._waiting = 0
        self._written = max(0, self._written)
        try:
            write_page(study, resume=self._resume, every=0 if last else self._every)
        except Exception as failure:  # whatever it is, the search is worth more than its page
            self._error = self._error or failure
        self._due_at = time.monotonic() + (time.monotonic() - started) / SHARE

    def _tell_error(self) -> None:
        if self._error is not None and not self._warned:
            self._warned = True
            warnings.warn(
                f"the study's page in optuna-dashboard is not kept up to date: {self._error!r}",
                stacklevel=3,
            )


def write_page(study: optuna.Study, *, resume: str = "", every: int = 1) -> bool:
    """Write figures and notes now; returns whether there was anything new to write.

    Args:
        study: The study.
        resume: How to go on.
        every: Do nothing if another process has written since so many trials; 0 always writes.
    """
    history = read(study)
    finished = sum(row.finished for row in history.rows)
    state = live_state(study)
    before = state.get("finished")
    if isinstance(before, int) and before <= finished < before + every:
        return False
    if not claim_page(study, before, finished) and every:  # of several workers one writes
        return False
    noted = dict(state)
    for figure_id, text in page_figures(history).items():
        save_figure(study, figure_id, text)
    sampler = type(study.sampler).__name__
    resume = resume or f"open_study(storage, study_name={history.name!r}, sampler={sampler}(...))"
    _save_note(study, state, "note", study_note(history, sampler=sampler, resume=resume))
    best = history.answer_row
    if best is not None:
        former = state.get("trial")
        if isinstance(former, int) and former != best.number and former < len(history.rows):
            _save_note(study, state, "trial_note", "", history.rows[former].trial)
            state["trial_note"] = None
        state["trial"] = best.number
        _save_note(study, state, "trial_note", trial_note(history, best), best.trial)
    save_live_state(study, {k: v for k, v in state.items() if v != noted.get(k)})
    return True


def page_figures(history: History) -> dict[str, str]:
    """The three figures by their fixed ids, as JSON that fits into one row each."""
    over: Axis = "seconds" if any(row.seconds for row in history.rows) else "trials"
    makers: dict[str, Callable[[int], go.Figure]] = {
        "layer-plan": lambda cells: figures.layer_plan(history, max_cells=cells),
        "block-importance": lambda cells: figures.block_importance(
            history, max_cells=cells, max_blocks=min(_MAX_BLOCKS, cells // 10)
        ),
        "best-so-far": lambda cells: figures.best_so_far(
            figures.alone([history]), over=over, max_points=min(_MAX_POINTS, cells)
        ),
    }
    return {figure_id: _fitted(make) for figure_id, make in makers.items()}


def _fitted(make: Callable[[int], go.Figure]) -> str:
    text = ""
    for cells in _CELLS:
        figure = make(cells)
        figure.update_layout(height=HEIGHT)
        text = figure.to_json()
        if row_bytes(text) <= ROW_BYTES:
            break
    return text


def _save_note(
    study: optuna.Study,
    state: dict[str, object],
    field: str,
    text: str,
    trial: FrozenTrial | None = None,
) -> None:
    """Replace a note of ours; what somebody has written or changed stays."""
    now = note(study, trial)
    if now and _digest(now) != state.get(field):
        return
    if now == text or save_note(study, now, text, trial):
        state[field] = _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
