"""LayerBench: real trainings where the table has them, measured errors where it has not."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import optuna
import pytest

from optuna_layerwise import Policy
from optuna_layerwise.encodings import ENCODINGS
from optuna_layerwise.layerbench import (
    FULL,
    GRID,
    SUFFIX,
    LayerBench,
    LayerBenchObjective,
    open_tables,
    read_table,
)
from optuna_layerwise.samplers import CatCMAwMSampler
from optuna_layerwise.samplers.pruning import GenerationPruner

HEAD_ONLY = 0.01


def policy_of(bench: LayerBench, row: int) -> Policy:
    rates = bench.table.rates[row] / bench.lr
    return Policy(dict(zip(bench.blocks, rates, strict=True)))


def test_the_committed_tables_hold_three_sets_with_the_whole_grid_of_three_seeds(
    benches: dict[str, LayerBench],
) -> None:
    assert set(benches) == {"busi", "citrus", "rsmas"}
    for bench in benches.values():
        assert set(bench.grid_seeds) == {0, 1, 2}
        table = bench.table
        points = table.where((table.kinds == "wide") | (table.kinds == "narrow"))
        assert len({rates.tobytes() for rates in points.rates}) >= 500
        cells = zip(table.rates, table.seeds, strict=True)
        assert len({(rates.tobytes(), seed) for rates, seed in cells}) == len(table)
        for seed in bench.grid_seeds:
            grid = table.where((table.kinds == "grid") & (table.seeds == seed))
            assert len({rates.tobytes() for rates in grid.rates}) == 64 * 5
        assert not bench.table.header["provenance"]["dirty"]
        assert len(bench.table.header["provenance"]["commit"]) == 40


def test_a_training_of_the_table_comes_back_as_it_was(bench: LayerBench) -> None:
    rng = np.random.default_rng(0)
    for row in rng.choice(len(bench.table), size=30, replace=False):
        seed = int(bench.table.seeds[row])
        found = bench.evaluate(policy_of(bench, row), seed=seed)
        assert found.source == "table"
        curve = bench.table.curves["val", "accuracy"][row]
        np.testing.assert_array_equal(found.val["accuracy"], curve)
        assert found.value() == curve.max()
        assert found.best_epoch == curve.argmax()
        assert found.work == pytest.approx(bench.table.work[row], rel=1e-4)


def test_work_is_what_the_builder_stored(bench: LayerBench) -> None:
    for row in range(0, len(bench.table), 23):
        work = bench.work_of(bench.table.rates[row])
        assert work == pytest.approx(bench.table.work[row], rel=1e-4)


def test_fewer_epochs_are_the_beginning_of_the_same_training(bench: LayerBench) -> None:
    policy = Policy.uniform(bench.blocks)
    whole, part = bench.evaluate(policy), bench.evaluate(policy, epochs=2)
    np.testing.assert_array_equal(part.val["loss"], whole.val["loss"][:2])
    assert part.work == pytest.approx(whole.work * 2 / 5)
    assert part.seconds < whole.seconds


def test_a_policy_between_the_rows_is_repeatable_and_its_noise_depends_on_the_seed(
    bench: LayerBench,
) -> None:
    policy = Policy(dict.fromkeys(bench.blocks, 1.234))
    one, same, other = (bench.evaluate(policy, seed=seed) for seed in (1, 1, 2))
    assert one.source == "surrogate"
    np.testing.assert_array_equal(one.val["accuracy"], same.val["accuracy"])
    assert (one.val["accuracy"] != other.val["accuracy"]).any()


def test_the_surrogates_noise_is_that_of_repeated_trainings(
    benches: dict[str, LayerBench],
) -> None:
    for bench in benches.values():
        table = bench.table
        real, drawn = [], []
        for number in range(0, len(table.policies[0]), 5):
            rows = np.flatnonzero(table.policies[1] == number)
            if len(rows) < 2:
                continue
            real.append(table.curves["val", "accuracy"][rows, -1].var(ddof=1))
            rates = table.policies[0][number]
            many = [bench.surrogate.sample(rates, seed)["val.accuracy"][-1] for seed in range(12)]
            drawn.append(np.var(many, ddof=1))
        assert 0.6 < np.sqrt(np.mean(drawn) / np.mean(real)) < 1.6


def test_the_surrogate_is_near_the_means_that_it_was_made_of(
    benches: dict[str, LayerBench],
) -> None:
    for bench in benches.values():
        policies, number = bench.table.policies
        rows = bench.table.curves["val", "accuracy"][:, -1]
        fine = np.isfinite(rows)
        means = np.bincount(number[fine], rows[fine]) / np.bincount(number[fine])
        said = bench.surrogate.mean(policies)["val.accuracy"][:, -1]
        assert np.corrcoef(means, said)[0, 1] > 0.9


def test_frozen_blocks_have_no_rate(bench: LayerBench) -> None:
    rates = np.array([[0.0, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3]])
    tiny = np.array([[1e-5, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3]])
    frozen, slow = (bench.mean_values(r)[0][0] for r in (rates, tiny))
    assert abs(frozen - slow) < 0.15  # alike, and yet not the same
    assert frozen != slow


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", [*ENCODINGS, GRID, FULL])
def test_every_encoding_is_an_objective(bench: LayerBench, name: str) -> None:
    objective = LayerBenchObjective(bench, name, seed=1)
    study = optuna.create_study(
        directions=objective.directions,
        sampler=CatCMAwMSampler(seed=0, encoding=objective.encoding),
        pruner=GenerationPruner(epochs=bench.epochs),
    )
    study.optimize(objective, n_trials=25)
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    assert len(done) >= 15
    for trial in done:
        assert trial.value == objective.evaluate(trial.params)
        assert len(trial.intermediate_values) == bench.epochs
        assert "olw:tie" in trial.user_attrs
        assert objective.duration(trial.params) > 0
    assert set(objective.search_space) == set(done[0].params)


def test_the_grids_objective_gives_real_trainings_alone(bench: LayerBench) -> None:
    objective = LayerBenchObjective(bench, GRID, seed=2)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=20)
    assert {objective.training(t.params).source for t in study.trials} == {"table"}


def test_a_loss_is_minimised(bench: LayerBench) -> None:
    objective = LayerBenchObjective(bench, "binary", metric="loss")
    assert objective.directions == [optuna.study.StudyDirection.MINIMIZE]
    params = dict.fromkeys(objective.search_space, True) | {"lr": 1e-3}
    assert objective.evaluate(params) == objective.training(params).val["loss"].min()
    assert objective.observe(params, 0)[0] == -objective.evaluate(params)


def test_wrong_questions_are_one_error(bench: LayerBench) -> None:
    full = Policy.uniform(bench.blocks)
    with pytest.raises(ValueError, match="expected the blocks"):
        bench.evaluate({"stem": 1.0, "head": 1.0})
    with pytest.raises(ValueError, match="always trains"):
        bench.evaluate({**full, "head": 0.0})
    with pytest.raises(ValueError, match="metric must be one of"):
        bench.evaluate(full, metric="acuracy")
    for epochs in (0, 9):
        with pytest.raises(ValueError, match=f"epochs must be 1 to 5, got {epochs}"):
            bench.evaluate(full, epochs=epochs)
    with pytest.raises(LookupError, match="no training of"):
        bench.evaluate(full, seed=77, source="table")


def test_what_is_no_table_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no LayerBench in"):
        open_tables(tmp_path)
    path = tmp_path / f"other{SUFFIX}"
    path.write_bytes(lzma.compress(b'{"format": 1, "recipe": {"epochs": 2}}\n'))
    with pytest.raises(ValueError, match="no header, or no rows"):
        read_table(path)
    path.write_bytes(lzma.compress(b'{"format": 1}\n{"rates": [0.1'))
    with pytest.raises(ValueError, match="line 2 of .* is not of a LayerBench"):
        read_table(path)
    path.write_bytes(lzma.compress(json.dumps({"format": 99}).encode()))
    with pytest.raises(ValueError, match="format 99, expected 1"):
        read_table(path)
    for content, said in {
        b'{"format": 1}\n' + b"[" * 10_000: "line 2 of .* is nested more than 100 levels deep",
        b'{"format": 1}\n[1, 2]': "has no header, or no rows|is no whole LayerBench",
        b'{"format": 1}\n{"rates": [0.1]}': "is no whole LayerBench: it lacks 'recipe'",
        b'{"format": 1, "recipe": {"epochs": 2}}\n{"rates": "x"}': "is no whole LayerBench",
        b'{"format": 1}\n\xff': "is not of a LayerBench",
    }.items():
        path.write_bytes(lzma.compress(content))
        with pytest.raises(ValueError, match=said) as error:
            read_table(path)
        assert str(path) in str(error.value)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"other.* is not of a LayerBench"):
        read_table(path)
