"""The command ``doctor``: what is wrong with the studies of a database, and repairs."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import optuna
import typer
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from optuna_layerwise.cli.options import DEFAULT_STORAGE, Storage, TrustPaths, load_study
from optuna_layerwise.cli.stored_paths import check_paths, paths_of
from optuna_layerwise.cli.terminal import shown
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.records.attributes import UnreadableAttribute
from optuna_layerwise.records.deriving import edited_trials
from optuna_layerwise.records.run import readable_runs
from optuna_layerwise.storage import (
    RUN_KEY,
    DamagedJournalError,
    OtherSchemaError,
    all_trials,
    journal_path,
    open_storage,
)
from optuna_layerwise.studies.doctor.finding import Finding

if TYPE_CHECKING:
    from optuna_layerwise.studies.doctor.examining import Check

FINDINGS = 1
"""Exit code: something is wrong."""


def doctor_command(
    storage: Storage = DEFAULT_STORAGE,
    study: Annotated[
        str | None, typer.Option(help="Name of the study to examine. Default: all studies.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired.")] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Draw every suggestion again, too, and compare.")
    ] = False,
    trust_paths: TrustPaths = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Say what is wrong with studies, one line each (exit code 1), and repair what can be."""
    found: list[tuple[str, Finding, bool]] = []
    opened = _opened(storage, found, repair=repair)
    if opened is not None:
        from optuna_layerwise.storage import study_names

        names = [study] if study else study_names(opened)
        if study is not None:
            load_study(storage, study, read_only=True, whole=False)  # or say which there are
        for name in names:
            checks = [partial(trial_files, trust=trust_paths)]
            checks += [partial(draws, trust=trust_paths)] if replay else []
            for finding in _examined(opened, name, checks, repair=repair):
                found.append((name, finding, repair and finding.repaired()))
    wrong = [f for _, f, repaired in found if f.severity != "note" and not repaired]
    if as_json:
        rows = [{"study": name, **f.as_json(), "repaired": done} for name, f, done in found]
        typer.echo(json.dumps({"healthy": not wrong, "findings": rows}))
    else:
        for name, finding, done in found:
            of = f"study {name!r}: " if name else ""
            typer.echo(shown(f"{of}{'repaired: ' + finding.problem if done else finding}"))
        typer.echo(_summary(len(wrong), sum(done for *_, done in found)))
    if wrong:
        raise typer.Exit(FINDINGS)


def _summary(wrong: int, repaired: int) -> str:
    said = f"{wrong} findings" if wrong else "healthy"
    return said + (f", {repaired} repaired" if repaired else "")


def _opened(
    storage: str, found: list[tuple[str, Finding, bool]], *, repair: bool
) -> BaseStorage | None:
    """The storage, after an upgrade if that is wanted and needed; read only without repairs."""
    if (journal := journal_path(storage)) is not None and Path(journal).is_file():
        found += [("", *one) for one in _wrong_lines(journal, repair=repair)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they say what was found
            return open_storage(storage, create=False, read_only=not repair)
    except DamagedJournalError:
        if not found:
            raise
        return None
    except OtherSchemaError as error:
        problem, _, remedy = str(error).rpartition("; ")
        if repair:
            from optuna_layerwise.storage import upgrade_schema  # with Alembic

            copy = upgrade_schema(storage)
            remedy = f"the copy {copy} is as it was" if copy else ""
            problem += f"; {remedy}"
        found.append(("", Finding("error", problem, remedy), repair))
        return open_storage(storage, create=False) if repair else None


def _wrong_lines(path: str, *, repair: bool) -> Iterator[tuple[Finding, bool]]:
    """The wrong lines of a journal, each with whether it was repaired."""
    from optuna_layerwise.studies.doctor import wrong_lines

    for finding in wrong_lines(path):
        done = repair and finding.repair is not None
        if finding.repair is not None and repair:
            said = f"{finding.problem}; it was cut off, and the copy {finding.repair()} has it"
            finding = dataclasses.replace(finding, problem=said)
        yield finding, done


def _examined(
    storage: BaseStorage, name: str, checks: Sequence[Check], *, repair: bool
) -> Iterator[Finding]:
    """The findings of a study, one after the other, so that repairs come before what follows."""
    from optuna_layerwise.records.final import OPENED_KEY
    from optuna_layerwise.storage import (
        FINAL_KEY,
        PART_KEY,
        damaged_attributes,
        picture_of,
        refused_of,
        remove_damaged,
    )
    from optuna_layerwise.studies.doctor import examine

    damaged, results_are_whole = damaged_attributes(storage, name), True
    for one in damaged:
        of = "the study" if one.trial is None else f"trial {one.trial}"
        problem = f"attribute {one.key!r} of {of} cannot be read: {one.reason}"
        of_results = (f"{FINAL_KEY}:", PART_KEY, OPENED_KEY)
        if one.key in (FINAL_KEY, RUN_KEY) or one.key.startswith(of_results):
            results_are_whole = False
            remedy = (
                "it is part of a result: restore it from a backup; until then nobody can read it"
            )
            yield Finding("error", problem, remedy, one.trial)
            continue
        remedy = "--repair removes it; until then nobody can read the study"
        yield Finding("error", problem, remedy, one.trial, partial(remove_damaged, storage, one))
    if not (results_are_whole and (repair or not damaged)):
        return
    if reason := refused_of(picture_of(storage, [name])).get(name):
        remedy = "restore it from a backup, or delete the study or the trial"
        yield Finding("error", reason, remedy)
    else:
        study = optuna.load_study(study_name=name, storage=storage)
        yield from examine(study, stored_settings, stored_policies, *checks)


def stored_settings(study: optuna.Study) -> Iterator[Finding]:
    """Settings that cannot be read."""
    try:
        _settings(study)
    except UnreadableAttribute as error:
        problem = f"attribute {error.key!r} cannot be read: {error.reason}"
        remedy = "restore it from a backup, or run `tune` under another --study"
        yield Finding("error", problem, remedy)


def stored_policies(study: optuna.Study) -> Iterator[Finding]:
    """Policies that are not what the parameters of their trials mean.

    The blocks are those that most trials have: so nothing needs the network, nor torch.
    """
    try:
        settings = _settings(study)
    except UnreadableAttribute:
        return
    runs = readable_runs(study, all_trials(study)) if settings else {}
    blocks = Counter(tuple(run.policy) for run in runs.values()).most_common(1)
    if settings is None or not blocks or len(blocks[0][0]) < 2:
        return
    for number, parts in edited_trials(study, settings.encoding_for(blocks[0][0])).items():
        part, (stored, derived) = next(iter(parts.items()))
        yield Finding(
            "error",
            f"{part} of trial {number} was changed: its parameters mean {derived}, "
            f"but {stored} is stored",
            f"restore attribute {RUN_KEY!r} of the trial from a backup; the trial cannot be a "
            "finalist, and `replay` lists all that differs",
            number,
        )


def trial_files(study: optuna.Study, *, trust: bool) -> Iterator[Finding]:
    """Checkpoints without trial, damaged ones, and trials without."""
    try:
        settings = _settings(study)
    except UnreadableAttribute:
        return
    folder = Path(settings.output) / "trials" if settings and settings.output else None
    if settings is None or folder is None or not folder.is_dir():
        return
    try:
        check_paths(study, paths_of(settings, "output"), trust=trust)
    except ValueError as error:
        yield Finding("note", f"the files of its trials were not looked at: {error}")
        return
    from optuna_layerwise.objective.trial_files import TrialFiles
    from optuna_layerwise.training.checkpoint import fault  # with torch

    files = TrialFiles(folder)
    for path in files.unneeded(study):
        remove = partial(path.unlink, missing_ok=True)
        problem = f"nobody needs the file {path}: its trial has ended, or there is none"
        yield Finding("warning", problem, "--repair removes it", repair=remove)
    checkpoints = files.checkpoints(study)
    for trial in all_trials(study):
        if trial.state.is_finished():
            continue
        saved = checkpoints.get(trial.number)
        if saved is not None and (reason := fault(saved)):
            yield Finding(
                "error",
                f"the checkpoint of trial {trial.number} is damaged ({saved}): {reason}",
                "--repair removes it; the trial starts again",
                trial.number,
                partial(saved.unlink, missing_ok=True),
            )
        elif (
            trial.state == TrialState.WAITING
            and trial.intermediate_values
            and files.newest(study, trial.number) is None
        ):
            yield Finding(
                "note",
                f"trial {trial.number} was given back without a checkpoint in {folder}; it will "
                "start again",
                trial=trial.number,
            )


def draws(study: optuna.Study, *, trust: bool) -> Iterator[Finding]:
    """Suggestions and outcomes that do not re-derive."""
    from optuna_layerwise.experiments.replaying import edited_outcomes, first_cause, stored_sampler
    from optuna_layerwise.samplers import rederive

    try:
        if (settings := _settings(study)) is not None:
            check_paths(study, paths_of(settings, "model"), trust=trust)
        found = rederive(study, stored_sampler(study))
        edited = edited_outcomes(study)
    except UnreadableAttribute:
        return
    except ValueError as error:  # a sampler without records, or a network that is not fetched
        yield Finding("note", f"nothing to draw again: {error}")
        return
    differ = sorted({difference.trial for difference in (*edited, *found.differences)})
    if differ:
        shown = ", ".join(map(str, differ[:10])) + ("..." if differ[10:] else "")
        problem = f"trials {shown} do not re-derive: {first_cause(edited, found)}"
        yield Finding("error", problem, "`replay` lists the differences")


def _settings(study: optuna.Study) -> Settings | None:
    return Settings.from_study(study) if SETTINGS_KEY in study.user_attrs else None
