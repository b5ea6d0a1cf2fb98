"""Tables are made of the files of cells: means, spreads, the paper's numbers, what is missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cells import EXPERIMENT, places

from benchmarks.protocols import (
    TABLES,
    Cell,
    Table,
    latex,
    markdown_page,
    read_records,
)
from benchmarks.protocols.running import run
from benchmarks.protocols.table import grids

SMALLER = dataclasses.replace(
    EXPERIMENT, arms={k: v for k, v in EXPERIMENT.arms.items() if k != "hybrid"}, fractions=(1.0,)
)
TABLE = Table(
    name="trial",
    title="A trial_run",
    experiments={"small": SMALLER},
    values=("accuracy",),
    columns="data",
    spread="error",
    published={("set", "digits_cnn", "digits", 1.0, "accuracy"): 12.5},
    differences={"small": ("Nothing *differs*.",)},
)
Found = dict[Cell, dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("bench")
    assert run(SMALLER, list(SMALLER.cells()), places(folder))
    return read_records(SMALLER.cells(), folder / "results")


def accuracies(found: Found, arm: str) -> list[list[float]]:
    """Of each run, those of its final seeds."""
    return [
        [100 * seed["accuracy"] for seed in record["chosen"]["test"]]
        for cell, record in found.items()
        if cell.arm == arm
    ]


def test_a_cell_of_a_table_is_the_mean_over_runs_and_seeds_beside_the_papers(
    found: Found,
) -> None:
    runs = accuracies(found, "set")
    assert np.shape(runs) == (2, 2)
    values = np.mean(runs, axis=1)
    error = np.std(values, ddof=1) / np.sqrt(2)
    [grid] = grids(TABLE, "small", found)
    assert grid.header == ["method", "digits"]
    assert grid.rows[1] == ["set", f"{np.mean(values):.1f} ({error:.1f}) [12.5]"]
    deviations = dataclasses.replace(TABLE, spread="deviation", published={})
    [grid] = grids(deviations, "small", found)
    assert grid.rows[1] == ["set", f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"]
    one = {cell: record for cell, record in found.items() if cell.run == 0}
    [grid] = grids(deviations, "small", one)
    assert grid.rows[1][1] == f"{values[0]:.1f} ± {np.std(runs[0], ddof=1):.1f}"


def test_what_the_columns_do_not_show_has_a_grid_of_its_own() -> None:
    titles = [grid.title for grid in grids(TABLES["revo-table1"], "full", {})]
    assert len(titles) == 2 * 4
    assert titles[0] == "resnet18, busi, accuracy, %"
    [grid] = grids(TABLES["biotune-table3"], "full", {})
    assert grid.header == ["method", "balanced accuracy, %", "hours of search"]
    assert grid.rows[0] == ["10 % of the data in a generation", "– [90.46]", "–"]


def test_the_page_has_the_differences_the_origin_and_what_is_missing(found: Found) -> None:
    lacking = Cell("trial", "full", "digits_cnn", "elsewhere", 1.0, 0)
    page = markdown_page(TABLE, "small", found, {lacking: "data set elsewhere: expected x"})
    assert page.startswith("# A trial\\_run\n")
    assert "* Nothing \\*differs\\*." in page
    assert "(1 of them); the others are not" in page
    assert f"{len(found)} cells with 14 trials" in page
    assert "* 1 cells: data set elsewhere: expected x" in page
    assert "torch" in page


def test_latex_escapes_what_it_would_obey(found: Found) -> None:
    text = latex(dataclasses.replace(TABLE, spread="deviation"), "small", found)
    assert r"\caption{A trial\_run, accuracy, \%}" in text
    assert r"full\_tuned & " in text and r" $\pm$ " in text
    assert text.count(r"\begin{tabular}{lr}") == text.count(r"\end{tabular}") == 1


def test_a_damaged_file_is_named(found: Found, tmp_path: Path) -> None:
    cell, record = next(iter(found.items()))
    path = cell.file(tmp_path)
    path.parent.mkdir()
    path.write_text(json.dumps(record)[:-20])
    with pytest.raises(ValueError, match="cannot be read.*delete it to run it again"):
        read_records([cell], tmp_path)
    path.write_text(json.dumps({**record, "v": 99}))
    with pytest.raises(ValueError, match="version 99"):
        read_records([cell], tmp_path)
