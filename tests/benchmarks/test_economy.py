"""The benchmark of a race and of pruning, on searches that are made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.pruners import NopPruner

from benchmarks.training.economy import prunings, races, replay, report
from optuna_layerwise.samplers.pruning import GenerationPruner


def cell(gap: float) -> dict[str, Any]:
    """Four finalists that are alike, and one that is behind by ``gap`` on both splits."""
    rng = np.random.default_rng(0)

    def run(level: float) -> dict[str, Any]:
        accuracy = level + rng.normal(0, 0.01)
        return {"val": {"accuracy": accuracy, "loss": 1 - accuracy}, "test": {"accuracy": level}}

    return {
        "data": "made up",
        "images": [100, 50, 50],
        "finalists": [[run(0.8 - gap * (i == 2)) for _ in range(4)] for i in range(5)],
        "trials": [
            {"generation": i // 8, "curve": [(1 - i % 8 / 10) * e / 4 for e in range(1, 5)]}
            for i in range(24)
        ],
    }


def test_who_is_far_behind_costs_a_race_one_training_and_no_accuracy() -> None:
    trainings, same, gained = races(cell(gap=0.5), chance=0.1)
    assert trainings <= 13
    assert (same, gained) == (pytest.approx(1, abs=0.05), pytest.approx(0))


def test_a_careful_race_trains_more_and_misses_less() -> None:
    careful, eager = (races(cell(gap=0.02), chance) for chance in (1e-6, 0.4))
    assert careful[0] > eager[0]
    assert careful[1] > eager[1]


def test_pruning_saves_epochs_and_keeps_the_best_where_curves_do_not_cross() -> None:
    saved, lost, against_whole, against_paid_for = prunings(
        cell(gap=0), lambda: GenerationPruner(epochs=4)
    )
    assert 0.02 < saved < 0.2
    assert (lost, against_whole) == (0, 0)
    assert against_paid_for >= 0


def test_without_a_pruner_every_epoch_is_told() -> None:
    trials = cell(gap=0)["trials"]
    assert replay(trials, NopPruner()).tolist() == [4] * 24
    assert prunings(cell(gap=0), NopPruner) == (0, 0, 0, 0)


@pytest.mark.slow
def test_the_report_has_a_row_a_rule_and_says_how_many_searches_there_are() -> None:
    text = report([cell(gap=0.1), cell(gap=0.2)])
    assert "2 BioTune searches of 24 trials of 4 epochs" in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "%" in line]
    assert len(rows) == 3 + 4
    assert all(line.count("[") == line.count("]") >= 1 for line in rows)
