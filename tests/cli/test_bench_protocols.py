"""``bench`` and a table: what is missing is named, what can be run is, the table is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Cli

from benchmarks.protocols import TABLES
from benchmarks.protocols.__main__ import app
from optuna_layerwise.cli.app import run
from optuna_layerwise.cli.options import STORAGE_VARIABLE, console

PAPERS = [name for name in TABLES if name != "methods"]


@pytest.fixture
def bench(calling: Callable[[Callable[[], object]], Cli]) -> Cli:
    """``python -m benchmarks.protocols``."""
    return calling(lambda: run(app))


@pytest.mark.sweep
@pytest.mark.parametrize("table", PAPERS)
def test_the_full_scale_starts_and_says_what_is_missing(
    bench: Cli, table: str, tmp_path: Path
) -> None:
    code, said, errors = bench(table, "--scale", "full")
    assert code == 0, errors
    assert "missing: weights of" in said and "0 to run" in said
    page = (tmp_path / f"bench-results/{table}-full.md").read_text()
    assert "because something is missing here" in page
    assert "No cell has been run" in page
    assert (tmp_path / f"bench-results/{table}-full.tex").read_text().count("tabular") >= 2


@pytest.mark.slow
def test_a_small_table_without_its_data_is_rehearsed_on_the_digits(
    cli: Cli, bench: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("biotune-table1", "--method", "probe")
    code, said, errors = bench(*command)
    assert code == 0, errors
    assert "missing: data set" not in said.splitlines()[-1] and "--scale digits" in said
    assert "1 cells: 1 to run" in said and "balanced_accuracy" in said
    page = (tmp_path / "bench-results/biotune-table1-digits.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| linear probe")]
    assert "(" in row, "three trainings have a standard error"
    monkeypatch.setenv(STORAGE_VARIABLE, "sqlite:///optuna-layerwise-bench.db")
    monkeypatch.setattr(console, "width", 80)
    name = "biotune-small-digits.digits_cnn.digits.100%.probe.0"
    code, said, _ = cli("status")
    assert code == 0
    assert "".join(line[:18].strip() for line in said.splitlines()[-3:]) == name
    code, said, errors = cli("report", "--study", name)
    assert code == 0 and "wrote" in said, errors
    code, said, _ = bench(*command, "--table-only")
    assert code == 0 and "to run" not in said
    code, said, _ = bench(*command)
    assert "1 cells: 0 to run" in said


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--scale", "huge", "--scale must be one of"),
        ("--method", "magic", "--method must be one of full, probe"),
        ("--set", "pets", "--set must be one of digits"),
        ("--runs", "0", "--runs must be at least 1"),
        ("--processes", "0", "--processes must be at least 1"),
        ("--compute", "speed=9", "unknown --compute settings"),
    ],
)
def test_a_mistake_is_one_line(bench: Cli, option: str, value: str, message: str) -> None:
    code, _, errors = bench("methods", "--scale", "digits", option, value)
    assert code == 2 and message in errors and errors.count("\n") == 1
