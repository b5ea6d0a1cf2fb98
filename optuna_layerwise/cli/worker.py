"""The command ``worker``: pulls trials of a study that exists until its target is reached."""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
import traceback
from typing import Annotated, Any

import optuna
import typer

from optuna_layerwise.cli import show
from optuna_layerwise.cli.here import Here
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    STORAGE_VARIABLE,
    LeaseSeconds,
    Storage,
    StudyName,
    console,
    load_study,
    options_of,
    takes,
    told,
)
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.launch import DONE, FAILED, INTERRUPTED
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.storage import (
    LEASE_SECONDS,
    LONGEST_LEASE,
    PATIENCE_SECONDS,
    StorageUnusableError,
)
from optuna_layerwise.studies import order_of
from optuna_layerwise.studies.pausing import StopSignals

_POLL_SECONDS = 2.0
# Batch systems announce the end of a job with one of these, where there are any.
_USER_SIGNALS = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worker(Here):
    """What the command takes, as plain data that can be sent to another machine and called."""

    study: StudyName
    storage: Storage = DEFAULT_STORAGE
    wait: Annotated[
        bool,
        told("Study", "Wait through a pause instead of ending; a stop ends the wait.", "--wait"),
    ] = False
    finalize: Annotated[
        bool, told("Result", "Test the result, too, once the target is reached.", "--finalize")
    ] = False
    lease_seconds: LeaseSeconds = LEASE_SECONDS
    patience_seconds: Annotated[
        float | None,
        told(
            "Machine",
            "Seconds that the database may be away. Default: 0 at the start, then 300.",
        ),
    ] = None

    def __call__(self) -> int:
        """Work to the study's target; returns the exit code.

        Raises:
            ValueError: if the study cannot be worked on here: nothing was started.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # on Ray and Slurm, too
        checked_seconds(self.lease_seconds, self.patience_seconds)
        patience = PATIENCE_SECONDS if self.patience_seconds is None else self.patience_seconds
        wait = self.patience_seconds is not None
        opened = load_study(self.storage, self.study, patience_seconds=patience, wait=wait)
        stored = Settings.from_study(opened)
        from optuna_layerwise.cli.beginning import introduce, say_planned
        from optuna_layerwise.cli.searching import conclude, open_search, say_why_it_ended
        from optuna_layerwise.studies import StudyDeletedError, finished

        search = open_search(
            self.settings(opened, stored),
            stored,
            self.storage,
            self.study,
            download=self.download,
            allow_different=self.allow_different,
            patience_seconds=self.patience_seconds,
        )
        study = search.study
        introduce(search)
        order_of(study)  # one that cannot be read is a mistake, and no failure of a trial
        with StopSignals(*_USER_SIGNALS) as stop:
            while True:
                search = search.up_to_date()
                say_planned(search)
                try:
                    done = search.work(lease_seconds=self.lease_seconds)
                except StorageUnusableError as error:
                    print(f"error: {error}", file=sys.stderr)
                    return FAILED
                except StudyDeletedError:
                    raise
                except Exception:
                    traceback.print_exc()
                    return FAILED
                if done and search.up_to_date() is search:
                    break
                if done or goes_on(study, stop, wait=self.wait):
                    continue
                code = say_why_it_ended(study, self.storage)
                return INTERRUPTED if stop.received else code
        console.print(f"study {self.study!r} has its {finished(study)} finished trials")
        if not self.finalize:
            if (final := stored_final(study)) is not None:
                show.show(*show.after_the_choice(study, final, self.storage))
            return DONE
        try:
            conclude(search, lease_seconds=self.lease_seconds)
        except typer.Exit as ended:  # interrupted
            return ended.exit_code
        except Exception:
            traceback.print_exc()
            return FAILED
        return DONE

    def placed(self, *, on_gpu: bool, threads: int) -> Worker:
        """A copy; device and threads that the user left open are those of its place."""
        return dataclasses.replace(
            self,
            device=self.device or ("cuda" if on_gpu else None),
            threads=self.threads or threads,
        )

    def command(self) -> list[str]:
        """The worker as a command of this machine, without the storage; see `secrets`."""
        return [sys.executable, "-m", "optuna_layerwise.cli", "worker", *self.arguments()]

    def secrets(self) -> dict[str, str]:
        """The storage, whose URL may have a password, as an environment variable."""
        return {STORAGE_VARIABLE: self.storage}

    def arguments(self) -> list[str]:
        """The options that mean this worker, but for its storage, which may have a password."""
        options: list[str] = []
        for name, value in dataclasses.asdict(self).items():
            if name == "storage":
                continue
            option = f"--{name.replace('_', '-')}"
            if value is True:
                options += [option]
            elif value is not None and value is not False:
                values = value if isinstance(value, list) else [value]
                options += [f"{option}={one}" for one in values]
        return options


@takes(options_of(Worker))
def worker_command(**typed: Any) -> None:
    """Work on a study that `tune` created, beside any number of others, until its target.

    The last test is made by whoever ran `tune`, `resume` or `launch`, or by a worker with
    --finalize. Exit codes: 0 target reached, 3 paused or stopped, 130 interrupted, 1 a trial
    raised an error, 2 cannot work here.
    """
    raise typer.Exit(Worker(**typed)())


def checked_seconds(lease: float, patience: float | None) -> None:
    """Refuse times that cannot be meant.

    Raises:
        ValueError: if one is negative, or the lease is none or longer than an hour.
    """
    if not 0 < lease <= LONGEST_LEASE:
        raise ValueError(f"--lease-seconds must be above 0 and at most 3600, got {lease:g}")
    if patience is not None and not patience >= 0:
        raise ValueError(f"--patience-seconds must be at least 0, got {patience:g}")


def goes_on(study: optuna.Study, stop: StopSignals, *, wait: bool) -> bool:
    """Whether a worker whose work ended early is to go on, now or after a pause."""
    while not stop.received:
        order = order_of(study)
        if not order.halts:
            return True
        if order.ends or not wait:
            return False
        time.sleep(_POLL_SECONDS)
    return False
