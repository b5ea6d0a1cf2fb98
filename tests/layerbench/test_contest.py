"""Contests: searches of a LayerBench, their standings, and the command that runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import RandomSampler
from typer.testing import CliRunner

from benchmarks.layerbench import contest, ranking
from benchmarks.layerbench.searches import contestant_of, run_cell
from benchmarks.protocols.__main__ import app
from optuna_layerwise.layerbench import LayerBench
from tests.layerbench.conftest import TABLES


def searched(bench: LayerBench, seed: int, mode: str = "batches") -> dict[str, Any]:
    return contest.search(
        bench, "binary", lambda _, s: RandomSampler(seed=s), seed=seed, trials=20, mode=mode
    )


@pytest.mark.parametrize("mode", ["batches", "workers"])
def test_a_search_is_repeatable_and_never_gets_worse_by_what_it_sees(
    bench: LayerBench, mode: str
) -> None:
    one, two = searched(bench, 3, mode), searched(bench, 3, mode)
    one.pop("ms"), two.pop("ms")
    assert one == two != searched(bench, 4, mode)
    seen = [judge[1] for judge in one["by_trials"]]
    assert [judge[0] for judge in one["by_trials"]] == [5, 10, 20]
    assert seen == sorted(seen)
    assert all(judge[2] <= bench.best() for judge in one["by_trials"])


@pytest.mark.parametrize("name", ["biotune/biotune", "catcmawm/profile"])
def test_known_recipes_are_the_first_trials_of_any_sampler(bench: LayerBench, name: str) -> None:
    found = {
        recipes: run_cell(
            (str(bench.path), f"{name}+recipes={recipes}", 5, 1, "batches", "accuracy")
        )["found"]
        for recipes in ("true", "false")
    }
    assert found["true"] == [1e-3] * 7 != found["false"]


def cell(name: str, seed: int, val: float) -> dict[str, Any]:
    judge = [[10, val + 0.02, val, val - 0.05]]
    return {"contestant": name, "set": "busi", "seed": seed, "by_trials": judge, "by_work": judge}


def test_standings_are_of_the_searches_that_all_contestants_have() -> None:
    cells = [cell("good", s, 0.78 + s / 1000) for s in range(6)]
    cells += [cell("middle", s, 0.75 + s / 1000) for s in range(5)]
    cells += [cell("bad", s, 0.70) for s in range(5)]
    found, ranked = ranking.standings(cells, {"busi": 0.8}, trials=10)
    assert [row.contestant for row in found] == ["good", "middle", "bad"]
    assert [row.rank for row in found] == [1.0, 2.0, 3.0]
    assert ranked is not None and ranked.n == 5
    assert found[2].regret["busi"].mean == pytest.approx(10.0)
    assert found[0].luck.mean == pytest.approx(2.0)
    assert found[2].test["busi"].mean == pytest.approx(65.0)
    by_work, _ = ranking.standings(cells, {"busi": 0.8}, work=10)
    assert [row.contestant for row in by_work] == ["good", "middle", "bad"]
    with pytest.raises(ValueError, match="no search of 200 evaluations in common"):
        ranking.standings(cells, {"busi": 0.8}, trials=200)


def test_a_contestant_names_its_sampler_encoding_and_options() -> None:
    encoding, settings = contestant_of("catcmawm/hybrid+surrogate=false", 7)
    assert (encoding, settings.sampler, settings.seed) == ("hybrid", "catcmawm", 7)
    assert settings.sampler_options == {"surrogate": False}
    assert not settings.seed_recipes
    assert contestant_of("catcmawm/hybrid+recipes=true", 0)[1].seed_recipes
    with pytest.raises(ValueError, match="a contestant is sampler/encoding"):
        contestant_of("catcmawm", 0)
    with pytest.raises(ValueError, match="got 'tpee'; did you mean 'tpe'"):
        contestant_of("tpee/binary", 0)


@pytest.mark.slow
def test_the_command_ranks_contestants_and_runs_nothing_twice(tmp_path: Path) -> None:
    output = tmp_path / "cells.jsonl"
    command = ["layerbench", "random/binary", "random/full", "biotune/biotune"]
    command += ["--tables", str(TABLES), "--set", "busi", "--trials", "10", "--seeds", "2"]
    command += ["--output", str(output)]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert "after 10 evaluations" in first.output
    assert "after the work of 5 full trainings" in first.output
    assert "after the work of 50" not in first.output
    lines = output.read_text().splitlines()
    assert len(lines) == 3 * 2
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0
    assert output.read_text().splitlines() == lines
    assert {json.loads(line)["contestant"] for line in lines} == set(command[1:4])


@pytest.mark.slow
def test_what_the_command_cannot_do_is_one_error(tmp_path: Path) -> None:
    def fails(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["layerbench", *arguments])
        assert result.exit_code != 0
        return str(result.exception)

    tables = ("--tables", str(TABLES))
    assert "there is no LayerBench in" in fails("--tables", str(tmp_path))
    assert "busi" in fails(*tables, "--set", "bussi")
    assert "mode" in fails(*tables, "--mode", "serial")
    assert "loss" in fails(*tables, "--metric", "loss")
    assert "--seeds must be at least 1, got 0" in fails(*tables, "--seeds", "0")
    (tmp_path / "cells.jsonl").write_text('{"contestant": ')
    torn = fails(*tables, "--output", str(tmp_path / "cells.jsonl"))
    assert "line 1 of" in torn and "delete it" in torn
    assert "a contestant is" in fails("tpe", *tables)
    assert "did you mean 'binary'" in fails("tpe/bynary", *tables)
    assert "cannot search categories" in fails("cmaes/binary", *tables)
