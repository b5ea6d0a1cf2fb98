"""The command ``compare``."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import optuna
import typer
from rich.table import Table
from rich.text import Text

from optuna_layerwise.cli import show
from optuna_layerwise.cli.options import (
    DEFAULT_STORAGE,
    Storage,
    console,
    format_of,
    load_study,
    say_refused,
)
from optuna_layerwise.io.fields import assignments
from optuna_layerwise.io.files import write_whole
from optuna_layerwise.io.plain import within
from optuna_layerwise.reporting.report_grid import Grid
from optuna_layerwise.storage import (
    open_pictured,
    open_to_read,
    picture_of,
    refused_of,
    study_names,
)

_STDOUT = Path("-")
_MOST_IMAGES = 10**11
_LONGEST = 1e12
_SIDE_BY_SIDE = 4
"""Studies of which a table shows everything."""


def compare_command(
    studies: Annotated[
        list[str] | None,
        typer.Argument(help="Names of studies, or patterns with *. Default: all of the database."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a method and a pattern of its studies, as in 'biotune=leaves-bt-*'; "
            "repeatable. Default: studies that differ in seed and data only are one method."
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of trials to compare after. Default: as many as all have."
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Number of training images to compare after.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Seconds of training to compare after.")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="File to write everything to as JSON; - prints that and nothing else."
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="File to draw the best value so far of each method in, as HTML."),
    ] = None,
) -> None:
    """Compare methods over seeds and data sets, at equal trials, images and seconds."""
    if json_file is not None and json_file != _STDOUT:
        format_of("json", json_file, {"json": (".json",)})
    if figure is not None:
        format_of("figure", figure, {"html": (".html", ".htm")})
    patterns = {name: str(pattern) for name, pattern in assignments("--group", group).items()}
    chosen, refused = find_studies(storage, [*(studies or ()), *patterns.values()])
    from optuna_layerwise.analysis.comparison import compare  # with scipy and plotly
    from optuna_layerwise.analysis.history import Axis
    from optuna_layerwise.reporting.comparison_tables import comparison_tables

    budgets: dict[Axis, float] = {}
    if trials is not None:
        within("--trials", trials, 1)
        budgets["trials"] = trials
    if images is not None:
        within("--images", images, 1, _MOST_IMAGES)
        budgets["images"] = images
    if seconds is not None:
        within("--seconds", seconds, 0, _LONGEST)
        budgets["seconds"] = seconds
    found = compare(chosen, groups=patterns, budgets=budgets)
    content = json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n"
    if figure is not None:
        from optuna_layerwise.visualization import plot_best_so_far

        methods: dict[str, list[optuna.Study]] = {}
        of_name = {study.study_name: study for study in chosen}
        for member in found.as_json()["members"]:
            methods.setdefault(member["group"], []).append(of_name[member["study"]])
        write_whole(figure, plot_best_so_far(methods).to_html())
    if json_file == _STDOUT:
        print(content, end="")
        say_refused(refused)
        return
    if len(chosen) <= _SIDE_BY_SIDE:
        console.print(show.comparison(chosen))
    for grid in comparison_tables(found):
        print_grid(grid)
    console.print(Text(found.rule, style="dim"))
    for note in found.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    if json_file is not None:
        write_whole(json_file, content)
        console.print(f"wrote {json_file}")
    if figure is not None:
        console.print(f"wrote {figure}")
    say_refused(refused)


def find_studies(storage: str, wanted: list[str]) -> tuple[list[optuna.Study], dict[str, str]]:
    """The studies of these names or patterns, each once; all of them for none.

    Those of a pattern that cannot be read are left out, and come with their reasons.

    Raises:
        ValueError: if there is none of a name or pattern, and the message has those that there
            are; or if the one of a name cannot be read.
    """
    opened = open_to_read(storage)
    names = study_names(opened)
    found: dict[str, None] = {}
    for pattern in wanted or ["*"]:
        matching = [pattern] if pattern in names else fnmatching(names, pattern)
        if not matching:
            load_study(storage, pattern, read_only=True)  # says which studies there are
        found |= dict.fromkeys(matching)
    shown = picture_of(opened, found)
    refused = {name: reason for name, reason in refused_of(shown).items() if name not in wanted}
    studies = [open_pictured(shown, name) for name in found if name not in refused]
    if refused and not studies:
        raise ValueError(f"none of the studies {list(refused)} can be read; `doctor` says more")
    return studies, refused


def fnmatching(names: list[str], pattern: str) -> list[str]:
    """The names that match a pattern with ``*``, in the order of their length and letters."""
    matching = [name for name in names if fnmatchcase(name, pattern)]
    return sorted(matching, key=lambda name: (len(name), name))


def print_grid(grid: Grid) -> None:
    """A table on the terminal."""
    table = Table(title=Text(grid.title, style="bold"), title_justify="left")
    for index, name in enumerate(grid.header):
        table.add_column(Text(name), justify="right" if index else "left", overflow="fold")
    for row in grid.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    if grid.note:
        console.print(Text(grid.note, style="dim"))
