"""The commands that make a table: of a paper, or of our own comparison of methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.protocols import TABLES, Table
from optuna_layerwise.cli.options import STORAGE_VARIABLE, console
from optuna_layerwise.io.fields import assignments
from optuna_layerwise.io.files import write_whole
from optuna_layerwise.io.plain import one_of, within
from optuna_layerwise.launch import INTERRUPTED

STORAGE = "sqlite:///optuna-layerwise-bench.db"
RESULTS = Path("bench-results")
DIGITS = "digits"

Scale = Annotated[
    str,
    typer.Option(
        help="full: the paper's data and networks; small: two cores, hours; digits: minutes, "
        "with nothing that the package does not bring; long: `methods` only, the main ones of "
        "the small scale with up to five times the work."
    ),
]
Root = Annotated[
    Path, typer.Option(help="Folder of the data sets by name, and of a folder `weights`.")
]
Storage = Annotated[
    str, typer.Option(help="URL of the database of all studies.", envvar=STORAGE_VARIABLE)
]
Output = Annotated[Path, typer.Option(help="Folder: one JSON file a cell, and the table.")]
Processes = Annotated[
    int, typer.Option(help="Number of processes that run cells at the same time.")
]
Methods = Annotated[
    list[str] | None, typer.Option("--method", help="Method to run; repeatable. Default: all.")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Data set to run; repeatable. Default: all.")
]
Runs = Annotated[int | None, typer.Option(help="Number of runs of each cell. Default: all.")]
Download = Annotated[
    bool, typer.Option(help="Download missing data sets that torchvision offers.")
]
TableOnly = Annotated[
    bool,
    typer.Option("--table-only", help="Write the table from existing results, and run nothing."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Computes = Annotated[
    list[str] | None, typer.Option("--compute", help="As of `tune`: name=value; repeatable.")
]
Threads = Annotated[int, typer.Option(help="Of torch on the CPU, for each process.")]


def commands() -> dict[str, Callable[..., None]]:
    """Name to command, one for each table."""
    return {name: _command(table) for name, table in TABLES.items()}


def _command(table: Table) -> Callable[..., None]:
    def command(
        scale: Scale = "small",
        data_root: Root = Path("data"),
        storage: Storage = STORAGE,
        output: Output = RESULTS,
        processes: Processes = 1,
        method: Methods = None,
        data_set: Sets = None,
        runs: Runs = None,
        download: Download = False,
        table_only: TableOnly = False,
        device: Device = "auto",
        compute: Computes = None,
        threads: Threads = 1,
    ) -> None:
        from benchmarks.protocols import (  # with scipy
            latex,
            markdown_page,
            read_records,
            running,  # with torch
        )
        from benchmarks.protocols.places import Places
        from optuna_layerwise.training import Compute

        one_of("--scale", scale, tuple(table.experiments))
        numbers = (("processes", processes), ("runs", runs), ("threads", threads))
        for option, number in numbers:
            if number is not None:
                within(f"--{option}", number, 1)
        settings = assignments("--compute", compute)
        Compute.from_json(settings)
        places = Places(
            data_root=data_root,
            storage=storage,
            results=output,
            download=download,
            device=device,
            compute=settings,
            threads=threads,
        )
        experiment = table.experiments[scale]
        cells = list(experiment.cells())
        missing = running.missing(experiment, cells, places)
        if scale == "small" and len(missing) == len(cells):
            _tell_missing(missing.values())
            console.print("so it runs on the digits that the package brings (--scale digits)")
            scale, experiment = DIGITS, table.experiments[DIGITS]
            cells, missing = list(experiment.cells()), {}
        for name in method or ():
            one_of("--method", name, tuple(experiment.arms))
        for name in data_set or ():
            one_of("--set", name, experiment.sets)
        wanted = [
            cell
            for cell in cells
            if (not method or cell.arm in method)
            and (not data_set or cell.data in data_set)
            and (runs is None or cell.run in experiment.runs[:runs])
        ]
        here = [cell for cell in wanted if cell not in missing]
        _tell_missing([missing[cell] for cell in wanted if cell in missing])
        done = True
        if not table_only:
            left = sum(not cell.file(output).exists() for cell in here)
            console.print(f"{len(wanted)} cells: {left} to run, {len(wanted) - len(here)} cannot")
            done = running.run(experiment, here, places, processes=processes)
        found = read_records(cells, output)
        unable = {cell: why for cell, why in missing.items() if cell not in found}
        page = markdown_page(table, scale, found, unable)
        for suffix, text in (("md", page), ("tex", latex(table, scale, found))):
            path = output / f"{table.name}-{scale}.{suffix}"
            write_whole(path, text)
            console.print(f"wrote {path}", soft_wrap=True)
        if not done:
            console.print("some cells are not done; the same command goes on with them")
            raise typer.Exit(INTERRUPTED)

    command.__doc__ = f"{table.title}."
    return command


def _tell_missing(reasons: object) -> None:
    for why in dict.fromkeys(reasons):  # type: ignore[call-overload]
        console.print(f"missing: {why}", soft_wrap=True, highlight=False)
