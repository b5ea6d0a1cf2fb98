"""The page of the comparison is what its script makes of the committed cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.methods import page
from benchmarks.protocols import Cell, read_records
from benchmarks.protocols.experiments import Experiment
from benchmarks.protocols.table import Record

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = page.TABLE.experiments[page.SCALE]
CELLS = list(EXPERIMENT.cells())
FOUND = read_records(CELLS, ROOT / page.RESULTS)
FOUND_AT_LENGTH = read_records(page.LONG.cells(), ROOT / page.RESULTS)


def test_the_pages_and_their_picture_are_generated_from_the_committed_cells() -> None:
    found = page.complete(FOUND, EXPERIMENT)
    texts = [(ROOT / each).read_text(encoding="utf-8") for each in page.PAGES]
    at_length = page.complete(FOUND_AT_LENGTH, page.LONG)
    parts = page.sections(found, page.SCALE) | page.sections_at_length(found, at_length)
    assert page.made(texts, parts) == texts
    assert (ROOT / page.PICTURE).read_text(encoding="utf-8") == page.picture(found, EXPERIMENT)


@pytest.mark.parametrize(
    ("experiment", "found"), [(EXPERIMENT, FOUND), (page.LONG, FOUND_AT_LENGTH)]
)
def test_every_committed_cell_was_run_as_it_is_declared_now(
    experiment: Experiment, found: dict[Cell, Record]
) -> None:
    folder = ROOT / page.RESULTS / experiment.name
    assert {path.name for path in folder.glob("*.json")} == {f"{c.study}.json" for c in found}
    for cell, record in found.items():
        arm, settings = experiment.arms[cell.arm], record["settings"]
        assert arm.stored().items() <= settings.items(), cell
        assert len(record["trials"]["value"]) == record["search"]["trials"]


def test_a_set_that_one_method_lacks_is_left_out() -> None:
    assert page.complete({}, EXPERIMENT) == {}
    whole = page.complete({cell: {} for cell in CELLS}, EXPERIMENT)
    assert len(whole) == len(CELLS)
    lacking = page.complete({cell: {} for cell in CELLS[1:]}, EXPERIMENT)
    first = CELLS[0]
    assert len(lacking) == len(CELLS) - len(EXPERIMENT.arms)
    assert not [c for c in lacking if (c.data, c.fraction, c.run) == (
        first.data, first.fraction, first.run)]  # fmt: skip


def test_what_more_work_changes_needs_blocks_with_less() -> None:
    at_length = page.complete(FOUND_AT_LENGTH, page.LONG)
    assert page.sections_at_length({}, at_length)["more-work"]() == page.NOTHING
    found = {c: r for c, r in page.complete(FOUND, EXPERIMENT).items() if c.run == 0}
    shown = page.sections_at_length(found, at_length)["more-work"]()
    assert shown != page.NOTHING and shown.count("→") == 3 * len(page.LONG.arms)
