"""The table of `busi.py`'s results, in Markdown beside them: `python benchmarks/table.py`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from records import read

METHODS = {
    "biotune": "BioTune search",
    "full tuned": "full fine-tuning, tuned",
    "probe tuned": "linear probe, tuned",
}
METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
RESAMPLES = 10_000
ENOUGH = 6  # splits; of fewer, even all on one side would not reach 5 % in a sign test
Values = NDArray[np.float64]
Interval = Callable[[Values], tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Row:
    """A method over the splits.

    Args:
        title: Of the method.
        finalists: Per split all that were retrained; the first was chosen and tested.
        searches: One a split; none for a baseline that is not tuned.
    """

    title: str
    finalists: list[list[dict[str, Any]]]
    searches: list[dict[str, Any]]

    @property
    def chosen(self) -> list[dict[str, Any]]:
        """What was tested, one a split."""
        return [finalists[0] for finalists in self.finalists]

    def scores(self, metric: str, part: str = "test") -> Values:
        """[split, seed] in percent."""
        return 100 * np.array([[s[metric] for s in c[part]] for c in self.chosen], dtype=float)


def table(cells: Sequence[dict[str, Any]]) -> str:
    """Markdown for the splits of which every method is done.

    Raises:
        ValueError: if there is no such split, or the cells are of different settings.
    """
    by_cell = {(cell["split"], cell["method"]): cell for cell in cells}
    splits = sorted({s for s, _ in by_cell if all((s, m) in by_cell for m in METHODS)})
    if not splits:
        raise ValueError(f"no split has all of {list(METHODS)}; run benchmarks/busi.py to its end")
    settings = cells[0]["settings"]
    if any(cell["settings"] != settings for cell in cells):
        raise ValueError("the cells have different settings; give each settings a file")
    used = {method: [by_cell[split, method] for split in splits] for method in METHODS}
    rows = [
        Row(
            METHODS[method],
            [cell["finalists"] for cell in of],
            [cell["search"] for cell in of],
        )
        for method, of in used.items()
    ]
    references = [cell["references"] for cell in used["biotune"]]
    for same in zip(*references, strict=True):
        title = f"{same[0]['name']}, recipe's rate"
        rows.append(Row(title, [[candidate] for candidate in same], []))
    interval = bootstrap(len(splits), len(settings["seeds"]))
    parts = [
        _words(rows, interval, settings),
        _results(rows, interval, settings["recipe"]["metric"]),
        _differences(rows, interval),
        _work(rows),
        _notes(splits, settings, [cell for of in used.values() for cell in of]),
    ]
    return "\n\n".join(parts) + "\n"


def bootstrap(n_splits: int, n_seeds: int) -> Interval:
    """A function from values [split, seed] to the 95 % percentile interval of their mean.

    Draws splits with replacement, and in each drawn split seeds with replacement; the same
    draws for all values, so that the interval of a difference of two methods is paired.
    """
    rng = np.random.Generator(np.random.Philox(0))
    splits = rng.integers(n_splits, size=(RESAMPLES, n_splits, 1))
    seeds = rng.integers(n_seeds, size=(RESAMPLES, n_splits, n_seeds))

    def interval(values: Values) -> tuple[float, float]:
        low, high = np.percentile(values[splits, seeds].mean(axis=(1, 2)), [2.5, 97.5])
        return float(low), float(high)

    return interval


def _words(rows: Sequence[Row], interval: Interval, settings: dict[str, Any]) -> str:
    ours, *tuned = rows[: len(METHODS)]
    n, k = ours.scores("accuracy").shape
    text = (
        f"# {ours.title} and baselines tuned with the same work\n\n"
        f"{settings['model']['name']} on {settings['data']}, "
        f"{settings['model']['image_size']} px. {ours.title}: {settings['trials']} trials of at "
        f"most {settings['recipe']['epochs']} epochs. Tuned: learning rate and weight decay by "
        "TPE, until as many training images were seen. n = "
        f"{n} splits of the data, with {k} trainings of what each method chose.\n"
    )
    for rival in tuned:
        for metric, name in METRICS.items():
            difference = ours.scores(metric) - rival.scores(metric)
            low, high = interval(difference)
            verdict = "higher" if low > 0 else "lower" if high < 0 else "not told apart"
            wins = int((difference.mean(axis=1) > 0).sum())
            text += (
                f"\n* Test {name}, {ours.title} against {rival.title}: "
                f"{estimate(difference, interval, '+')} points, higher in {wins} of {n} splits: "
                f"{verdict if n >= ENOUGH else 'too few splits to tell'}."
            )
    return text


def _results(rows: Sequence[Row], interval: Interval, metric: str) -> str:
    table = [["method", *(f"test {name}, %" for name in METRICS.values())]]
    table[0] += [f"{METRICS[metric]}, validation minus test", "trained parameters, %"]
    for row in rows:
        scores = [estimate(row.scores(name), interval) for name in METRICS]
        gap = (row.scores(metric, "val") - row.scores(metric)).mean()
        share = 100 * np.mean([c["trained_share"] for c in row.chosen])
        table.append([row.title, *scores, f"{gap:+.1f}", f"{share:.1f}"])
    return markdown(table)


def _differences(rows: Sequence[Row], interval: Interval) -> str:
    rivals = rows[1 : len(METHODS)]
    pairs = [(rival, metric) for rival in rivals for metric in METRICS]
    table = [["method", *(f"{METRICS[m]} minus that of {rival.title}" for rival, m in pairs)]]
    for row in rows:
        differences = [
            "" if rival is row else estimate(row.scores(m) - rival.scores(m), interval, "+")
            for rival, m in pairs
        ]
        table.append([row.title, *differences])
    return markdown(table)


def _work(rows: Sequence[Row]) -> str:
    table = [["method", "search: trials", "search: images", "search: seconds"]]
    table[0] += ["finalists: images", "finalists: seconds"]
    for row in rows:
        keys = ("trials", "images_seen", "seconds")
        search = [_mean(s[key] for s in row.searches) if row.searches else "" for key in keys]
        final = [_mean(sum(c[key] for c in f) for f in row.finalists) for key in keys[1:]]
        table.append([row.title, *search, *final])
    return markdown(table)


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text."""
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [table[0], rule, *table[1:]])


def estimate(values: Values, interval: Interval, sign: str = "") -> str:
    """The mean and its interval."""
    low, high = interval(values)
    return f"{values.mean():{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def _mean(values: Iterable[float]) -> str:
    return f"{np.mean(list(values)):,.0f}"


def _notes(splits: Sequence[int], settings: dict[str, Any], cells: list[dict[str, Any]]) -> str:
    notes = [
        "Brackets: 95 % percentile bootstrap over splits and, within them, training seeds "
        f"({RESAMPLES:,} resamples), paired for differences, in percentage points. Each split had "
        "one search, with a seed of its own, so the interval covers the luck of the search with "
        "that of the split. The splits divide the same images, so it says nothing of other data."
        + (" From so few splits it is too narrow." if len(splits) < 10 else ""),
        "Images: training images that went forward and backward, mean per split, whatever was "
        "frozen; a linear probe's image is cheaper than a full one. Seconds: wall time of the "
        "search, and of the trainings of the finalists. Each method's own finalists were chosen "
        "by validation, and only that choice was tested.",
        f"Splits {list(splits)}; recipe {json.dumps(settings['recipe'])}.",
        *origins(cells),
    ]
    return "\n\n".join(notes)


def origins(cells: Iterable[dict[str, Any]]) -> list[str]:
    """What the cells were run with, each once."""
    lines = {}
    for origin in (cell["provenance"] for cell in cells):
        dirty = " with changes" if origin["dirty"] else ""
        packages = ", ".join(f"{name} {v}" for name, v in origin["packages"].items() if v)
        lines[f"{origin['device']}; commit {origin['commit']}{dirty}; {packages}."] = None
    return [*lines]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", nargs="?", type=Path, default=Path("benchmarks/results/busi.jsonl")
    )
    results = parser.parse_args().results
    output = results.with_suffix(".md")
    output.write_text(table(read(results)))
    print(f"wrote {output}")
