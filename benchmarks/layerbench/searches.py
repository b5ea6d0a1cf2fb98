"""Comparing samplers on tables of real fine-tunings."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import optuna
import typer
from optuna.samplers import BaseSampler
from rich.table import Table

from optuna_layerwise.cli.options import console, format_of
from optuna_layerwise.encodings import Encoding
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.io.fields import assignment
from optuna_layerwise.io.plain import decoded, one_of, within
from optuna_layerwise.layerbench.bench import TABLES

if TYPE_CHECKING:  # with scipy
    from benchmarks.layerbench import ranking
    from optuna_layerwise.analysis.statistics import Ranking
    from optuna_layerwise.layerbench import LayerBench

CONTESTANTS = (
    *("random/full", "random/binary", "random/profile", "tpe/binary", "tpe/profile"),
    *("cmaes/continuous", "nsga2/binary", "biotune/biotune", "set-ga/set"),
    *("catcmawm/binary", "catcmawm/continuous", "catcmawm/hybrid", "catcmawm/profile"),
)
MODES = ("batches", "workers")
RESULTS = Path("layerbench.jsonl")
METRICS = ("accuracy", "balanced_accuracy")
"""Those whose best policy the tables name, so that there is a regret."""

Cell = tuple[str, str, int, int, str, str]
"""Path of the table, contestant, seed, trials, mode, metric."""


def layerbench_command(
    contestants: Annotated[
        list[str] | None,
        typer.Argument(
            help="sampler/encoding, with options of the sampler after +: "
            "catcmawm/hybrid+surrogate=false. Encodings are those of `tune`, `full` (every block "
            f"at one searched rate) and `grid`. Default: {', '.join(CONTESTANTS)}."
        ),
    ] = None,
    tables: Annotated[Path, typer.Option(help="Folder of the tables.")] = TABLES,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="Data set to search; repeatable. Default: all."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Searches of each cell.")] = 50,
    trials: Annotated[int, typer.Option(help="Number of trials of a search.")] = 100,
    mode: Annotated[str, typer.Option(help=f"{' or '.join(MODES)}.")] = "batches",
    metric: Annotated[str, typer.Option(help=f"{' or '.join(METRICS)}.")] = "accuracy",
    processes: Annotated[
        int, typer.Option(help="Number of processes that search at the same time.")
    ] = 1,
    output: Annotated[Path, typer.Option(help="JSON lines; finished cells stay.")] = RESULTS,
) -> None:
    """Search tables of real fine-tunings with many samplers, and rank them."""
    from rich.progress import track

    from benchmarks.layerbench import contest, ranking
    from optuna_layerwise.layerbench import encoding_for, open_tables

    format_of("output", output, {"jsonl": (".jsonl", ".ndjson")})
    chosen = contestants or list(CONTESTANTS)
    benches = open_tables(tables)
    names = [one_of("--set", name, tuple(benches)) for name in sets or benches]
    one_of("--mode", mode, MODES)
    one_of("--metric", metric, METRICS)
    for name, number in (("seeds", seeds), ("trials", trials), ("processes", processes)):
        within(f"--{name}", number, 1)
    for contestant in chosen:
        encoding, settings = contestant_of(contestant, 0)
        settings.make_sampler(encoding_for(benches[names[0]], encoding), joins=False)
    done = {_key(cell) for cell in _read(output)}
    wanted = itertools.product(range(seeds), names, chosen)
    cells: list[Cell] = [
        (str(benches[name].path), contestant, seed, trials, mode, metric)
        for seed, name, contestant in wanted
        if (contestant, name, seed, trials, mode, metric) not in done
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("a") as file:
        for cell in track(_run(cells, processes), total=len(cells), console=console):
            file.write(json.dumps(cell) + "\n")
            file.flush()
    asked = set(itertools.product(chosen, names, range(seeds), [trials], [mode], [metric]))
    found = [cell for cell in _read(output) if _key(cell) in asked]
    best = {name: benches[name].best(metric) for name in names}
    for at in (n for n in contest.TRIALS if n <= trials):
        standing = ranking.standings(found, best, trials=at)
        _show(f"after {at} evaluations, {seeds} searches a set", *standing)
    for work in contest.WORK:
        if all(any(judge[0] == work for judge in cell["by_work"]) for cell in found):
            standing = ranking.standings(found, best, work=work)
            _show(f"after the work of {work:g} full trainings", *standing)


def _show(title: str, standing: list[ranking.Standing], ranked: Ranking | None) -> None:
    from benchmarks.layerbench import ranking

    head, *body = ranking.rows(standing, intervals=False)
    if ranked:
        apart = f"{ranked.critical_difference:.2f}"
        title += f"; mean ranks differ from {apart} on (Nemenyi, 5 %)"
    table = Table(*head, title=title)
    for row in body:
        table.add_row(*row)
    console.print(table)


def contestant_of(name: str, seed: int) -> tuple[str, Settings]:
    """The encoding and the settings that make the sampler of ``sampler/encoding+option=value``.

    Raises:
        ValueError: for another form, or what does not exist.
    """
    head, *options = name.split("+")
    sampler, slash, encoding = head.partition("/")
    if not slash:
        raise ValueError(
            f"a contestant is sampler/encoding, such as catcmawm/binary, got {name!r}"
        )
    given = dict(assignment("an option of a contestant", text) for text in options)
    recipes = given.pop("recipes", False)
    return encoding, Settings(
        sampler=sampler, sampler_options=given, seed=seed, seed_recipes=bool(recipes)
    )


def _run(cells: list[Cell], processes: int) -> Iterator[dict[str, Any]]:
    if processes == 1:
        yield from map(run_cell, cells)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run_cell, cells, chunksize=4)


def run_cell(cell: Cell) -> dict[str, Any]:
    """One search, in whichever process."""
    from benchmarks.layerbench import contest

    path, contestant, seed, trials, mode, metric = cell
    encoding, settings = contestant_of(contestant, seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def make(of: Encoding, seed: int) -> BaseSampler:
        return settings.make_sampler(of, joins=False)

    result = contest.search(
        _bench(path),
        encoding,
        make,
        seed=seed,
        first=settings.first,
        trials=trials,
        mode=mode,
        metric=metric,
    )
    return {"contestant": contestant, **result}


@lru_cache(maxsize=8)
def _bench(path: str) -> LayerBench:
    from optuna_layerwise.layerbench import LayerBench

    return LayerBench(path)


def _read(path: Path) -> list[dict[str, Any]]:
    cells = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            cells.append(decoded(line))
            _key(cells[-1])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"line {number} of {path} is no result ({error}); delete it"
            ) from error
    return cells


def _key(cell: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[n] for n in ("contestant", "set", "seed", "trials", "mode", "metric"))
