"""The main job: open the study, search, finalize, print."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from optuna_layerwise.cli import show
from optuna_layerwise.cli.beginning import introduce, say_planned
from optuna_layerwise.cli.options import console, load_study
from optuna_layerwise.cli.progress import after_trials, end_progress, live_dashboard
from optuna_layerwise.cli.stored_paths import paths_of, remember_paths
from optuna_layerwise.cli.terminal import about_secrets, study_options
from optuna_layerwise.experiments.budget import Plan
from optuna_layerwise.experiments.joining import (
    as_stored,
    begin_or_join,
    enqueue_first,
    refuse_differences,
    store_changes,
)
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.files import check_folder
from optuna_layerwise.launch import FAILED, HALTED, INTERRUPTED
from optuna_layerwise.objective.finetune import FinetuneObjective
from optuna_layerwise.records.answer import opened_words, readable_openings
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.records.fingerprint import join
from optuna_layerwise.records.run import check_blocks, readable_runs
from optuna_layerwise.reporting.dashboard_server import keep_result
from optuna_layerwise.storage import (
    LEASE_SECONDS,
    PATIENCE_SECONDS,
    UNREADABLE,
    StorageUnusableError,
    check_parameters_differ,
    marks,
    open_storage,
    study_id,
)
from optuna_layerwise.studies import finished, open_study, order_of, resume, work

if TYPE_CHECKING:
    import optuna

    from optuna_layerwise.data import Splits

OWNER = "study.txt"
"""File in the folder of a study's files: whose ``best.safetensors`` is; see `marks`."""


@dataclasses.dataclass(frozen=True)
class Search:
    """A study that is ready to be worked on in this process."""

    study: optuna.Study
    objective: FinetuneObjective
    data: Splits
    settings: Settings
    storage: str

    @cached_property
    def plan(self) -> Plan | None:
        """How it keeps to its budget, if it has one."""
        return Plan.of(self.settings, self.objective)

    def up_to_date(self) -> Search:
        """The same with the target that is stored by now: `resume` may have changed it."""
        now = Settings.from_study(self.study)
        settings = dataclasses.replace(self.settings, trials=now.trials, budget=now.budget)
        return self if settings == self.settings else dataclasses.replace(self, settings=settings)

    def work(self, **more: Any) -> bool:
        """Work to the target; see `optuna_layerwise.studies.work`."""
        target = self.settings.trials if self.plan is None else self.plan.n_finished
        with after_trials(self.study, self.settings, self.storage) as on_trial:
            return work(self.study, self.objective, n_finished=target, on_trial=on_trial, **more)


def open_search(
    settings: Settings,
    stored: Settings | None,
    storage: str,
    name: str,
    *,
    download: bool = False,
    allow_different: bool = False,
    patience_seconds: float | None = None,
) -> Search:
    """Load data and model, and open the study with its sampler.

    Args:
        settings: What to run.
        stored: What the study was created with, if it exists.
        storage: URL.
        name: The name of the study.
        download: Download data that are not there.
        allow_different: Work on a study that exists with other data, weights, packages or code.
        patience_seconds: How long the database may be away, from now on; by default only later.

    Raises:
        OSError: if the database, or the study's folder, cannot be written.
        ValueError: if the study, its data or its weights are not what they were, or its
            `Fingerprint` is another.
    """
    if stored is not None:
        refuse_differences(name, as_stored(settings, stored, places=False), stored)
    if settings.output:
        check_folder(Path(settings.output), "--output")
    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    with console.status("loading data and model"):
        spec, data = settings.spec(), settings.load(download=download)
        objective = settings.objective(spec, data)
        settings = dataclasses.replace(
            settings, data_fingerprint=data.fingerprint, model_digest=spec.digest
        )
    if stored is not None:
        if allow_different:
            settings = as_stored(settings, stored)
        refuse_differences(name, settings, stored)
    if stored is None and (plan := Plan.of(settings, objective)) is not None:
        plan.check()
    init_from = None
    if settings.init_from is not None and stored is None:
        init_from = load_study(storage, settings.init_from, option="--init-from: ")
    opened = open_storage(
        storage,
        patience_seconds=PATIENCE_SECONDS if patience_seconds is None else patience_seconds,
        wait=patience_seconds is not None,
    )
    check_parameters_differ(opened, objective.encoding.search_space)
    study = open_study(
        opened,
        study_name=name,
        directions=objective.directions,
        pruner=settings.make_pruner(),
        sampler=settings.make_sampler(
            objective.encoding, joins=stored is not None, init_from=init_from
        ),
    )
    if stored is not None:
        check_blocks(study, objective.blocks)
        join(study, objective.fingerprint, allow_different=allow_different)
        enqueue_first(study, settings, objective.encoding)
    return Search(study, objective, data, settings, storage)


def run(
    settings: Settings,
    stored: Settings | None,
    storage: str,
    name: str,
    *,
    unpause: bool = False,
    download: bool = False,
    to_work: bool = True,
    finalize: bool = True,
    allow_different: bool = False,
) -> None:
    """Search a study to its target, choose and test what it hands over, and print it.

    Args:
        settings: What to run.
        stored: What the study was created with, if it exists.
        storage: URL.
        name: The name of the study.
        unpause: Take a pause or a stop back.
        download: Download data that are not there.
        to_work: Or only create the study.
        finalize: Or only search.
        allow_different: See `open_search`.

    Raises:
        ValueError: see `open_search`.
    """
    search = open_search(
        settings,
        stored,
        storage,
        name,
        download=download,
        allow_different=allow_different,
    )
    study, objective = search.study, search.objective
    study_id(study)  # by which the paths are remembered
    remember_paths(study, paths_of(settings))  # not the search's, which may be the database's
    settings = search.settings
    if stored is None:
        begin_or_join(study, objective, settings, allow_different=allow_different)
    else:
        store_changes(study, settings, stored)
    objective.describe_data(study)
    if unpause:
        resume(study)
    introduce(search, whole=True)
    if (final := stored_final(study)) is not None:
        console.print(
            f"study {name!r} was finalized before: {final.chosen.name} was chosen and tested. "
            "Trials that come now do not change that, unless you finalize it again",
            soft_wrap=True,
        )
    if not to_work:
        where = study_options(storage, name)
        console.print(
            "the study is ready; work on it from here or elsewhere with any number of\n"
            f"  optuna-layerwise worker {where}\n"
            "or work on it and test the result with\n"
            f"  optuna-layerwise launch {where}",
            *about_secrets(storage),
            sep="\n",
            soft_wrap=True,
        )
        return
    started = time.perf_counter()
    before, search = None, search.up_to_date()
    while search is not before:
        say_planned(search)
        try:
            done = search.work()
        except StorageUnusableError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(FAILED) from error
        if not done:
            raise typer.Exit(say_why_it_ended(study, storage))
        before, search = search, search.up_to_date()
    if finalize:
        conclude(search)
    console.print(f"{time.perf_counter() - started:.0f} seconds in this run")
    if finalize:
        if (settings.data, settings.model) == ("digits", "digits_cnn"):
            show.show(*show.five_splits())
        show.show(*show.commands(study, storage))
    else:
        show.show(*show.how_to_finalize(study, storage))


def conclude(
    search: Search,
    *,
    again: bool = False,
    lease_seconds: float = LEASE_SECONDS,
    go_on: str = "resume",
) -> None:
    """Choose and test what is handed over, or wait while another process does, and print it.

    Args:
        search: The study.
        again: Also where there is a result: choose anew, and open the test split once more.
        lease_seconds: After how long without a sign of life another process takes over.
        go_on: The command that goes on after an interruption.
    """
    study, settings, storage = search.study, search.settings, search.storage
    if (before := stored_final(study)) is not None and not again:
        times = opened_words(before, readable_openings(study))
        console.print(f"finalized before: the test split was opened {times}, so its result stays")
    objective, end = search.objective, None
    how: dict[str, Any] = {
        "top": settings.finalists,
        "seeds": settings.seeds_of_finalists(objective),
        "race": settings.race,
        "ending": settings.ending,
    }
    if search.plan is not None and (before is None or again):
        end = search.plan.end(study)
        how = search.plan.arguments(end)
    with (
        _interruptible(f"{go_on} {study_options(storage, study.study_name)}"),
        end_progress() as on_training,
    ):
        final = objective.finalize(
            study,
            weights=weights_file(study, Path(settings.output)),
            again=again,
            lease_seconds=lease_seconds,
            on_training=on_training,
            **how,
        )
    try:
        keep_result(study, final, Path(settings.output))
    except (OSError, *UNREADABLE) as error:  # a full disk, or other people's stored artifacts
        console.print(f"the result is not among the study's artifacts: {error}", soft_wrap=True)
    if settings.live:
        live_dashboard(study, storage).refresh(study)
    show.show(*show.result(study, final, settings))
    if final.weights is not None:
        console.print(f"saved in {final.weights['path']}", markup=False, soft_wrap=True)
    for text in objective.data_notices:
        console.print(f"about the data: {text}", markup=False, soft_wrap=True)
    for text in objective.notices:
        console.print(f"about the network: {text}", markup=False, soft_wrap=True)
    costs = [run.cost for run in readable_runs(study, study.get_trials(deepcopy=False)).values()]
    console.print(f"operations of the search: {show.saving(costs)} over training every block")
    if search.plan is not None and end is not None:
        console.print(search.plan.words_after(study, end), soft_wrap=True)
    show.show(*show.after_the_choice(study, final, storage))


def weights_file(study: optuna.Study, output: Path) -> Path:
    """Where to save the chosen weights, which are no other study's.

    The first study that saves in a folder, as `OWNER` there says, has the plain name.
    """
    path, owner, mine = output / "best.safetensors", output / OWNER, "-".join(marks(study))
    output.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with contextlib.suppress(FileExistsError), owner.open("x", encoding="utf-8") as file:
            file.write(f"{mine}\nof study {study.study_name!r}\n")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if owner.read_text(encoding="utf-8").partition("\n")[0] == mine:
            return path
    return output / f"best-{mine}.safetensors"


@contextlib.contextmanager
def _interruptible(command: str) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one line and an exit code, after the claim was given back."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as error:
        console.print(
            "interrupted before there was a result, the trials are stored; go on with "
            f"`optuna-layerwise {command}`",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from error
    finally:
        signal.signal(signal.SIGTERM, previous)


def say_why_it_ended(study: optuna.Study, storage: str) -> int:
    """Tell what stopped the work before its target; returns the exit code."""
    order = order_of(study)
    why = "stopped" if order.ends else "paused" if order.halts else "interrupted"
    console.print(
        f"{why} after {finished(study)} finished trials, nothing is lost; go on with\n"
        f"  optuna-layerwise resume {study_options(storage, study.study_name)}",
        soft_wrap=True,
    )
    return HALTED if order.halts else INTERRUPTED
