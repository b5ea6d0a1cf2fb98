"""The command ``status``: how far studies are, once, for scripts, or live."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated

import optuna
import typer
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from optuna_layerwise.cli.options import DEFAULT_STORAGE, Storage, console, load_study, say_refused
from optuna_layerwise.cli.terminal import study_options
from optuna_layerwise.experiments.status import RunningTrial, Snapshot, take_snapshot
from optuna_layerwise.io.plain import within
from optuna_layerwise.io.texts import brief_value, visible
from optuna_layerwise.records.answer import later_words
from optuna_layerwise.storage import (
    UNREADABLE,
    SQLiteFile,
    all_trials,
    open_pictured,
    open_to_read,
    picture_of,
    refused_of,
    study_names,
    without_secrets,
    without_waiting,
)

_BAR_WIDTH = 40
_LOOK_SECONDS = 2.0


def status_command(
    storage: Storage = DEFAULT_STORAGE,
    study: Annotated[
        str | None, typer.Option(help="Name of the study to show. Default: all studies.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each study.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Show the studies live until they end, or until Ctrl-C."),
    ] = False,
    every: Annotated[
        float, typer.Option(help="Seconds between two looks at the studies, with --watch.")
    ] = 2.0,
) -> None:
    """How far the studies of a database are."""
    if as_json and watch:
        raise ValueError("--json is one look, and --watch is for people; choose one of them")
    within("--every", every, 0.1, 86_400)
    opened = open_to_read(storage)
    names = [study] if study else study_names(opened)
    if study is not None:
        load_study(storage, study, read_only=True)  # or say which there are
    look = partial(snapshots_of, opened, names)
    if watch:
        watch_studies(look, every)
        return
    snapshots, refused = look()
    if as_json:
        for snapshot in snapshots:
            print(json.dumps(snapshot.as_json()))
        say_refused(refused)
        return
    if not names:
        where = without_secrets(storage)
        console.print(f"there is no study in {where}; `tune` makes one", soft_wrap=True)
        return
    console.print(overview(snapshots))
    for snapshot in snapshots:
        if snapshot.infeasible:
            console.print(Text(f"{snapshot.study}: {snapshot.infeasible}"), soft_wrap=True)
        if study and snapshot.running:
            console.print(workers(snapshot.running))
    if warned := [snapshot for snapshot in snapshots if snapshot.notices]:
        console.print(Text(_warned_of(warned, storage)), soft_wrap=True)
    say_refused(refused)


Look = Callable[[], tuple[Sequence[Snapshot], Mapping[str, str]]]


def snapshots_of(
    storage: BaseStorage | SQLiteFile, names: Sequence[str]
) -> tuple[list[Snapshot], dict[str, str]]:
    """A snapshot of each study, or why there is none, in as many statements for any number."""
    shown, snapshots = picture_of(storage, names), []
    refused = dict(refused_of(shown))
    for name in names:
        if name in refused:
            continue
        try:
            snapshots.append(take_snapshot(open_pictured(shown, name)))
        except UNREADABLE as error:
            refused[name] = str(error) or type(error).__name__
    return snapshots, refused


def watch_studies(look: Look, every: float) -> None:
    """Show studies live until each is finalized, or stopped by an order and idle."""
    from rich.live import Live

    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                snapshots, refused = look()
                lost = [Text(f"{name}: {reason}") for name, reason in refused.items()]
                live.update(Group(*map(view, snapshots), *lost), refresh=True)
                if all(map(is_over, snapshots)):
                    return
                time.sleep(every)
    except KeyboardInterrupt:
        return


@contextlib.contextmanager
def study_progress(study: optuna.Study) -> Iterator[Callable[[], None]]:
    """Yields a function that shows how far a study is: live, or a line for each new result."""
    from rich.live import Live

    seen = {trial.number for trial in all_trials(study) if trial.state.is_finished()}
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    due = 0.0

    def look() -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + _LOOK_SECONDS
        with (  # it may be away for a moment; what is due meanwhile does not wait for it
            without_waiting(),
            contextlib.suppress(StorageInternalError, ConnectionError),
        ):
            if live is not None:
                live.update(view(take_snapshot(study)), refresh=True)
                return
            from optuna_layerwise.cli.progress import trial_line

            ended = [trial for trial in all_trials(study) if trial.state.is_finished()]
            for trial in ended:
                if trial.number not in seen:
                    seen.add(trial.number)
                    console.print(trial_line(study, trial), highlight=False)

    with live or contextlib.nullcontext():
        yield look
        due = 0.0
        look()


def is_over(snapshot: Snapshot) -> bool:
    """Whether nothing more is to be seen."""
    return not snapshot.running and (snapshot.state == "finalized" or snapshot.order != "run")


def overview(snapshots: Sequence[Snapshot]) -> Table:
    """One row a study."""
    study = Column("study", overflow="fold")  # names of one table's cells differ at their ends
    others = ("finished", "running", "waiting", "failed", "best", "trial", "state")
    table = Table(study, *others, box=None, pad_edge=False)
    for now in snapshots:
        table.add_row(
            now.study,
            f"{now.finished} of {now.target}" if now.target else str(now.finished),
            *(str(now.trials[state]) for state in ("running", "waiting", "fail")),
            *((brief_value(now.best[0]), str(now.best[1])) if now.best else ("-", "-")),
            ", ".join([now.state, *about_result(now)]),
        )
    return table


def about_result(now: Snapshot) -> list[str]:
    """What is to be known of a study's result, in few words."""
    won = [f"chosen: {visible(now.found)}"] if now.found and not now.best else []
    later = [later_words(now.later)] if now.later else []
    return [*won, *later, *([f"test split opened {now.opened} times"] if now.opened > 1 else [])]


def _warned_of(warned: Sequence[Snapshot], storage: str) -> str:
    listed = ", ".join(f"{now.study} has {now.notices}" for now in warned[:3])
    more = f", and {len(warned) - 3} other studies have some" if len(warned) > 3 else ""
    shown = study_options(storage, warned[0].study)
    return f"warnings about the data: {listed}{more}; read them: optuna-layerwise report {shown}"


def view(now: Snapshot) -> RenderableType:
    """A bar, a line, and the workers."""
    from rich.progress_bar import ProgressBar

    bar = ProgressBar(total=now.target or now.finished, completed=now.finished, width=_BAR_WIDTH)
    word = "chosen" if now.chosen else "best"
    best = (
        f"{word} {brief_value(now.best[0])} (trial {now.best[1]})"
        if now.best
        else ""
        if now.found
        else "no best yet"
    )
    best = ", ".join(filter(None, [now.infeasible or best, *about_result(now)]))
    of = f" of {now.target}" if now.target else ""
    line = f"{now.study}: {now.finished}{of} trials, {now.state}; {best}{_remaining(now)}"
    return Group(Text(line), bar, *([workers(now.running)] if now.running else []))


def workers(running: Sequence[RunningTrial]) -> Table:
    """One row a running trial."""
    table = Table(
        "host", "process", "trial", "epoch", "for", "sign of life", box=None, pad_edge=False
    )
    for trial in running:
        epoch = "-" if trial.epoch is None else str(trial.epoch + 1)
        table.add_row(
            trial.host or "?",
            f"{trial.pid or '?'}{' (gone)' if trial.dead else ''}",
            str(trial.trial),
            f"{epoch} of {trial.epochs}" if trial.epochs else epoch,
            "-" if trial.seconds is None else f"{trial.seconds:.0f} s",
            "-" if trial.lease_age is None else f"{trial.lease_age:.0f} s ago",
        )
    return table


def _remaining(now: Snapshot) -> str:
    if now.remaining_seconds is None or now.state != "running":
        return ""
    return f"; about {timedelta(seconds=round(now.remaining_seconds))} left"
