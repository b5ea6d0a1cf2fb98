"""Write the generated parts of `docs/layerbench.md`: `python -m benchmarks.layerbench.page`.

The words of that page, and of the one with its tables, are written by hand. What stands between
``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is made here from the tables and from the
committed contests, as are the pictures.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
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

PAGES = (Path("docs/layerbench.md"), Path("docs/layerbench-tables.md"))
"""The answers, and the tables behind them."""
PICTURES = Path("docs/pictures")
NUMBERS = (1, 3, 10, 30, 100, 300)
BUDGETS = (15, 30, 60, 90)
_BETWEEN = "\f"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="to make anew; default all, and the pictures")
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument(
        "--pages", type=Path, nargs="+", default=PAGES, help="With the places to fill."
    )
    args = parser.parse_args()
    benches = list(open_tables(args.tables).values())
    parts = sections(benches)
    asked = {name: parts[name] for name in args.parts or parts}
    texts = made([page.read_text() for page in args.pages], asked)
    for page, text in zip(args.pages, texts, strict=True):
        page.write_text(text)
    for name, picture in pictures(benches).items() if not args.parts else ():
        (PICTURES / f"layerbench-{name}.svg").write_text(picture)


def made(texts: Sequence[str], parts: Mapping[str, Callable[[], str]]) -> list[str]:
    """The pages with their generated parts, each of which one of them has, made anew.

    Raises:
        ValueError: if the pages have no place for a part, or several.
    """
    whole = _BETWEEN.join(texts)
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text = part()
        whole, n = pattern.subn(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", whole)
        if n != 1:
            raise ValueError(
                f"the pages must have one <!-- begin {name} --> with its end, got {n}"
            )
    return whole.split(_BETWEEN)


def sections(benches: Sequence[LayerBench]) -> dict[str, Callable[[], str]]:
    """Name to what makes the part."""
    grids = [grid_of(bench) for bench in benches]
    sets = [bench.name for bench in benches]

    def by_set(
        of: Callable[[Grid], dict[str, Any]], first: str, show: Callable[[Any], str]
    ) -> str:
        found = [of(grid) for grid in grids]
        return markdown([[first, *sets], *([k, *(show(f[k]) for f in found)] for k in found[0])])

    parts: dict[str, Callable[[], str]] = {
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
    return parts | contest_sections(benches)


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
