"""The tables of `run.py`'s and `overhead.py`'s results: `python -m benchmarks.sampling.table`.

A ratio compares ours with another sampler on the seeds that both have, which drew the same
instances and the same noise: the ratio of the medians, with a 95 % percentile bootstrap interval
over seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.records import read
from benchmarks.sampling.contestants import CONTESTANTS, OURS
from benchmarks.sampling.figure import figure
from benchmarks.sampling.problems import FLOATS, PROBLEMS
from benchmarks.sampling.run import COUNTS, LADDER

Cells = dict[tuple[str, str, str], dict[int, dict[str, Any]]]
Values = NDArray[np.float64]

SAMPLERS = (LADDER, *CONTESTANTS)
GOAL = 0.65
"""Of the regret of each of `RIVALS` where there are masks or categories; 1 of CmaEs elsewhere."""
RIVALS = ("TPE", "NSGA-II", "CmaEs")
AT = "100"
RESAMPLES = 10_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    results = Path("benchmarks/results")
    parser.add_argument("results", nargs="?", type=Path, default=results / "sampling.jsonl")
    parser.add_argument("--overhead", type=Path, default=results / "overhead.jsonl")
    args = parser.parse_args(arguments)
    args.results.with_suffix(".md").write_text(table(read(args.results), read(args.overhead)))
    args.results.with_suffix(".svg").write_text(figure(medians(by_cell(read(args.results)))))
    print(f"wrote {args.results.with_suffix('.md')} and its figure")


def table(cells: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    found = by_cell(cells)
    modes = [mode for mode in ("batches", "workers") if any(key[1] == mode for key in found)]
    parts = ["# Samplers on noisy layer-wise problems with a known optimum"]
    parts.append(
        "Regret: percentage points of noiseless accuracy that the trial which looks best after "
        f"{AT} evaluations (the ladder: 10) is below the optimum; medians over seeds, their "
        "number in brackets where it differs from that of the others."
    )
    for mode in modes:
        parts += [f"## {mode}", _regrets(found, mode), _ratios(found, mode)]
    parts += ["## Processor time of ask and tell, ms a trial", _times(found)]
    parts += [_overhead(measured), _drift(measured)]
    parts.append(_origins([*cells, *measured]))
    return "\n\n".join(part for part in parts if part) + "\n"


def by_cell(cells: Iterable[dict[str, Any]]) -> Cells:
    """Problem, mode and sampler to the cells by seed."""
    found: Cells = {}
    for cell in cells:
        found.setdefault((cell["problem"], cell["mode"], cell["sampler"]), {})[cell["seed"]] = cell
    return found


def medians(found: Cells) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Problem and sampler to the median regret in batches after so many evaluations."""
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for (problem, mode, sampler), cells in found.items():
        if mode == "batches" and sampler != LADDER:
            known = [n for n in COUNTS if all(str(n) in c["regret"] for c in cells.values())]
            points = [(n, float(np.median(_values(cells, cells, str(n))))) for n in known]
            curves.setdefault(problem, {})[sampler] = points
    return curves


def ratio(ours: Values, other: Values) -> tuple[float, float, float]:
    """Of the medians, with its interval; values are paired by seed."""
    rng = np.random.Generator(np.random.Philox(0))
    drawn = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
    many = np.median(ours[drawn], axis=1) / np.maximum(np.median(other[drawn], axis=1), 1e-9)
    low, high = np.percentile(many, [2.5, 97.5])
    return float(np.median(ours) / max(np.median(other), 1e-9)), float(low), float(high)


def _values(cells: dict[int, dict[str, Any]], seeds: Iterable[int], at: str = AT) -> Values:
    regrets = [cells[seed]["regret"] for seed in sorted(seeds)]
    return np.array([r[at] if at in r else list(r.values())[-1] for r in regrets])


def _regrets(found: Cells, mode: str) -> str:
    names = [name for name in SAMPLERS if any(key[1:] == (mode, name) for key in found)]
    numbers = [len(cells) for key, cells in found.items() if key[1] == mode]
    usual = max(set(numbers), key=numbers.count)
    rows = [[f"problem, n = {usual}", *names]]
    for problem in PROBLEMS:
        row = [problem]
        for name in names:
            cells = found.get((problem, mode, name), {})
            n = "" if len(cells) == usual else f" ({len(cells)})"
            row.append(f"{np.median(_values(cells, cells)):.2f}{n}" if cells else "")
        rows.append(row)
    return _markdown([row for row in rows if any(row[1:])])


def _ratios(found: Cells, mode: str) -> str:
    others = [n for n in SAMPLERS if n != OURS and any(k[1:] == (mode, n) for k in found)]
    rows = [[f"{OURS} divided by", *others]]
    reached, judged = 0, 0
    for problem in PROBLEMS:
        ours, row = found.get((problem, mode, OURS), {}), [problem]
        for name in others:
            other = found.get((problem, mode, name), {})
            seeds = ours.keys() & other.keys()
            if len(seeds) < 2:
                row.append("")
                continue
            at, low, high = ratio(_values(ours, seeds), _values(other, seeds))
            goal = 1.0 if problem in FLOATS else GOAL
            if name in (("CmaEs",) if problem in FLOATS else RIVALS):
                judged, reached = judged + 1, reached + (at <= goal)
            row.append(f"{at:.2f} [{low:.2f}, {high:.2f}]")
        rows.append(row)
    text = _markdown([row for row in rows if any(row[1:])])
    return text + (
        f"\n\nGoal: at most {GOAL} of each of {', '.join(RIVALS)} where there are masks or "
        f"categories, at most 1 of CmaEs on {' and '.join(sorted(FLOATS))}: reached by "
        f"{reached} of {judged} ratios."
    )


def _times(found: Cells) -> str:
    names = [name for name in CONTESTANTS if any(key[1:] == ("batches", name) for key in found)]
    rows = [["problem", *names]]
    for problem in PROBLEMS:
        of = [found.get((problem, "batches", name), {}).values() for name in names]
        ms = [f"{np.median([c['ms'] for c in cells]):.2f}" if cells else "" for cells in of]
        rows.append([problem, *ms])
    return _markdown([row for row in rows if any(row[1:])])


def _overhead(measured: Sequence[dict[str, Any]]) -> str:
    cells = [c for c in measured if c["kind"] == "overhead"]
    if not cells:
        return ""
    sizes = sorted({c["finished"] for c in cells})
    rows = [["30 mixed parameters, finished trials", *map(str, sizes)]]
    for name in dict.fromkeys(c["sampler"] for c in cells):
        of = [
            [c["ms"] for c in cells if (c["sampler"], c["finished"]) == (name, n)] for n in sizes
        ]
        rows.append([name, *(f"{np.median(ms):.2f} (n = {len(ms)})" if ms else "" for ms in of)])
    return _markdown(rows)


def _drift(measured: Sequence[dict[str, Any]]) -> str:
    cells = [c for c in measured if c["kind"] == "drift"]
    if not cells:
        return ""
    rows = [["8 workers, durations 1 to 5 by a neutral gene", "mean of that gene", "loss"]]
    for name in dict.fromkeys(c["sampler"] for c in cells):
        own = [c for c in cells if c["sampler"] == name]
        gene = np.array([c["neutral"] for c in own])
        error = gene.std(ddof=1) / np.sqrt(len(gene)) if len(gene) > 1 else np.nan
        loss = np.median([c["loss"] for c in own])
        rows.append(
            [f"{name} (n = {len(own)})", f"{gene.mean():.2f} ± {error:.2f}", f"{loss:.1e}"]
        )
    return "## Drift and loss of the last 50 of 400 trials\n\n" + _markdown(rows)


def _origins(cells: Sequence[dict[str, Any]]) -> str:
    origins = {json.dumps(c["provenance"], sort_keys=True): c["provenance"] for c in cells}
    lines = []
    for origin in origins.values():
        packages = ", ".join(f"{name} {v}" for name, v in origin["packages"].items() if v)
        dirty = " with changes" if origin["dirty"] else ""
        lines.append(f"* {origin['device']}; commit {origin['commit']}{dirty}; {packages}.")
    return "\n".join(lines)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


if __name__ == "__main__":
    main()
