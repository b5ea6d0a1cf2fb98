"""All cells of an experiment, by any number of processes, of which none does what another does.

The cells are the trials of one more study, a queue: a cell is claimed, kept under a lease, given
back and taken over from a dead process as any trial is. Whoever wants the same cells shares it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
import traceback
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from statistics import mean

import optuna
from optuna.trial import TrialState

from benchmarks.protocols import records
from benchmarks.protocols.experiments import Cell, Experiment
from benchmarks.protocols.places import Places, network, source_of
from benchmarks.protocols.searching import run_cell
from optuna_layerwise.storage import all_trials, open_storage, requeue, stored_trial
from optuna_layerwise.studies import open_study, work
from optuna_layerwise.studies.claiming import FinalizedElsewhere
from optuna_layerwise.studies.pausing import StopSignals, TrialPaused

CELL = "cell"
"""Trial user attribute in the queue: the name of a cell."""
_UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)
_POLL_SECONDS = 0.5
_say = partial(print, flush=True)


def missing(experiment: Experiment, cells: Iterable[Cell], places: Places) -> dict[Cell, str]:
    """Those that cannot be run here, with what is missing."""
    known: dict[tuple[str, str], str] = {}
    found = {}
    for cell in cells:
        key = cell.network, cell.data
        if key not in known:
            known[key] = "; ".join(_missing(experiment, cell, places))
        if known[key]:
            found[cell] = known[key]
    return found


def _missing(experiment: Experiment, cell: Cell, places: Places) -> Iterable[str]:
    arm = experiment.arms[cell.arm]
    size = experiment.image_size
    try:
        network(
            cell.network,
            root=places.data_root,
            image_size=size,
            granularity=arm.granularity,
            download=places.download,
        )
    except FileNotFoundError as error:
        yield str(error)
    try:
        source_of(cell.data, places.data_root, download=places.download)
    except FileNotFoundError as error:
        yield str(error)


def run(
    experiment: Experiment, cells: Sequence[Cell], places: Places, *, processes: int = 1
) -> bool:
    """Run or continue the cells that have no file yet; whether all of them have one now.

    Ctrl-C and SIGTERM give the running trials and cells back; the next call goes on with them.

    Args:
        experiment: That they are of.
        cells: In the order in which they are wanted.
        places: Where everything is.
        processes: That run cells at once, on this machine.
    """
    queue = _queue(experiment, cells, places)
    queued = {t.user_attrs.get(CELL) for t in all_trials(queue) if t.state in _UNFINISHED}
    for cell in cells:
        if not cell.file(places.results).exists() and cell.study not in queued:
            queue.enqueue_trial({}, user_attrs={CELL: cell.study})
    if processes == 1:
        _work(experiment, cells, places)
    else:
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=_work, args=(experiment, cells, places))
            for _ in range(processes)
        ]
        with StopSignals() as stop:
            for worker in workers:
                worker.start()
            passed_on = False
            while any(worker.is_alive() for worker in workers):
                for worker in workers:
                    worker.join(_POLL_SECONDS)
                if stop.number == signal.SIGTERM and not passed_on:  # Ctrl-C reaches them itself
                    passed_on = True
                    for worker in workers:
                        worker.terminate()
    return all(cell.file(places.results).exists() for cell in cells)


def _queue(experiment: Experiment, cells: Iterable[Cell], places: Places) -> optuna.Study:
    storage = open_storage(places.storage)
    digest = hashlib.sha256("\n".join(cell.study for cell in cells).encode()).hexdigest()
    name = f"{experiment.name}.cells.{digest[:8]}"
    return open_study(storage, study_name=name, sampler=optuna.samplers.RandomSampler())


def _work(experiment: Experiment, cells: Sequence[Cell], places: Places) -> None:
    """What one process does."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    queue, storage = _queue(experiment, cells, places), open_storage(places.storage)
    wanted = {cell.study: cell for cell in cells}

    def objective(trial: optuna.Trial) -> float:
        cell = wanted[trial.user_attrs[CELL]]
        try:
            done = run_cell(experiment, cell, places, storage)
        except FinalizedElsewhere as error:  # by a call that wants other cells, too
            _say(f"{cell.study}: {error}")
            return float("nan")
        except Exception as error:
            _say(f"{cell.study}: failed: {type(error).__name__}: {error}")
            _say(traceback.format_exc())
            return float("nan")
        if not done:
            requeue(trial.study, stored_trial(trial))
            raise TrialPaused(f"{cell.study} is given back")
        found = records.read_records([cell], places.results)[cell]
        value = mean(test[found["metric"]] or 0.0 for test in found["chosen"]["test"])
        search = found["search"]
        _say(
            f"{cell.study}: {found['metric']} {value:.3f} on test after {search['trials']} "
            f"trials and {search['seconds']:.0f} s"
        )
        return value

    work(queue, objective, n_finished=len(all_trials(queue)))
