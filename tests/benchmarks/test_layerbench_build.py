"""The builder of LayerBench: its cells, its packing, and that it gives the same numbers again."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from benchmarks.layerbench import build, findings, pack, page
from benchmarks.layerbench.design import RATES, SEEDS, Cell, cells
from benchmarks.records import append, processor
from optuna_layerwise.layerbench import LayerBench, Table, open_tables
from optuna_layerwise.layerbench.bench import TABLES

pytestmark = pytest.mark.slow

SHARED = Path(__file__).resolve().parents[3] / "shared/data"


def test_the_plan_has_the_whole_grid_and_each_cell_once() -> None:
    plan = cells(7, RATES, SEEDS, 16)
    assert len(plan) == 64 * 5 * 3 + 2 * 16
    assert len({(cell.rates, cell.seed) for cell in plan}) == len(plan)
    assert all(cell.rates[-1] > 0 for cell in plan)
    grid = {cell.rates for cell in plan if cell.kind == "grid"}
    assert len(grid) == 320
    assert {max(rates) for rates in grid} == set(RATES)
    wide = np.array([cell.rates for cell in plan if cell.kind == "wide"])
    assert (wide[wide > 0] >= 1e-5).all() and (wide <= 1e-1).all()


@pytest.fixture(scope="module")
def benches() -> dict[str, LayerBench]:
    return open_tables(TABLES)


def data_is_here() -> bool:
    return (SHARED / "busi").is_dir()


def made_here(table: Table, row: int) -> bool:
    """Whether a row is of a machine and packages like these."""
    if table.made[row] < 0:
        return False
    made_with = table.provenances[table.made[row]]
    return (
        made_with["device"] == processor()
        and made_with["python"] == platform.python_version()
        and all(
            made_with["packages"][p] == metadata.version(p)
            for p in ("torch", "torchvision", "numpy")
        )
    )


@pytest.mark.skipif(not data_is_here(), reason="needs the shared images")
@pytest.mark.parametrize("name", ["busi", "citrus", "rsmas"])
def test_cells_that_are_trained_again_give_the_same(
    benches: dict[str, LayerBench], name: str
) -> None:
    """Bit for bit on the same machine and packages, elsewhere within the noise of a seed.

    Four rows that say what made them, and three that do not.
    """
    bench = benches[name]
    table = bench.table
    rng = np.random.default_rng(0)
    task = build.Task("mobilenet", name, bench.epochs, "cpu")
    known, unknown = np.flatnonzero(table.made >= 0), np.flatnonzero(table.made < 0)
    rows = [*rng.choice(known, 4, replace=False), *rng.choice(unknown, 3, replace=False)]
    for row in rows:
        cell = Cell(
            str(table.kinds[row]), tuple(map(float, table.rates[row])), int(table.seeds[row])
        )
        _, record = build.train((task, cell))
        for split in ("val", "test"):
            stored = table.curves[split, "accuracy"][row]
            if made_here(table, row):
                np.testing.assert_array_equal(record[split]["accuracy"], stored)
                loss = table.curves[split, "loss"][row]
                np.testing.assert_array_equal(record[split]["loss"], loss)
            else:
                spread = bench.surrogate_errors["deviation over seeds"][f"{split}.accuracy"]
                assert abs(record[split]["accuracy"][-1] - stored[-1]) < 5 * spread


def test_a_table_goes_on_elsewhere_and_names_both_but_not_with_another_recipe(
    benches: dict[str, LayerBench],
) -> None:
    header = dict(benches["busi"].table.header)
    elsewhere = {**header, "provenance": {**header["provenance"], "device": "another"}}
    build.refuse_another(elsewhere, [header])
    new = {k: v for k, v in elsewhere.items() if k != "more_provenance"}
    row = {"kind": "grid"}
    found = pack.attributed([header, row, {**row, "made": 1}, new, row])
    known = pack.makers([header, new])
    assert known[-1]["device"] == "another"
    assert found == [row, {**row, "made": 1}, {**row, "made": len(known) - 1}]
    with pytest.raises(ValueError, match=r"differs in \['recipe'\]"):
        build.refuse_another({**header, "recipe": {"epochs": 9}}, [header])


def test_packed_tables_say_the_same_as_raw_ones(
    benches: dict[str, LayerBench], tmp_path: Path
) -> None:
    table = benches["busi"].table
    raw = tmp_path / "raw/mobilenet-busi-5.jsonl"
    packed_only = ("surrogate", "best", "more_provenance")
    append(raw, {k: v for k, v in table.header.items() if k not in packed_only})
    rows = np.flatnonzero(table.seeds < 2)[::6]
    for row in rows:
        append(
            raw,
            {
                "kind": str(table.kinds[row]),
                "rates": table.rates[row].tolist(),
                "seed": int(table.seeds[row]),
                "train_loss": table.train_loss[row].tolist(),
                **{
                    split: {
                        m: table.curves[split, m][row].tolist()
                        for m in ("loss", "accuracy", "balanced_accuracy", "auc")
                    }
                    for split in ("val", "test")
                },
                "seconds": table.seconds[row].tolist(),
                "work": float(table.work[row]),
            },
        )
    pack.pack(raw, tmp_path / "mobilenet-busi-5.jsonl.xz")
    packed = LayerBench(tmp_path / "mobilenet-busi-5.jsonl.xz")
    assert len(packed.table) == len(rows)
    assert packed.table.made.tolist() == [0] * len(rows)
    assert packed.table.provenances == [table.header["provenance"]]
    assert packed.best() >= packed.mean_values(packed.table.policies[0])[0].max()
    assert packed.surrogate_errors["gaussian process"]["val.accuracy"]["spearman"] > 0.3


def test_shares_of_the_variance_find_the_parts_that_were_put_in() -> None:
    rng = np.random.default_rng(0)
    mask = rng.normal(0, 2, (200, 1, 1))
    rate = rng.normal(0, 1, (1, 200, 1))
    values = mask + rate + rng.normal(0, 1, (200, 200, 3))
    found = findings.shares(values)
    assert found["mask"] == pytest.approx(4 / 6, abs=0.07)
    assert found["rate"] == pytest.approx(1 / 6, abs=0.05)
    assert found["both"] == pytest.approx(0, abs=0.02)
    assert found["seed"] == pytest.approx(1 / 6, abs=0.03)


def test_luck_grows_with_the_number_of_policies_tried(benches: dict[str, LayerBench]) -> None:
    found = findings.after(findings.grid_of(benches["busi"]), (1, 30), repeats=400)
    assert abs(found[1]["luck"]) < 0.6
    assert found[30]["luck"] > found[1]["luck"] + 0.5
    assert found[30]["val"] > found[1]["val"]
    assert found[30]["kept"] > found[30]["test"] + 0.3, "some of it is the network's own"


def test_the_pages_are_what_the_committed_tables_make(benches: dict[str, LayerBench]) -> None:
    """Of the quick parts; the others are made by the same command."""
    texts = [path.read_text() for path in page.PAGES]
    parts = page.sections(list(benches.values()))
    quick = {
        n: parts[n] for n in ("tables", "choices", "shares-val", "noise", "transfer", "early")
    }
    assert page.made(texts, quick) == texts
    marks = re.findall(r"<!-- begin (.+) -->", "".join(texts))
    assert sorted(marks) == sorted(parts), "every part has its place"
