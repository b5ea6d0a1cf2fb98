"""The table of `searches.py`'s cells: contestants side by side, and what they were run with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OURS = "ours"
TITLES = {
    "biotune": "BioTune",
    "revo": "REVO binary, stages",
    "revo-layers": "REVO binary, layers",
}
RESAMPLES = 10_000
NOTE = (
    "Seconds in all: of these trials and of what comes before the first, which is listing or "
    "decoding the images and building the network. Of ours: divided by those of ours, above 1 is "
    "slower. Where a trial repeats the policy of an earlier one, ours takes over its result; a "
    "column leaves these out. The median is over trials, with its 95 % percentile bootstrap "
    f"interval ({RESAMPLES:,} resamples of trials). On a machine that does other work, too, CPU "
    "seconds tell more than seconds. FLOPs: of convolutions and linear maps, a multiplication and "
    "an addition each, in training and validation. An accuracy is of the validation split in the "
    "best epoch, and the same if it is to the last bit."
)
Values = NDArray[np.float64]


COLUMNS = [
    "set, search",
    "trains",
    "s before the first trial",
    "s in all",
    "CPU s in all",
    "TFLOP",
    "s, of ours",
    "CPU s, of ours",
    "without repeated policies",
    "CPU s, of ours, median trial",
    "trials with the accuracy of ours",
    "most points apart",
    "best accuracy, %",
]
HEAD = """# A search, ours against a user's scripts

The same trials, seeds and epochs. `naive`: decodes in every epoch, reads the weights in every
trial, gradients of everything. `careful`: images decoded once, weights in memory, no gradients
below the lowest trained block; on CUDA AMP and the fused optimizer."""


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    rows = [row for cell in cells for row in _rows(cell)]
    return "\n\n".join([HEAD, _markdown([COLUMNS, *rows]), NOTE, _origins(cells)]) + "\n"


def _rows(cell: Mapping[str, Any]) -> list[list[str]]:
    settings, trials, start = cell["settings"], cell["trials"], cell["start"]
    title = f"{settings['data']}, {TITLES[settings['search']]}"
    title += f", {settings['image_size']} px, {settings['device']}"

    def spent(name: str, key: str) -> Values:
        return np.array([trial[name][key] for trial in trials])

    def total(name: str, key: str, chosen: NDArray[np.bool_] | slice = slice(None)) -> float:
        return float(start[name][key] + spent(name, key)[chosen].sum())

    new = _first_of_its_policy(trials)
    rows = []
    for name in cell["contestants"]:
        ratios = spent(name, "cpu") / spent(OURS, "cpu")
        low, high = _interval(ratios)
        pairs = [(trial[name]["value"], trial[OURS]["value"]) for trial in trials]
        apart = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        rows.append(
            [
                title,
                name,
                f"{start[name]['wall']:.1f}",
                f"{total(name, 'wall'):.1f}",
                f"{total(name, 'cpu'):.1f}",
                f"{spent(name, 'gflop').sum() / 1e3:.2f}",
                f"{total(name, 'wall') / total(OURS, 'wall'):.2f}",
                f"{total(name, 'cpu') / total(OURS, 'cpu'):.2f}",
                f"{total(name, 'cpu', new) / total(OURS, 'cpu', new):.2f}",
                f"{np.median(ratios):.2f} [{low:.2f}, {high:.2f}]",
                f"{sum(a == b for a, b in pairs)} of {len(pairs)}",
                f"{100 * max(apart, default=math.nan):.1f}",
                f"{100 * max(value for value, _ in pairs if value is not None):.1f}",
            ]
        )
    return rows


def _first_of_its_policy(trials: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    policies = [tuple(trial["policy"].items()) for trial in trials]
    return np.array([policy not in policies[:k] for k, policy in enumerate(policies)])


def _interval(values: Values) -> tuple[float, float]:
    """95 % percentile bootstrap of the median."""
    rng = np.random.Generator(np.random.Philox(0))
    drawn = values[rng.integers(len(values), size=(RESAMPLES, len(values)))]
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def _origins(cells: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for cell in cells:
        settings, origin, trials = cell["settings"], cell["provenance"], cell["trials"]
        packages = ", ".join(f"{name} {v}" for name, v in origin["packages"].items() if v)
        repeats = int((~_first_of_its_policy(trials)).sum())
        again = sum(trial["searched"] == trial[OURS]["value"] for trial in trials)
        lines.append(
            f"* {settings['data']}, {TITLES[settings['search']]}, {settings['image_size']} px, "
            f"{settings['device']}: one in {settings['every']} of {settings['trials']} trials, "
            f"{settings['epochs']} epochs; {repeats} of these {len(trials)} repeat a policy, and "
            f"{again} have the value that they had in the search. {origin['device']}, threads: "
            f"{origin['threads']}; commit {str(origin['commit'])[:12]}"
            f"{' with changes' * bool(origin['dirty'])}; {packages}."
        )
    return "\n".join(lines)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", "---", *["---:"] * (len(rows[0]) - 2)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])
