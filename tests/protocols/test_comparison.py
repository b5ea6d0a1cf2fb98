"""Statistics of a comparison: known answers."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.protocols import TABLES, Cell
from benchmarks.protocols.comparison import after, compare, incumbent
from benchmarks.protocols.findings import comparison_grids, standings_grid

ARMS = TABLES["methods"].experiments["small"].arms
SETS, RUNS = ("busi", "citrus", "rsmas"), (0, 1, 2)


def record(test: float, *, val: tuple[float | None, ...] = (0.5, 0.7, 0.6), images: int = 100,
           retrained: float = 0.65) -> dict[str, Any]:  # fmt: skip
    n = len(val)
    trials: dict[str, list[Any]] = {
        "value": list(val),
        "images": [images] * n,
        "seconds": [2.0] * n,
        "flops": [10] * n,
    }
    used = {name: sum(column) for name, column in trials.items() if name != "value"}
    trials["state"] = ["failed" if value is None else "complete" for value in val]
    return {
        "metric": "accuracy",
        "trials": trials,
        "search": {"trials": n, **used},
        "chosen": {"test": [{"accuracy": test}], "val": [{"accuracy": retrained}]},
    }


def cells(arm: str, offset: float, **others: Any) -> dict[Cell, dict[str, Any]]:
    return {
        Cell("e", arm, "net", data, 0.4, run): record(
            round(0.5 + 0.1 * i + 0.01 * run + offset, 6), **others
        )
        for i, data in enumerate(SETS)
        for run in RUNS
    }


FOUND = {**cells("full", 0.0), **cells("probe", 0.02), **cells("lora", -0.03, images=50)}


def test_a_constant_lead_is_the_difference_with_a_sure_sign_and_rank() -> None:
    found = compare(FOUND)
    assert [s.arm for s in found.standings] == ["probe", "full", "lora"]
    probe, full, lora = found.standings
    assert full.difference is None and full.p is None
    assert probe.difference is not None and lora.difference is not None
    assert probe.difference.difference.mean == pytest.approx(2)
    assert probe.difference.difference.interval == pytest.approx((2, 2))
    assert (probe.difference.wins, probe.difference.losses, probe.difference.effect) == (9, 0, 1)
    assert probe.p == pytest.approx(2 * 2 / 2**9), "two tests, of which Holm doubles the first"
    assert [s.rank for s in found.standings] == [1, 2, 3]
    assert found.ranking is not None and found.ranking.n == 9
    assert lora.work == 1 and lora.difference.effect == -1


def test_optimism_is_the_best_validation_less_the_test_and_the_gap_that_of_the_retrained() -> None:
    [full] = [s for s in compare(FOUND).standings if s.arm == "full"]
    assert full.optimism.mean == pytest.approx(70 - 61)
    assert full.gap.mean == pytest.approx(65 - 61)


def test_blocks_that_one_method_lacks_are_left_out_of_its_pairs_and_of_the_ranks() -> None:
    fewer = {c: r for c, r in FOUND.items() if not (c.arm == "lora" and c.data == "busi")}
    found = compare(fewer)
    by_name = {s.arm: s for s in found.standings}
    assert by_name["lora"].difference is not None and by_name["probe"].difference is not None
    assert by_name["lora"].difference.difference.n == 6
    assert by_name["probe"].difference.difference.n == 9
    assert found.ranking is not None and found.ranking.n == 6


def test_the_incumbent_is_the_best_within_the_budget_and_the_first_if_there_is_none() -> None:
    trials = record(0.5, val=(0.3, None, 0.9, 0.4))
    assert [incumbent(trials, "trials", n) for n in (0, 1, 2, 3, 9)] == [30, 30, 30, 90, 90]
    assert incumbent(trials, "images", 299) == 30 and incumbent(trials, "images", 300) == 90
    assert incumbent(trials, "seconds", 6.0) == 90


def test_a_trial_that_was_pruned_is_no_incumbent_since_it_cannot_be_chosen() -> None:
    trials = record(0.5, val=(0.3, 0.9, 0.4))
    trials["trials"]["state"][1] = "pruned"
    assert [incumbent(trials, "trials", n) for n in (1, 2, 3)] == [30, 30, 40]


def test_at_equal_images_who_needs_fewer_for_a_trial_has_tried_more() -> None:
    found = {
        **cells("full", 0.0, val=(0.5, 0.5, 0.5, 0.9)),
        **cells("lora", 0.0, val=(0.5, 0.6, 0.7, 0.8), images=50),
    }
    [at_half, at_all] = after(found, "images", (0.5, 1.0))["lora"]
    assert at_half.difference.mean == pytest.approx(30)
    assert at_all.difference.mean == pytest.approx(-10)
    [after_two] = after(found, "trials", (2,))["lora"]
    assert after_two.difference.mean == pytest.approx(10)


def test_without_the_reference_nothing_is_compared() -> None:
    with pytest.raises(ValueError, match="no result of 'full'"):
        compare(cells("probe", 0.0))


def test_tables_show_intervals_and_what_is_not_told_apart() -> None:
    first, *budgets, optimism = comparison_grids(FOUND, ARMS)
    assert first.rows[0][:4] == ["linear probe", "1.00", "63.0", "+2.0 (+2.0 to +2.0)"]
    assert "Nemenyi" in first.note
    assert [grid.title for grid in budgets] == ["equal trials", "equal images", "equal seconds"]
    assert len(optimism.rows) == 3
    few = standings_grid(compare({**cells("full", 0), **cells("probe", 0.1)}), ARMS)
    assert "Too few" in few.note
