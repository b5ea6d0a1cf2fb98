"""One trial under its lease: run, told, given back or left to somebody else."""

from __future__ import annotations

import contextlib
import enum
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from optuna_layerwise.storage import (
    Lease,
    LeaseLostError,
    StorageUnusableError,
    is_of_storage,
    lease_of,
    requeue,
    stored_trial,
    tell,
)
from optuna_layerwise.studies.control import order_of
from optuna_layerwise.studies.leasing import Keeper
from optuna_layerwise.studies.pausing import StopSignals, TrialPaused

MAX_RETRIES = 2
"""Times that a trial is given back after a transient error."""
ORDER_SECONDS = 3
"""How often orders to stop at once are looked for."""


class Outcome(enum.Enum):
    """How a trial came to its end, as far as this process is concerned."""

    ENDED = enum.auto()
    """Complete, pruned or failed, by this process."""
    GONE = enum.auto()
    """Ended by somebody else, in somebody else's hands, or given back to be tried again."""
    PAUSED = enum.auto()
    """Given back because the process or the study is to stop."""


def run_trial(
    trial: optuna.Trial,
    objective: Callable[[optuna.Trial], float | Sequence[float]],
    lease: Lease,
    stop: StopSignals,
    retries: Counter[int],
) -> Outcome:
    """Run a trial and store what came out, unless it is somebody else's by then.

    Args:
        trial: Asked for with the lease.
        objective: Of the trial.
        lease: Renewed meanwhile.
        stop: Is told when the trial is to end.
        retries: How often each number was given back; counted here.

    Raises:
        StorageUnusableError: if the storage was away for too long.
        Exception: what the objective raised, after the trial was recorded as failed.
    """
    ticks = 0

    def end_trial() -> None:
        stop.ends_trial = True

    def heed_orders() -> None:
        nonlocal ticks
        ticks += 1
        with contextlib.suppress(ValueError):  # of no order that is known; `work` will say so
            if ticks % ORDER_SECONDS == 0 and order_of(trial.study).at_once:
                end_trial()

    stop.ends_trial = False
    known = getattr(objective, "newest_checkpoint", lambda trial: None)
    with Keeper(trial, lease, on_lost=end_trial, on_tick=heed_orders, checkpoint=known) as keeper:
        try:
            state, values = _evaluate(objective, trial)
            tell(trial.study, trial, lease, state, values)
        except (LeaseLostError, UpdateFinishedTrialError) as error:
            warnings.warn(
                f"the result of trial {trial.number} is not stored: {error}", stacklevel=3
            )
            return Outcome.GONE
        except TrialPaused:
            return Outcome.GONE if keeper.lost or _is_elsewhere(trial, lease) else Outcome.PAUSED
        except StorageUnusableError:
            raise
        except Exception as error:
            of_storage = is_of_storage(error)
            if of_storage or isinstance(error, OSError):
                retries[trial.number] += 1
                again = retries[trial.number] <= MAX_RETRIES
                if (again or of_storage) and _give_back(trial, lease) and again:
                    cause = error.__cause__ if of_storage and error.__cause__ else error
                    warnings.warn(
                        f"trial {trial.number} is tried again after {cause!r}", stacklevel=3
                    )
                    return Outcome.GONE
            if not of_storage:  # it says nothing about the trial
                _fail(trial, lease)
            raise
        except BaseException:  # a second Ctrl-C
            _give_back(trial, lease)
            raise
    return Outcome.ENDED


def _evaluate(
    objective: Callable[[optuna.Trial], float | Sequence[float]], trial: optuna.Trial
) -> tuple[TrialState, list[float] | None]:
    """State and values, as `study.optimize` would have them."""
    try:
        result = objective(trial)
    except optuna.TrialPruned:
        return TrialState.PRUNED, None
    several = isinstance(result, Sequence) and not isinstance(result, str)
    given: Sequence[Any] = result if several else [result]  # type: ignore[assignment]
    try:
        values = [float(value) for value in given]
    except (TypeError, ValueError):
        return TrialState.FAIL, None
    if any(map(math.isnan, values)) or len(values) != len(trial.study.directions):
        return TrialState.FAIL, None
    return TrialState.COMPLETE, values


def _give_back(trial: optuna.Trial, lease: Lease) -> bool:
    """Whether the trial was still this worker's, and waits now; one of somebody else stays."""
    try:
        stored = stored_trial(trial)
        held = lease_of(stored)
        return held is not None and held.token == lease.token and requeue(trial.study, stored)
    except Exception as error:
        if is_of_storage(error) or isinstance(error, StorageUnusableError):
            return False  # then its lease runs out
        raise


def _is_elsewhere(trial: optuna.Trial, lease: Lease) -> bool:
    """Whether another worker has the trial, or somebody has ended it."""
    stored = stored_trial(trial)
    held = lease_of(stored)
    return stored.state.is_finished() or (held is not None and held.token != lease.token)


def _fail(trial: optuna.Trial, lease: Lease) -> None:
    with contextlib.suppress(LeaseLostError, UpdateFinishedTrialError):  # somebody else's by now
        tell(trial.study, trial, lease, TrialState.FAIL, None)
