"""The parts of `docs/layerbench.md` and its tables that come from contests, and the pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.layerbench import ranking
from benchmarks.layerbench.budget import FINALISTS, TRAININGS
from benchmarks.layerbench.contests import FOUR_OF_FIVE
from benchmarks.layerbench.design import CONTESTS
from benchmarks.layerbench.figure import Panel, panels, ranks
from benchmarks.layerbench.findings import after, grid_of
from benchmarks.layerbench.verdicts import (
    TEST,
    VAL,
    End,
    Pair,
    budget_line,
    difference,
    ended,
    line,
    mean_ranks,
)
from benchmarks.records import read
from optuna_layerwise.analysis.statistics import Summary, paired, summary
from optuna_layerwise.layerbench import LayerBench

EVALUATIONS = (20, 50, 100)
WORK = (10, 20, 50)
LINES = {
    "tpe/binary": "TPE, binary",
    "biotune/biotune": "BioTune",
    "catcmawm/binary": "CatCMAwM, binary",
    "catcmawm/profile": "CatCMAwM, profile",
    "random/binary": "random, binary",
    "random/full": "random rate, all trained",
}
"""Contestants of the figure, and what it calls them."""
PAIRS = (
    Pair("CatCMAwM on `binary`, or BioTune?", "catcmawm/binary", "biotune/biotune"),
    Pair("CatCMAwM on `profile`, or BioTune?", "catcmawm/profile", "biotune/biotune"),
    Pair(
        "CatCMAwM on BioTune's encoding, or BioTune?",
        "catcmawm/biotune+recipes=true",
        "biotune/biotune",
    ),
    Pair("BioTune on `binary`?", "biotune/binary", "biotune/biotune"),
    Pair("BioTune on `profile`?", "biotune/profile", "biotune/biotune"),
    Pair("TPE on `binary`, or on BioTune's?", "tpe/binary", "tpe/biotune"),
    Pair("`binary`: CatCMAwM or TPE?", "catcmawm/binary", "tpe/binary"),
    Pair("`binary`: CatCMAwM or NSGA-II?", "catcmawm/binary", "nsga2/binary"),
    Pair("`binary`: CatCMAwM or chance?", "catcmawm/binary", "random/binary"),
    Pair("`binary` or `profile`?", "catcmawm/binary", "catcmawm/profile"),
    Pair("`binary` or `hybrid`?", "catcmawm/binary", "catcmawm/hybrid"),
    Pair("`binary` or `continuous`?", "catcmawm/binary", "catcmawm/continuous"),
    Pair("a mask, or a rate for all?", "catcmawm/binary", "catcmawm/full+recipes=true"),
    Pair("known recipes first, `binary`?", "catcmawm/binary+recipes=true", "catcmawm/binary"),
    Pair("known recipes, `profile`?", "catcmawm/profile+recipes=true", "catcmawm/profile"),
    Pair("known recipes, `hybrid`?", "catcmawm/hybrid+recipes=true", "catcmawm/hybrid"),
    Pair(
        "known recipes, `continuous`?", "catcmawm/continuous+recipes=true", "catcmawm/continuous"
    ),
    Pair("known recipes, BioTune?", "biotune/biotune+recipes=true", "biotune/biotune"),
    *(
        Pair(f"`{encoding}`: four blocks of five trained at first?", name, f"catcmawm/{encoding}")
        for encoding, name in FOUR_OF_FIVE.items()
    ),
    Pair("a wider start?", "catcmawm/binary+spread=0.25", "catcmawm/binary"),
    Pair("the surrogate, `binary`?", "catcmawm/binary", "catcmawm/binary+surrogate=false"),
    Pair(
        "the surrogate, `profile`?",
        "catcmawm/profile+recipes=true",
        "catcmawm/profile+surrogate=false+recipes=true",
    ),
    Pair("6 or 10, `binary`?", "catcmawm/binary+population=6", "catcmawm/binary"),
    Pair("16 or 10, `binary`?", "catcmawm/binary+population=16", "catcmawm/binary"),
    Pair(
        "6 or 10, `profile`?",
        "catcmawm/profile+population=6+recipes=true",
        "catcmawm/profile+recipes=true",
    ),
    Pair(
        "16 or 10, `profile`?",
        "catcmawm/profile+population=16+recipes=true",
        "catcmawm/profile+recipes=true",
    ),
    Pair("ours, or REVO-Tune's?", "catcmawm/binary", "catcmawm/binary+preset=paper"),
    Pair("BioTune: ours, or the paper's?", "biotune/biotune", "biotune/biotune+preset=paper"),
)
"""What the defaults hang on."""
SEARCHED = ("biotune/biotune", "catcmawm/binary")
"""Contestants of `budget`."""
USUAL = 5
"""Finalists of a search of 50 trials or more."""


def contest_sections(benches: Sequence[LayerBench]) -> dict[str, Callable[[], str]]:
    """Name to what makes the part."""
    best = {bench.name: bench.best() for bench in benches}
    cells = {path.stem: read(path) for path in sorted(CONTESTS.glob("*.jsonl"))}
    budgets, confirmed = (cells.get(name, []) for name in ("budget", "confirm"))
    batches = [*cells.get("main", ()), *cells.get("variants", ())]
    return {
        "contest-main": lambda: _contest(cells["main"], best),
        "contest-workers": lambda: _contest(cells["workers"], best),
        "equal-work": lambda: _equal_work(cells["main"]),
        "differences": lambda: _differences(batches),
        "budget": lambda: _budget(budgets),
        "repeated": lambda: _repeated(budgets),
        "confirmed": lambda: _confirmed(confirmed),
    }


def pictures(benches: Sequence[LayerBench]) -> dict[str, str]:
    """Name to an SVG."""
    best = {bench.name: bench.best() for bench in benches}
    main, budgets = (read(CONTESTS / f"{name}.jsonl") for name in ("main", "budget"))
    return {
        "regret": _regret(main, best),
        "ranks": ranks(
            {f"after {n} evaluations": mean_ranks(main, best, n) for n in (100, 50, 20)}
        ),
        "budget": _budgets(budgets, list(best)),
        "luck": _luck(benches),
    }


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _contest(cells: Sequence[dict[str, Any]], best: dict[str, float]) -> str:
    trials = EVALUATIONS[-1]
    standing, ranked = ranking.standings(cells, best, trials=trials)
    assert ranked is not None
    return (
        markdown(ranking.rows(standing))
        + f"\n\nAfter {trials} evaluations; means over {ranked.n // len(best)} searches a set, "
        "with 95 % bootstrap intervals. Mean ranks that differ by less than "
        f"{ranked.critical_difference:.2f} are not told apart (Nemenyi, 5 %)."
    )


def _equal_work(cells: Sequence[dict[str, Any]]) -> str:
    ways = [("by_trials", n, f"{n} evaluations") for n in EVALUATIONS]
    ways += [("by_work", n, f"work of {n}") for n in WORK]
    rows = [["test accuracy after", *(title for *_, title in ways)]]
    for name in dict.fromkeys(cell["contestant"] for cell in cells):
        shown = []
        for key, at, _ in ways:
            own = [cell for cell in cells if cell["contestant"] == name]
            found = [(c["set"], 100 * j[3]) for c in own for j in c[key] if j[0] == at]
            shown.append(_mean(found) if len(found) == len(own) else "")
        rows.append([name, *shown])
    order = sorted(rows[1:], key=lambda row: row[-1], reverse=True)
    return markdown([rows[0], *order])


def _differences(cells: Sequence[dict[str, Any]]) -> str:
    ways = [("by_trials", n, VAL, f"validation, {n}") for n in EVALUATIONS]
    ways += [("by_trials", n, TEST, f"test, {n}") for n in EVALUATIONS]
    ways += [("by_work", 20, TEST, "test, work of 20")]
    rows = [["first minus second", "n", *(title for *_, title in ways)]]
    for pair in PAIRS:
        found = [difference(cells, pair, key=k, at=at, column=c)[0] for k, at, c, _ in ways]
        first = re.sub(r"\{.*\}", "...", pair.first)
        names = f"{pair.question} `{first}`, `{pair.second}`"
        rows.append([names, str(found[0].n), *map(_signed, found)])
    return markdown(rows)


def _budget(budgets: Sequence[dict[str, Any]]) -> str:
    parts = []
    for contestant in SEARCHED:
        columns = [f"{k} finalists" if k > 1 else "the best trial" for k in FINALISTS]
        rows = [[f"`{contestant}`: trials", *columns]]
        for n in TRAININGS:
            shown = []
            for k in FINALISTS:
                found = ended(budgets, End(contestant, 1, k), n)
                trainings = np.mean([value[0] for value in found.values()])
                test = _mean([(data, value[3]) for (data, _), value in found.items()])
                shown.append(f"{test} ({trainings:.0f})")
            rows.append([str(n), *shown])
        parts.append(markdown(rows))
    return "\n\n".join(parts)


def _repeated(budgets: Sequence[dict[str, Any]]) -> str:
    rows = [["three seeds a trial minus one, at equal trainings", *map(str, TRAININGS[2:])]]
    for contestant in SEARCHED:
        for k in (1, USUAL):
            shown = []
            for n in TRAININGS[2:]:
                thrice, once = (ended(budgets, End(contestant, r, k), n) for r in (3, 1))
                common = sorted(thrice.keys() & once.keys())
                found = paired([thrice[c][3] for c in common], [once[c][3] for c in common])
                shown.append(_signed(found.difference))
            what = "the best trial" if k == 1 else f"{k} finalists"
            rows.append([f"`{contestant}`, {what}", *shown])
    return markdown(rows)


def _confirmed(cells: Sequence[dict[str, Any]]) -> str:
    first, second = PAIRS[0].first, PAIRS[0].second
    rows = [[f"`{first}` minus `{second}`", "pairs", "validation", "test", "wins, losses in test"]]
    for kind in dict.fromkeys(cell["kind"] for cell in cells):
        own = [cell for cell in cells if cell["kind"] == kind]
        found = {(c["contestant"], c["set"], c["seed"]): c for c in own}
        places = sorted({(c["set"], c["seed"]) for c in own})
        both = [p for p in places if (first, *p) in found and (second, *p) in found]
        val, test = (
            paired(*([100 * found[(name, *p)][key] for p in both] for name in (first, second)))
            for key in ("val", "test")
        )
        shown = _signed(val.difference), _signed(test.difference), f"{test.wins}, {test.losses}"
        rows.append([kind, str(len(both)), *shown])
    return markdown(rows)


def _regret(cells: Sequence[dict[str, Any]], best: dict[str, float]) -> str:
    shown = []
    for key, x in (("by_trials", "evaluations"), ("by_work", "trainings of every block")):
        for data, top in best.items():
            lines = {
                title: line(cells, name, data, key=key, column=VAL, best=top)
                for name, title in LINES.items()
            }
            shown.append(Panel(data, x, "regret, points", lines))
    return panels(shown, columns=len(best))


def _budgets(budgets: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
    shown = []
    ends = {
        "the best trial": End(SEARCHED[1], 1, 1),
        f"{USUAL} finalists race": End(SEARCHED[1], 1, USUAL),
        "three seeds a trial": End(SEARCHED[1], 3, 1),
    }
    for data in sets:
        lines = {
            name: budget_line(budgets, end, data, TRAININGS[end.repeats > 1 :])
            for name, end in ends.items()
        }
        x, y = "trainings, finalists included", "test accuracy, %"
        shown.append(Panel(data, x, y, lines, ticks=(10, 20, 50, 100, 200)))
    return panels(shown, columns=len(sets))


def _luck(benches: Sequence[LayerBench]) -> str:
    numbers = (1, 3, 10, 30, 100, 300)
    shown = []
    for bench in benches:
        found = after(grid_of(bench), numbers)
        lines = {
            title: [(float(n), found[n][key], found[n][key], found[n][key]) for n in numbers]
            for key, title in (
                ("seen", "validation, as seen"),
                ("val", "validation, other seeds"),
                ("test", "test, other seeds"),
            )
        }
        shown.append(Panel(bench.name, "policies tried", "accuracy, %", lines))
    return panels(shown, columns=len(benches))


def _mean(values: Sequence[tuple[str, float]]) -> str:
    """Over sets and searches; the interval is of the searches, not of the sets."""
    sets = sorted({data for data, _ in values})
    of = {data: np.array([value for other, value in values if other == data]) for data in sets}
    mean = float(np.mean([own.mean() for own in of.values()]))
    found = summary(np.concatenate([own - own.mean() + mean for own in of.values()]))
    if found.interval is None:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {(found.interval[1] - found.interval[0]) / 2:.1f}"


def _signed(found: Summary) -> str:
    if found.interval is None:
        return f"{found.mean:+.1f}"
    return f"{found.mean:+.1f} [{found.interval[0]:+.1f}, {found.interval[1]:+.1f}]"
