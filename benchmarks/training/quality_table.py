"""The table of `quality.py`'s cells: `python -m benchmarks.training.quality --table`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.cost import training_flops

METRICS = {"balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
MARGIN = 1.0
"""Points by which ours may be worse."""
AIM = 1 / 20
"""Of the procedure's work."""
RESAMPLES = 10_000

Cell = Mapping[str, Any]
Flops = Mapping[str, float]
Published = Mapping[str, Cell]
Ours = Mapping[str, Sequence[Cell]]
Values = NDArray[np.float64]


def read(folder: Path) -> list[dict[str, Any]]:
    """The cells of a folder, by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def table(cells: Sequence[Cell]) -> str:
    """Markdown for the sets of which the procedure is done, and the seeds that ours has of all.

    Raises:
        ValueError: for cells of different settings, or fewer than one set and two seeds.
    """
    if any(cell["settings"] != cells[0]["settings"] for cell in cells):
        raise ValueError("the cells have different settings; give each settings a folder")
    published = {cell["data"]: cell for cell in cells if cell["method"] == "procedure"}
    found = {(cell["data"], cell["seed"]): cell for cell in cells if cell["method"] == "ours"}
    seeds = [s for s in sorted({s for _, s in found}) if all((d, s) in found for d in published)]
    if not published or len(seeds) < 2:
        raise ValueError(
            f"the procedure is done on {list(published) or 'no set'}, ours on all of them with "
            f"the seeds {seeds}; at least one set and two seeds are needed: run quality.py"
        )
    ours = {data: [found[data, seed] for seed in seeds] for data in published}
    parts = [_head(published, seeds), _curve(published, ours), _sets(published, ours)]
    parts += _notes([*published.values(), *itertools.chain(*ours.values())])
    timed = [cell for cell in cells if cell["method"] == "timing"]
    if timed:
        parts.insert(3, _timings(timed, published, ours))
    return "\n\n".join(parts) + "\n"


def work(flops: Flops, trainings: Iterable[Cell], *, cached: bool = True) -> float:
    """Floating-point operations of some trainings, with their validation.

    Args:
        flops: Of an image's forward pass, block to operations.
        trainings: As `quality.py` records them; without ``flops`` if they were run before the
            package counted them, and when it had no cache.
        cached: As they were run, or as if every block below the lowest trained one ran in each
            pass.
    """
    total = 0.0
    for training in trainings:
        if cached and "flops" in training:
            total += training["flops"]
        else:
            policy = dict(zip(flops, training["policy"], strict=True))
            total += training["images"] * training_flops(flops, policy)
            total += training["validation_images"] * sum(flops.values())
    return total


def trainings_of(cell: Cell, final: Cell | None = None) -> list[Cell]:
    """All that it took to come to a final choice (by default the last): search and finalists."""
    final = final or cell["finals"][-1]
    searched = [t for trial in cell["trials"][: final["trials"]] for t in trial["trainings"]]
    return [*searched, *final["trainings"]]


def tested(final: Cell, metric: str) -> Values:
    """Test results [seed] of the chosen finalist, in percent."""
    return 100 * np.array([test[metric] for test in final["chosen"]["test"]], dtype=float)


def difference(ours: Values, published: Values) -> tuple[float, float, float]:
    """Mean paired difference, and its 95 % interval.

    Percentile bootstrap over sets, in them our searches and, of either method, the trainings of
    what was chosen. The procedure's search stays as it is: it ran once a set.

    Args:
        ours: [set, search, training].
        published: [set, training].
    """
    rng = np.random.Generator(np.random.Philox(0))
    n_sets, n_searches, n_trainings = ours.shape
    sets = rng.integers(n_sets, size=(RESAMPLES, n_sets, 1, 1))
    searches = rng.integers(n_searches, size=(RESAMPLES, n_sets, n_searches, 1))
    trainings = rng.integers(n_trainings, size=(RESAMPLES, n_sets, n_searches, n_trainings))
    own = ours[sets, searches, trainings].mean(axis=(1, 2, 3))
    other = rng.integers(published.shape[1], size=(RESAMPLES, n_sets, published.shape[1]))
    drawn = own - published[sets[..., 0], other].mean(axis=(1, 2))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(ours.mean() - published.mean()), float(low), float(high)


def fixed_sets(ours: Values, published: Values) -> tuple[float, float]:
    """The 95 % interval of the same difference for these very sets: Welch's t over trainings.

    A search of ours is one value (the mean of its trainings); sets add their variances.
    """
    searches = ours.mean(axis=2)
    parts = np.concatenate(
        [
            searches.var(axis=1, ddof=1) / searches.shape[1],
            published.var(axis=1, ddof=1) / published.shape[1],
        ]
    )
    free = np.repeat([searches.shape[1] - 1, published.shape[1] - 1], len(ours))
    error = np.sqrt(parts.sum()) / len(ours)
    degrees = parts.sum() ** 2 / (parts**2 / free).sum() if parts.any() else np.inf
    half = float(stats.t.ppf(0.975, degrees) * error)
    at = float(ours.mean() - published.mean())
    return at - half, at + half


def _head(published: Published, seeds: Sequence[int]) -> str:
    settings = next(iter(published.values()))["settings"]
    return (
        "# Time to the quality of the published procedure\n\n"
        f"{settings['model']['name']} {settings['model']['args']['width_mult']}, "
        f"{settings['model']['image_size']} px, at most {settings['epochs']} epochs, on "
        f"{', '.join(published)}. The procedure (BioTune, `--preset paper`) ran once a set, ours "
        f"{len(seeds)} times, on the same split. Work: floating-point operations of all trainings "
        "of a search and of its finalists, validation included, as a share of the procedure's on "
        "the same set; means over sets and searches."
    )


def _curve(published: Published, ours: Ours) -> str:
    head = ["ours: trials, finalists", "work, %", "without prefix cache, %", "CPU seconds, %"]
    for name in METRICS.values():
        head += [f"test {name} minus the procedure's", "these sets alone"]
    lines, bounds, works = [head], [], []
    for k, (trials, top) in enumerate(_budgets(ours)):
        shares = [
            _shares(cell, cell["finals"][k], published[data])
            for data, cells in ours.items()
            for cell in cells
        ]
        share = np.mean(shares, axis=0)
        line = [f"{trials}, {top}", *(f"{100 * value:.1f}" for value in share)]
        works.append(f"{counted(trials)}, {100 * share[0]:.1f} % of the work,")
        bounds.append([])
        for metric in METRICS:
            own = np.array([[tested(c["finals"][k], metric) for c in of] for of in ours.values()])
            other = np.array([tested(published[data]["finals"][0], metric) for data in ours])
            at, low, high = difference(own, other)
            narrow = fixed_sets(own, other)
            line.append(f"{at:+.1f} [{low:+.1f}, {high:+.1f}]")
            line.append(f"[{narrow[0]:+.1f}, {narrow[1]:+.1f}]")
            bounds[-1].append(low)
        lines.append(line)
    words = []
    for name, lows in zip(METRICS.values(), zip(*bounds, strict=True), strict=True):
        failed = [k for k, low in enumerate(lows) if low <= -MARGIN]
        first = failed[-1] + 1 if failed else 0
        reached = f"from {works[first]} on" if first < len(works) else "at no budget that was run"
        words.append(f"* Test {name}: the lower bound is above -{MARGIN:.0f} point {reached}.")
    words.append(f"* Aim: at most {100 * AIM:.0f} % of the work.")
    return "\n".join(words) + "\n\n" + markdown(lines)


def _budgets(ours: Ours) -> list[tuple[int, int]]:
    return [(final["trials"], final["top"]) for final in next(iter(ours.values()))[0]["finals"]]


def _shares(ours: Cell, final: Cell, published: Cell) -> list[float]:
    """Work, work without the cache and CPU seconds, of the procedure's."""
    costs = []
    for trainings in (trainings_of(ours, final), trainings_of(published)):
        works = [work(ours["flops"], trainings, cached=cached) for cached in (True, False)]
        costs.append([*works, sum(t["cpu_seconds"] for t in trainings)])
    return [own / whole for own, whole in zip(*costs, strict=True)]


def _sets(published: Published, ours: Ours) -> str:
    metric, name = next(iter(METRICS.items()))
    head = ["data", "procedure: trainings", "TFLOP", "CPU s", f"test {name}, %"]
    head += ["full fine-tuning, its recipe", *(f"ours, {counted(n)}" for n, _ in _budgets(ours))]
    lines = [head]
    for data, cell in published.items():
        trainings, [final] = trainings_of(cell), cell["finals"]
        line = [data, f"{len(trainings)}"]
        line.append(f"{work(ours[data][0]['flops'], trainings) / 1e12:.1f}")
        line.append(f"{sum(t['cpu_seconds'] for t in trainings):,.0f}")
        line.append(spread(tested(final, metric)))
        full = next(b for b in final["baselines"] if b["name"] == BASELINES["full"].title)
        line.append(spread(tested({"chosen": full}, metric)))
        for k in range(len(_budgets(ours))):
            own = [tested(c["finals"][k], metric).mean() for c in ours[data]]
            line.append(spread(np.array(own)))
        lines.append(line)
    return markdown(lines) + (
        "\n\n±: standard deviation, of the procedure's over the trainings of what it chose, of "
        "ours over searches, each the mean of its trainings. One trial of ours is full "
        "fine-tuning with our recipe."
    )


def _timings(timed: Sequence[Cell], published: Published, ours: Ours) -> str:
    budgets = [f"ours, {counted(n)}: time, %" for n, _ in _budgets(ours)]
    lines = [["data", "procedure: CPU s a TFLOP", "ours: CPU s a TFLOP", *budgets]]
    for cell in timed:
        data, flops = cell["data"], cell["flops"]
        if data not in published:
            continue
        rates = []
        for method in ("procedure", "ours"):
            runs = cell["runs"][method]
            rates.append(sum(run["cpu_seconds"] for run in runs) / work(flops, runs))
        total = rates[0] * work(flops, trainings_of(published[data]))
        line = [data, *(f"{1e12 * rate:.2f}" for rate in rates)]
        for k in range(len(budgets)):
            works = [work(flops, trainings_of(c, c["finals"][k])) for c in ours[data]]
            line.append(f"{100 * rates[1] * np.mean(works) / total:.1f}")
        lines.append(line)
    return markdown(lines) + (
        "\n\nTime: the work above with the seconds of a unit of it, from "
        f"{len(timed[0]['runs']['ours'])} trainings of each method, by turns, of policies that it "
        "searched."
    )


def _notes(cells: Sequence[Cell]) -> list[str]:
    tests = dict.fromkeys(f"{cell['data']} {cell['images'][2]}" for cell in cells)
    return [
        "Brackets: 95 % percentile bootstrap over sets, in them our searches and, of either "
        f"method, the trainings of what it chose ({RESAMPLES:,} resamples), paired by set, in "
        "percentage points; beside it a t interval (Welch) for these sets alone. Both leave out "
        "that the procedure's search ran once a set, so that its luck counts as its quality, and "
        f"that the test splits are small (images: {', '.join(tests)}); the first has few sets to "
        "draw from.",
        "The procedure's best finalist was chosen by validation, as ours, and not by the test as "
        "published. Its recipe is made for 30 epochs: half the data in batches of 96 are few "
        "steps in so short trainings, which full fine-tuning with its recipe shows.",
        "Prefix cache: blocks below the lowest trained one run once for each image; the procedure "
        "can have none, since its BatchNorm is in train mode. CPU seconds are those of cores that "
        "other processes shared.",
        *origins(cells),
    ]


def origins(cells: Iterable[Cell]) -> list[str]:
    """What the cells were run with, each once."""
    lines = {}
    for origin in (cell["provenance"] for cell in cells):
        packages = ", ".join(f"{name} {v}" for name, v in origin["packages"].items() if v)
        dirty = " with changes" if origin["dirty"] else ""
        lines[f"{origin['device']}; commit {origin['commit']}{dirty}; {packages}."] = None
    return [*lines]


def counted(trials: int) -> str:
    """In words."""
    return f"{trials} trial{'s' if trials > 1 else ''}"


def spread(values: Values) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{deviation}"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text."""
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
