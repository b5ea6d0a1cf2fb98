"""What rules of economy save and lose, by replaying real searches: a race, and pruning.

`python -m benchmarks.training.economy` takes the searches of `benchmarks.training.curves`, which
stopped nothing early.

**Race.** Every ordered choice of three of the stored seeds is a race between the five finalists.
Its winner is compared with that of the same three seeds without dropping anybody, by the mean
test accuracy over the seeds that neither has used.

**Pruning.** The trials are told to a real study under a pruner, with the generation that they
had, in many orders within a generation. What is kept is compared with the unpruned search, and
with as many of its trials as the same work pays for. The search is not drawn again: what pruned
trials would have taught the sampler is left out.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import BasePruner, MedianPruner
from optuna.trial import TrialState
from scipy import stats

from benchmarks.records import read
from optuna_layerwise.objective.racing import CHANCE, still_in_the_race
from optuna_layerwise.samplers.pruning import GenerationPruner
from optuna_layerwise.storage import stored_trial, write_trial_record

Cell = dict[str, Any]
SEEDS = 3
CHANCES = (0.05, CHANCE, 0.2)
ORDERS = 30
"""Of the trials within their generations."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="X", type=Path)
    results = Path("benchmarks/results")
    add("--input", default=results / "curves.jsonl")
    add("--report", default=results / "economy.md")
    args = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    args.report.write_text(report(read(args.input)))


def report(cells: Sequence[Cell]) -> str:
    """Both tables, in Markdown."""
    epochs = len(cells[0]["trials"][0]["curve"])
    sets = ", ".join(sorted({f"{c['data']} ({c['images'][1]} validation images)" for c in cells}))
    pruners: dict[str, Callable[[], BasePruner]] = {
        "a generation's lowest quarter, after half of the epochs": partial(
            GenerationPruner, epochs=epochs
        ),
        "its lower half": partial(GenerationPruner, epochs=epochs, quantile=0.5),
        "its lowest quarter, after a third": partial(
            GenerationPruner, epochs=epochs, spared=1 / 3
        ),
        "Optuna's median of all trials": MedianPruner,
    }
    n, k = len(cells[0]["trials"]), len(cells[0]["finalists"])
    lines = [
        "# What a race of the finalists and pruning save and lose",
        "",
        f"Made by `python -m benchmarks.training.economy` from `curves.jsonl`: {len(cells)} "
        f"BioTune searches of {n} trials of {epochs} epochs with MobileNetV2 0.35 at 64 px on "
        f"{sets}. Means over the searches and, in brackets, 95 % intervals (t) of them; points "
        "are of accuracy.",
        "",
        f"## Race of {k} finalists over {SEEDS} seeds",
        "",
        f"| may still win with a chance of | trainings, of {k * SEEDS} | same winner as without | "
        "its test accuracy against that, points |",
        "| --- | --- | --- | --- |",
    ]
    for chance in CHANCES:
        rows = np.array([races(cell, chance) for cell in cells])
        name = f"{chance:.0%}" + (" (default)" if chance == CHANCE else "")
        lines.append(
            f"| {name} | {rows[:, 0].mean():.1f} | {rows[:, 1].mean():.0%} | "
            f"{_interval(100 * rows[:, 2])} |"
        )
    lines += [
        "",
        "## Pruning",
        "",
        "| pruned | epochs saved | the best trial is lost | best value against the whole search, "
        "points | against as many unpruned epochs, points |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, pruner in pruners.items():
        rows = np.array([prunings(cell, pruner) for cell in cells])
        lines.append(
            f"| {name} | {rows[:, 0].mean():.0%} | {rows[:, 1].mean():.0%} | "
            f"{_interval(100 * rows[:, 2])} | {_interval(100 * rows[:, 3])} |"
        )
    return "\n".join(lines) + "\n"


def races(cell: Cell, chance: float) -> tuple[float, float, float]:
    """Over all races: trainings, share with the same winner, and test accuracy gained."""
    metrics = [[(run["val"], run["test"]) for run in runs] for runs in cell["finalists"]]
    val, loss, test = (
        np.array([[run[split][name] for run in runs] for runs in metrics])
        for split, name in ((0, "accuracy"), (0, "loss"), (1, "accuracy"))
    )
    outcomes = []
    for order in itertools.permutations(range(val.shape[1]), SEEDS):
        seeds = list(order)
        winner, trainings = race(val[:, seeds], loss[:, seeds], chance)
        whole, _ = race(val[:, seeds], loss[:, seeds], 0.0)
        unused = np.delete(test, seeds, axis=1).mean(axis=1)
        outcomes.append((trainings, winner == whole, unused[winner] - unused[whole]))
    trainings, same, gained = np.mean(outcomes, axis=0)
    return float(trainings), float(same), float(gained)


def race(
    scores: NDArray[np.float64], losses: NDArray[np.float64], chance: float
) -> tuple[int, int]:
    """The winner among [k] finalists over [r] seeds, and the trainings; no chance: no race."""
    running, trainings = np.arange(len(scores)), 0
    for r in range(1, scores.shape[1] + 1):
        trainings += len(running)
        if chance and r < scores.shape[1]:
            so_far = scores[running, :r]
            running = running[still_in_the_race(so_far, scores.shape[1], chance=chance)]
    keys = [(-round(scores[i].mean(), 9), losses[i].mean(), i) for i in running]
    return int(min(keys)[2]), trainings


def prunings(cell: Cell, pruner: Callable[[], BasePruner]) -> tuple[float, float, float, float]:
    """Epochs saved, chance that the best is pruned, and the best value against two others."""
    trials, rng = cell["trials"], np.random.default_rng(0)
    value = np.array([max(trial["curve"]) for trial in trials])
    generation = np.array([trial["generation"] for trial in trials])
    outcomes = []
    for _ in range(ORDERS):
        order = np.lexsort((rng.random(len(trials)), generation))
        epochs = replay([trials[i] for i in order], pruner())
        whole = np.array([len(trials[i]["curve"]) for i in order])
        kept, saved = value[order][epochs == whole].max(), 1 - epochs.sum() / whole.sum()
        paid_for = rng.permutation(value)[: round(len(trials) * (1 - saved))].max()
        best = value.max()
        outcomes.append((saved, kept < best, kept - best, kept - paid_for))
    saved, lost, against_whole, against_paid_for = np.mean(outcomes, axis=0)
    return float(saved), float(lost), float(against_whole), float(against_paid_for)


def replay(trials: Sequence[dict[str, Any]], pruner: BasePruner) -> NDArray[np.int64]:
    """Epochs of each trial under a pruner, told in this order."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    epochs = []
    for stored in trials:
        trial, state = study.ask(), TrialState.COMPLETE
        write_trial_record(study, stored_trial(trial), {"generation": stored["generation"]})
        for epoch, accuracy in enumerate(stored["curve"]):
            trial.report(accuracy, epoch)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
        study.tell(trial, max(stored["curve"]) if state == TrialState.COMPLETE else None, state)
        epochs.append(epoch + 1)
    return np.array(epochs)


def _interval(values: NDArray[np.float64]) -> str:
    """Mean and 95 % interval over the searches."""
    mean, n = values.mean(), len(values)
    if n < 2:
        return f"{mean:+.2f}"
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


if __name__ == "__main__":
    main()
