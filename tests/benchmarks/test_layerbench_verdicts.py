"""What contests and budgets of LayerBench say: the arithmetic, the pictures, what is committed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.layerbench import budget, contests, page, page_contests
from benchmarks.layerbench.design import CONTESTS
from benchmarks.layerbench.figure import Panel, panels, ranks
from benchmarks.layerbench.searches import CONTESTANTS, run_cell
from benchmarks.layerbench.verdicts import TEST, VAL, End, Pair, budget_line, difference, line
from benchmarks.records import processor, read
from optuna_layerwise.layerbench import LayerBench, open_tables
from optuna_layerwise.layerbench.bench import TABLES

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def benches() -> dict[str, LayerBench]:
    return open_tables(ROOT / TABLES)


def cell(name: str, seed: int, val: float, test: float) -> dict[str, Any]:
    judges = [[n, val + 0.1, val + n / 1000, test] for n in (10, 20)]
    return {"contestant": name, "set": "s", "seed": seed, "by_trials": judges, "by_work": judges}


def test_a_difference_is_over_the_searches_that_both_have() -> None:
    cells = [cell("new", s, 0.70 + s / 100, 0.8) for s in range(4)]
    cells += [cell("old", s, 0.68 + s / 100, 0.8) for s in range(3)]
    pair = Pair("?", "new", "old")
    found, wins, losses = difference(cells, pair, key="by_trials", at=20, column=VAL)
    assert found.n == 3 and found.mean == pytest.approx(2.0)
    assert (wins, losses) == (3, 0)
    found, wins, losses = difference(cells, pair, key="by_work", at=20, column=TEST)
    assert (found.mean, wins, losses) == (0.0, 0, 0)


def test_a_line_ends_where_not_all_searches_got_to() -> None:
    cells = [cell("one", s, 0.5, 0.6) for s in range(3)]
    cells[2]["by_work"] = cells[2]["by_work"][:1]
    whole = line(cells, "one", "s", key="by_trials", column=VAL, best=0.6)
    assert [point[0] for point in whole] == [10, 20]
    assert whole[1][1] == pytest.approx(100 * (0.6 - 0.52))
    assert [point[0] for point in line(cells, "one", "s", key="by_work", column=VAL)] == [10]


def test_a_race_drops_who_is_clearly_behind_and_keeps_who_is_level() -> None:
    assert budget.raced(np.full((3, 3), 0.8)).tolist() == [3, 3, 3]
    apart = np.array([[0.9, 0.9, 0.9], [0.89, 0.9, 0.9], [0.5, 0.5, 0.5], [0.89, 0.91, 0.9]])
    runs = budget.raced(apart)
    assert runs[2] == 1 and runs[0] == 3


def test_trainings_of_finalists_are_none_of_the_search() -> None:
    searched = {s for seed in range(100) for s in budget.seeds_of(seed, 3)}
    finals = {s for seed in range(100) for s in budget.seeds_of(seed, 3, final=True)}
    assert not searched & finals
    assert len(searched) == 300


def test_the_line_of_a_budget_counts_the_trainings_of_finalists() -> None:
    cells = [
        {"contestant": "a", "repeats": 1, "set": "s", "seed": seed, "after": rows}
        for seed, rows in enumerate([[[10, 3, 7, 9.0, 0.7, 0.8]], [[10, 3, 9, 9.0, 0.7, 0.6]]])
    ]
    (at, mean, *_), *others = budget_line(cells, End("a", 1, 3), "s", [10])
    assert not others and (at, mean) == (18.0, pytest.approx(70.0))


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_search_is_ended_after_each_budget(repeats: int) -> None:
    path = str(ROOT / TABLES / "mobilenet-busi-5.jsonl.xz")
    found = budget.run_cell((path, "random/profile", repeats, 3))
    ends = {(n, k): rest for n, k, *rest in found["after"]}
    assert set(ends) == {(n, k) for n in budget.TRAININGS for k in budget.FINALISTS}
    for (n, k), (more, work, val, test) in ends.items():
        assert (more == 0) == (k == 1) and more <= 3 * k
        assert work <= n + more and 0 < val < 1 and 0 < test < 1
    works = [ends[n, 1][1] for n in budget.TRAININGS]
    assert works == sorted(works)


def test_pictures_are_xml_with_a_line_for_each_contestant() -> None:
    points = [(10.0, 5.0, 4.0, 6.0), (100.0, 2.0, 1.0, 3.0)]
    drawn = ElementTree.fromstring(
        panels([Panel("p", "x", "y", {"a": points, "b": points[:1]})] * 2, columns=2)
    )
    assert len(list(drawn.iter(f"{SVG}polyline"))) == 4
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"a", "b", "p", "x", "y"} <= set(texts)
    width = float(drawn.attrib["width"])
    for polygon in drawn.iter(f"{SVG}polygon"):
        for pair in polygon.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 < x < width and 0 < y < float(drawn.attrib["height"])
    ranked = ElementTree.fromstring(ranks({"t": ({"a": 1.2, "b": 1.8}, 0.5)}))
    first, second = (float(dot.attrib["cx"]) for dot in ranked.iter(f"{SVG}circle"))
    assert first < second


@pytest.mark.sweep
@pytest.mark.parametrize("name", sorted(contests.ALL))
def test_committed_contests_are_whole(name: str) -> None:
    cells = read(ROOT / CONTESTS / f"{name}.jsonl")
    contest = contests.ALL[name]
    found = {(c["contestant"], c["set"], c["seed"]) for c in cells}
    sets = ("busi", "citrus", "rsmas")
    seeds = range(contest.seeds)
    assert len(found) == len(cells)
    assert found == {(c, s, seed) for c in contest.contestants for s in sets for seed in seeds}
    assert {c["mode"] for c in cells} == {contest.mode}
    made = [m for m in read(ROOT / CONTESTS / "provenance.jsonl") if m["contest"] == name]
    assert sum(m["searches"] for m in made) == len(cells)
    assert not any(m["dirty"] for m in made)


def test_the_main_contest_is_the_commands_own_with_50_searches_a_set() -> None:
    assert contests.ALL["main"] == contests.Contest(CONTESTANTS, 50)


def test_every_question_has_its_searches() -> None:
    cells = [c for n in ("main", "variants") for c in read(ROOT / CONTESTS / f"{n}.jsonl")]
    for pair in page_contests.PAIRS:
        found, *_ = difference(cells, pair, key="by_trials", at=100, column=TEST)
        assert found.n >= 90, pair


@pytest.mark.slow
def test_searches_of_the_committed_contests_come_out_the_same_again() -> None:
    """Bit for bit on the same machine and packages; elsewhere a search may go another way."""
    made = read(ROOT / CONTESTS / "provenance.jsonl")[0]
    here = {p: metadata.version(p) for p in ("optuna", "numpy")}
    if made["device"] != processor() or not made["packages"].items() >= here.items():
        pytest.skip("the contests were run on another processor, or with other packages")
    cells = [c for c in read(ROOT / CONTESTS / "main.jsonl") if "tpe" not in c["contestant"]]
    rng = np.random.default_rng(1)
    for i in rng.choice(len(cells), size=4, replace=False):
        old = cells[i]
        path = str(ROOT / TABLES / f"mobilenet-{old['set']}-5.jsonl.xz")
        keys = ("contestant", "seed", "trials", "mode", "metric")
        new = run_cell((path, *(old[key] for key in keys)))
        for key in ("by_trials", "by_work", "found"):
            assert new[key] == old[key]


@pytest.mark.slow
def test_the_pages_and_their_pictures_are_what_the_committed_contests_make(
    benches: dict[str, LayerBench],
) -> None:
    texts = [(ROOT / path).read_text() for path in page.PAGES]
    parts = page_contests.contest_sections(list(benches.values()))
    assert page.made(texts, parts) == texts
    for name, picture in page_contests.pictures(list(benches.values())).items():
        assert (ROOT / page.PICTURES / f"layerbench-{name}.svg").read_text() == picture, name
