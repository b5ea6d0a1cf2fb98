"""The page of the comparison is what its script makes of the committed cells."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from benchmarks.methods import page
from optuna_layerwise.protocols import read_records

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = page.TABLE.experiments[page.SCALE]
CELLS = list(EXPERIMENT.cells())
FOUND = read_records(CELLS, ROOT / page.RESULTS)


def test_the_page_and_its_picture_are_generated_from_the_committed_cells() -> None:
    found = page.complete(FOUND, EXPERIMENT)
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    assert page.made(text, found, page.SCALE) == text
    assert (ROOT / page.PICTURE).read_text(encoding="utf-8") == page.picture(found, EXPERIMENT)


def test_every_committed_cell_was_run_as_it_is_declared_now() -> None:
    folder = ROOT / page.RESULTS / EXPERIMENT.name
    assert {path.name for path in folder.glob("*.json")} == {f"{c.study}.json" for c in FOUND}
    for cell, record in FOUND.items():
        arm, settings = EXPERIMENT.arms[cell.arm], record["settings"]
        declared = {**dataclasses.asdict(arm), "recipe": json.loads(arm.recipe.to_json())}
        del declared["title"]  # which may change
        assert json.loads(json.dumps(declared)).items() <= settings.items(), cell
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
