"""The sampling benchmark: its problems, and a tiny run with its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sampling import overhead, run, table
from benchmarks.sampling.ladder import ladder
from benchmarks.sampling.problems import LAYERS, N_IMAGES, PROBLEMS, Instance, observe, regret
from optuna_layerwise.samplers._codec import from_gene


def drawn(instance: Instance, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: from_gene(rng.random(), d) for name, d in instance.search_space.items()}


@pytest.mark.sweep(3)
@pytest.mark.parametrize("problem", PROBLEMS)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), point=st.integers(0, 2**31))
def test_regret_is_zero_at_the_optimum_and_nowhere_below(
    problem: str, seed: int, point: int
) -> None:
    instance = PROBLEMS[problem](seed)
    assert regret(instance, instance.optimum) == pytest.approx(0, abs=1e-6)
    params = drawn(instance, point)
    assert 0 <= regret(instance, params) <= 100 * instance.best
    assert instance.duration(params) > 0


@pytest.mark.sweep(3)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_seed_draws_an_instance(problem: str) -> None:
    make = PROBLEMS[problem]
    params = [drawn(make(0), k) for k in range(20)]

    def accuracies(seed: int) -> list[float]:
        return [make(seed).accuracy(p) for p in params]

    assert accuracies(0) == accuracies(0) != accuracies(1)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_observations_are_noisy_steps_of_one_image(problem: str) -> None:
    instance = PROBLEMS[problem](0)
    seen = [observe(instance, instance.optimum, np.random.default_rng(k)) for k in range(200)]
    values = np.array([value for value, _ in seen])
    assert np.allclose(values * N_IMAGES, np.round(values * N_IMAGES))
    assert abs(values.mean() - instance.best) < 0.005
    assert len(set(values)) < 15 < len({tie for _, tie in seen})


@pytest.mark.sweep(3)
@pytest.mark.parametrize("problem", sorted(LAYERS))
def test_the_ladder_has_ten_different_configurations_of_the_search_space(problem: str) -> None:
    instance = PROBLEMS[problem](0)
    configurations = ladder(instance)
    assert len({json.dumps(c, sort_keys=True) for c in configurations}) == 10
    for params in configurations:
        assert params.keys() == instance.search_space.keys()
        assert all(
            d._contains(d.to_internal_repr(params[name]))
            for name, d in instance.search_space.items()
        )


@pytest.mark.slow
def test_a_run_is_resumed_and_tabulated(tmp_path: Path) -> None:
    output = tmp_path / "sampling.jsonl"
    arguments = ["--problems", "threshold-6", "mixed-14", "--samplers", "ladder", "Random"]
    arguments += ["CmaEs", "CatCMAwM", "--trials", "20", "--output", str(output)]
    run.main([*arguments, "--seeds", "0"])
    first = output.read_text()
    run.main([*arguments, "--seeds", "0", "1"])
    cells = [json.loads(line) for line in output.read_text().splitlines()]
    assert output.read_text().startswith(first)
    assert len(cells) == 2 * 2 * (2 * 3 + 1)
    assert {tuple(c["regret"]) for c in cells} == {("10",), ("10", "20")}
    table.main([str(output), "--overhead", str(tmp_path / "none.jsonl")])
    text = output.with_suffix(".md").read_text()
    assert "| threshold-6 |" in text
    assert "## workers" in text
    assert "<polyline" in output.with_suffix(".svg").read_text()


def test_the_same_cell_twice_is_the_same() -> None:
    one, two = (run.run("mask-18", "CatCMAwM", "workers", 3, 40) for _ in range(2))
    assert one["regret"] == two["regret"]


def test_ratio_of_medians_has_an_interval_around_it() -> None:
    ours = np.random.default_rng(0).uniform(1, 2, 30)
    assert table.ratio(ours, 2 * ours) == pytest.approx((0.5, 0.5, 0.5))
    at, low, high = table.ratio(ours, ours[::-1])
    assert low < at < high


@pytest.mark.slow
def test_drift_runs_for_every_sampler_compared() -> None:
    neutral, loss = overhead.drift(overhead.RandomSampler(seed=0), 0, trials=60)
    assert 0.2 < neutral < 0.8
    assert loss > 0.01
