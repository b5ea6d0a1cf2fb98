"""The command ``replay``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.table import Table

from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    StudyName,
    TrustPaths,
    console,
    load_study,
    told,
)
from optuna_layerwise.cli.stored_paths import check_paths, paths_of
from optuna_layerwise.encodings import ENCODINGS, Encoding, Head
from optuna_layerwise.io.fields import assignments
from optuna_layerwise.io.plain import one_of
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.fingerprint import used_fingerprints
from optuna_layerwise.samplers import SAMPLERS

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

_LR = 1e-3
_ROWS = 20
"""Differences that are shown."""


def replay_command(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    sampler: Annotated[
        str | None,
        told("Search", f"Sampler of a study that `tune` did not make: {', '.join(SAMPLERS)}."),
    ] = None,
    sampler_option: Annotated[
        list[str] | None,
        told("Search", "Option that the sampler was made with, as name=value; repeatable."),
    ] = None,
    encoding: Annotated[
        str | None,
        told("Search", f"Encoding that the sampler was given: {', '.join(ENCODINGS)}."),
    ] = None,
    blocks: Annotated[
        str | None, told("Search", "Blocks of the encoding, as in stem,layer1,...,head.")
    ] = None,
    head: Annotated[
        str, told("Search", "Head of the encoding: always trained, or search.")
    ] = "always",
    tune: Annotated[
        list[str] | None,
        told("Search", "Fields of the recipe that the encoding tunes, separated by commas."),
    ] = None,
    lr: Annotated[float, told("Training", "Learning rate of the encoding.")] = _LR,
    trust_paths: TrustPaths = False,
) -> None:
    """Draw every suggestion of a study again, and say where one differs (exit code 1)."""
    opened = load_study(storage, study, read_only=True)
    from optuna_layerwise.experiments.replaying import stored_search  # with SciPy
    from optuna_layerwise.experiments.settings import SETTINGS, SETTINGS_KEY, Settings

    searched: Encoding | None = None
    of_sampler = {
        "--sampler-option": sampler_option,
        "--encoding": encoding,
        "--blocks": blocks,
        "--head": head != "always",
        "--tune": tune,
        "--lr": lr != _LR,
    }
    if sampler is None:
        if given := [option for option, value in of_sampler.items() if value]:
            raise ValueError(
                f"{' and '.join(given)} must be left out without --sampler: a study that `tune` "
                "made has stored what its sampler was made with"
            )
        if SETTINGS_KEY in opened.user_attrs:
            fetched = paths_of(Settings.from_study(opened), "model")
            check_paths(opened, fetched, trust=trust_paths)
        made, searched = stored_search(opened)
    else:
        if (encoding is None) != (blocks is None):
            raise ValueError("--encoding and --blocks are given together, or neither")
        if tune and encoding is None:
            raise ValueError("--tune needs --encoding and --blocks")
        settings = Settings(
            sampler=one_of("--sampler", sampler, tuple(SAMPLERS)),
            sampler_options=assignments("--sampler-option", sampler_option),
        )
        if encoding and blocks:
            searched = Encoding.preset(
                encoding, blocks.split(","), head=one_of("--head", head, get_args(Head)), lr=lr
            )
            if tune:
                searched = searched.tuning(SETTINGS["tune"].read(tune), _stored_recipe(opened))
        made = settings.make_sampler(searched, joins=False)
    if not replay(opened, made, searched):
        raise typer.Exit(1)


def _stored_recipe(study: optuna.Study) -> Recipe:
    """The recipe that the trials of a study changed; the default one, if none is stored."""
    recipes = [each.recipe for each in used_fingerprints(study).values()]
    return Recipe.from_dict(recipes[0]) if recipes else Recipe()


def replay(study: optuna.Study, sampler: BaseSampler, encoding: Encoding | None) -> bool:
    """Print whether every suggestion is drawn again; returns whether it is."""
    from optuna_layerwise.experiments.replaying import edited_records, first_cause
    from optuna_layerwise.samplers import rederive

    found, edited = rederive(study, sampler), edited_records(study, encoding)
    for versions, number in found.skipped.items():
        console.print(f"not compared: {number} trials drawn with {versions}", soft_wrap=True)
    if found.others:
        console.print(f"not compared: {found.others} trials that the sampler did not draw")
    compared = f"{found.trials} trials, {found.genes:,} genes"
    differences = [*edited, *found.differences]
    if not differences:
        says = "every suggestion re-derives" if found.trials else "nothing to compare"
        console.print(f"{compared}: {says}", highlight=False)
        return True
    table = Table("trial", "parameter", "stored", "derived")
    for difference in differences[:_ROWS]:
        values = (difference.trial, difference.part, difference.stored, difference.derived)
        table.add_row(*map(str, values))
    console.print(table)
    if (more := len(differences) - _ROWS) > 0:
        console.print(f"... and {more} more")
    differ = len({difference.trial for difference in differences})
    console.print(f"{compared}: {differ} trials differ", highlight=False)
    console.print(f"first cause: {first_cause(edited, found)}", soft_wrap=True)
    return False
