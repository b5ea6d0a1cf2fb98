"""Write the generated tables of `docs/layerbench.md`: `python -m benchmarks.layerbench.page`.

The page's words are written by hand; what stands between ``<!-- begin NAME -->`` and
``<!-- end NAME -->`` is made here from the tables and from the committed contests, as are its
pictures.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.layerbench.findings import (
    Grid,
    after,
    block_effects,
    choices,
    criteria,
    early,
    grid_of,
    noise,
    repeats,
    shares,
    transfer,
)
from benchmarks.layerbench.pack import JUDGED
from benchmarks.layerbench.page_contests import contest_sections, markdown, pictures
from optuna_layerwise.layerbench import LayerBench, open_tables
from optuna_layerwise.layerbench.bench import TABLES

PAGE = Path("docs/layerbench.md")
PICTURES = Path("docs/pictures")
NUMBERS = (1, 3, 10, 30, 100, 300)
BUDGETS = (15, 30, 60, 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="to make anew; default all, and the pictures")
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    benches = list(open_tables(args.tables).values())
    made = sections(benches)
    text = args.page.read_text()
    for name in args.parts or made:
        text = filled(text, name, made[name]())
    args.page.write_text(text)
    for name, picture in pictures(benches).items() if not args.parts else ():
        (PICTURES / f"layerbench-{name}.svg").write_text(picture)


def filled(text: str, name: str, part: str) -> str:
    """The page with a generated part made anew.

    Raises:
        ValueError: if the page has no place for it.
    """
    pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    made, n = pattern.subn(lambda m: f"{m[1]}{part}\n{m[2]}", text)
    if n != 1:
        raise ValueError(f"the page must have one <!-- begin {name} --> with its end, got {n}")
    return made


def sections(benches: Sequence[LayerBench]) -> dict[str, Callable[[], str]]:
    """Name to what makes the part."""
    grids = [grid_of(bench) for bench in benches]
    sets = [bench.name for bench in benches]

    def by_set(
        of: Callable[[Grid], dict[str, Any]], first: str, show: Callable[[Any], str]
    ) -> str:
        found = [of(grid) for grid in grids]
        return markdown([[first, *sets], *([k, *(show(f[k]) for f in found)] for k in found[0])])

    made: dict[str, Callable[[], str]] = {
        "tables": lambda: _tables(benches),
        "surrogate": lambda: _surrogate(benches),
        "shares-val": lambda: by_set(
            lambda g: shares(g.val), "share of the variance, validation", lambda v: f"{v:.0%}"
        ),
        "choices": lambda: by_set(
            choices,
            "chosen",
            lambda c: (
                f"{100 * c['test']:.1f} ± {100 * c['deviation']:.1f} `{c['mask']}` {c['rate']:.0e}"
            ),
        ),
        "blocks": lambda: by_set(block_effects, "training this block", lambda v: f"{v:+.1f}"),
        "noise": lambda: by_set(noise, "", lambda v: f"{v:.2f}"),
        "transfer": lambda: _transfer(grids, sets),
        "luck": lambda: _after(grids, sets),
        "repeats": lambda: _repeats(benches, sets),
        "early": lambda: markdown(
            [
                ["epochs", *(str(e + 1) for e in range(benches[0].epochs))],
                *([s, *(f"{v:.2f}" for v in early(g))] for s, g in zip(sets, grids, strict=True)),
            ]
        ),
        "criteria": lambda: by_set(criteria, "the best of 50 by", lambda v: f"{v:.2f}"),
    }
    made |= contest_sections(benches)
    return made


def _tables(benches: Sequence[LayerBench]) -> str:
    rows = [["table", "trainings", "policies", "images", "classes", "epochs", "CPU hours", "kB"]]
    for bench in benches:
        table, header = bench.table, bench.table.header
        images = header["images"]
        hours = np.nanmax(table.seconds, axis=1).sum() / 3600
        rows.append(
            [
                bench.path.name,
                str(len(table)),
                str(len(table.policies[0])),
                " / ".join(str(images[s]) for s in ("train", "val", "test")),
                str(header["classes"]),
                str(bench.epochs),
                f"{hours:.1f}",
                f"{bench.path.stat().st_size / 1e3:.0f}",
            ]
        )
    return markdown(rows)


def _surrogate(benches: Sequence[LayerBench]) -> str:
    rows = [["set, last epoch", *JUDGED]]
    for bench in benches:
        errors = dict(bench.surrogate_errors)
        spread = errors["deviation over seeds"]
        rows.append([f"{bench.name}: one training again", *(f"± {spread[m]:.3f}" for m in JUDGED)])
        for model in ("gaussian process", "random forest", "gradient boosting"):
            cells = [errors[model][m] for m in JUDGED]
            rows.append([model, *(f"{c['rmse']:.3f}, ρ {c['spearman']:.2f}" for c in cells)])
    return markdown(rows)


def _transfer(grids: Sequence[Grid], sets: Sequence[str]) -> str:
    alike, lost = transfer(grids)
    rows = [["best of", *(f"used on {s}" for s in sets)]]
    for i, name in enumerate(sets):
        rows.append(
            [name, *(f"ρ {alike[i, j]:.2f}, {-lost[i, j]:+.1f}" for j in range(len(sets)))]
        )
    return markdown(rows)


def _after(grids: Sequence[Grid], sets: Sequence[str]) -> str:
    rows = [["policies tried", *(f"{s}: seen, real, test, kept" for s in sets)]]
    found = [after(grid, NUMBERS) for grid in grids]
    for n in NUMBERS:
        of_n = [[f[n][name] for name in ("seen", "val", "test", "kept")] for f in found]
        rows.append([str(n), *(", ".join(f"{v:.1f}" for v in values) for values in of_n)])
    return markdown(rows)


def _repeats(benches: Sequence[LayerBench], sets: Sequence[str]) -> str:
    found = [repeats(bench, BUDGETS) for bench in benches]
    rows = [["trainings", *(f"{s}: {', '.join(found[0][BUDGETS[0]])}" for s in sets)]]
    for n in BUDGETS:
        rows.append([str(n), *(", ".join(f"{v:.1f}" for v in f[n].values()) for f in found)])
    return markdown(rows)


if __name__ == "__main__":
    main()
