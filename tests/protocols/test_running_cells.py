"""Cells: each is run once, by however many processes, and goes on where it was stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from small_cells import EXPERIMENT, places

from benchmarks.protocols import TABLES, Cell, read_records
from benchmarks.protocols.places import network, source_of
from benchmarks.protocols.running import CELL, missing, run
from benchmarks.protocols.searching import full_training, make_objective, run_cell, spent
from optuna_layerwise.records.final import CLAIM_KEY
from optuna_layerwise.storage import Owner, open_storage
from optuna_layerwise.studies import open_study
from optuna_layerwise.studies.claiming import FinalizedElsewhere, claimed

pytestmark = pytest.mark.slow
Found = dict[Cell, dict[str, Any]]
CELLS = list(EXPERIMENT.cells())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """All cells, run by two processes."""
    assert run(EXPERIMENT, CELLS, places(folder), processes=2)
    return read_records(CELLS, folder / "results")


def test_two_processes_run_every_cell_once(found: Found, folder: Path) -> None:
    assert list(found) == CELLS
    storage = open_storage(places(folder).storage)
    [queue] = queues(storage)
    assert sorted(t.user_attrs[CELL] for t in queue.trials) == sorted(c.study for c in CELLS)
    assert {t.state for t in queue.trials} == {TrialState.COMPLETE}
    for cell, record in found.items():
        study = optuna.load_study(study_name=cell.study, storage=storage)
        assert len(study.trials) == record["search"]["trials"] == len(record["trials"]["value"])


def queues(storage: BaseStorage) -> list[optuna.Study]:
    names = optuna.study.get_all_study_names(storage)
    return [optuna.load_study(study_name=n, storage=storage) for n in names if ".cells." in n]


def test_who_wants_other_cells_leaves_alone_what_somebody_has_queued(tmp_path: Path) -> None:
    assert not run(EXPERIMENT, CELLS, places(tmp_path), processes=0)
    assert run(EXPERIMENT, CELLS[:1], places(tmp_path))
    all_of_them, one = queues(open_storage(places(tmp_path).storage))
    assert {t.state for t in all_of_them.trials} == {TrialState.WAITING}
    assert [t.state for t in one.trials] == [TrialState.COMPLETE]


def test_a_cell_stops_at_its_trials_or_with_the_trial_that_reaches_its_work(
    found: Found, folder: Path
) -> None:
    for cell, record in found.items():
        if cell.arm != "hybrid":
            assert record["search"]["trials"] == EXPERIMENT.arms[cell.arm].trials
            continue
        budget = 1.5 * full_training(make_objective(EXPERIMENT, cell, places(folder)))
        used = np.cumsum(record["trials"]["flops"])
        assert used[-1] >= budget > used[-2]


def test_a_published_method_begins_with_its_published_values(found: Found, folder: Path) -> None:
    storage = open_storage(places(folder).storage)
    for cell in found:
        first = optuna.load_study(study_name=cell.study, storage=storage).trials[0]
        if cell.arm == "full":
            assert first.params == {"lr": 3e-3}


def test_runs_differ_and_the_chosen_one_was_the_best_by_validation(found: Found) -> None:
    one, two = (found[c]["trials"]["value"] for c in CELLS if c.arm == "set" and c.fraction == 1)
    assert one != two
    for record in found.values():
        values = record["trials"]["value"]
        assert values[int(record["chosen"]["name"].split()[1])] == max(values)
        assert len(record["chosen"]["test"]) == 2


def test_a_file_says_what_made_it(found: Found) -> None:
    for record in found.values():
        [made] = record["origin"]["fingerprints"]
        assert made["packages"]["torch"] and made["code"]
        assert record["origin"]["devices"] and record["origin"]["started"]
        assert record["data"]["images"][0] in (25, 50)
        assert record["search"]["images"] == sum(record["trials"]["images"]) > 0
        assert str(Path.home()) not in json.dumps(record)


def test_cells_that_are_done_are_not_touched_again(found: Found, folder: Path) -> None:
    before = {cell: cell.file(folder / "results").stat().st_mtime_ns for cell in CELLS}
    assert run(EXPERIMENT, CELLS, places(folder))
    assert {c: c.file(folder / "results").stat().st_mtime_ns for c in CELLS} == before


def test_a_cell_whose_study_has_other_settings_is_refused(found: Found, folder: Path) -> None:
    [cell] = [c for c in CELLS if (c.arm, c.fraction, c.run) == ("full", 1.0, 0)]
    cell.file(folder / "results").rename(folder / "kept.json")
    longer = dataclasses.replace(EXPERIMENT.arms["full"], trials=9)
    other = dataclasses.replace(EXPERIMENT, arms={**EXPERIMENT.arms, "full": longer})
    storage = open_storage(places(folder).storage)
    with pytest.raises(ValueError, match="was begun with another trials"):
        run_cell(other, cell, places(folder), storage)
    assert run_cell(EXPERIMENT, cell, places(folder), storage)
    assert json.loads((folder / "kept.json").read_text()) == found[cell]


def test_a_cell_of_another_process_is_left_alone_and_a_dead_ones_is_taken_over(
    tmp_path: Path,
) -> None:
    cell, storage = CELLS[0], open_storage(places(tmp_path).storage)
    study = open_study(storage, study_name=cell.study)
    with claimed(study, seconds=2) as claim:
        assert claim is not None
        with pytest.raises(FinalizedElsewhere):
            run_cell(EXPERIMENT, cell, places(tmp_path), storage)
        assert claim.renew()
    assert study.trials == []
    dead = dataclasses.replace(Owner.of_this_process(), started="long ago")
    study.set_user_attr(CLAIM_KEY, dataclasses.asdict(dead))
    assert run_cell(EXPERIMENT, cell, places(tmp_path), storage)


COMMAND = (
    *(sys.executable, "-m", "benchmarks.protocols", "methods", "--scale", "digits"),
    *("--method", "revo-binary", "--runs", "1", "--processes", "2"),
    *("--compute", "channels_last=true"),
)


def results(folder: Path) -> Mapping[str, dict[str, Any]]:
    cells = list(TABLES["methods"].experiments["digits"].cells())
    return {c.study: r for c, r in read_records(cells, folder / "bench-results").items()}


@pytest.fixture
def start() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts the command in a folder; nothing of it is left over."""
    started: list[subprocess.Popen[str]] = []
    root = str(Path(__file__).parents[2])

    def start_in(folder: Path) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_in
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_trials(folder: Path, n: int) -> None:
    """Until so many trials of cells are finished."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if (folder / "optuna-layerwise-bench.db").exists():
            storage = open_storage(f"sqlite:///{folder}/optuna-layerwise-bench.db")
            studies = optuna.get_all_study_summaries(storage=storage)
            counted = [
                t.state.is_finished()
                for s in studies
                if ".cells." not in s.study_name
                for t in optuna.load_study(study_name=s.study_name, storage=storage).trials
            ]
            if sum(counted) >= n:
                return
        time.sleep(0.3)
    raise AssertionError(f"no {n} trials in time")


def test_cells_that_were_killed_and_stopped_end_as_if_they_had_not_been(
    tmp_path: Path, start: Callable[[Path], subprocess.Popen[str]]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    uninterrupted = start(whole)
    said, _ = uninterrupted.communicate(timeout=600)
    assert uninterrupted.returncode == 0, said
    for number, trials in ((signal.SIGKILL, 4), (signal.SIGTERM, 12)):
        process = start(cut)
        wait_for_trials(cut, trials)
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)  # its workers as well
        else:
            process.send_signal(number)
        process.communicate(timeout=120)
        assert process.returncode != 0
    last = start(cut)
    said, _ = last.communicate(timeout=600)
    assert last.returncode == 0, said
    expected, got = results(whole), results(cut)
    assert set(expected) == set(got) and len(expected) == 2
    for study, record in expected.items():
        assert got[study]["trials"]["value"] == record["trials"]["value"], study
        assert got[study]["chosen"]["test"] == record["chosen"]["test"], study


def test_what_is_missing_is_named_with_where_it_is_expected(tmp_path: Path) -> None:
    for table, names in (
        ("biotune-table1", ("usps.bz2", "resnet50-11ad3fa6.pth", "isic2020", "train_32x32.mat")),
        ("revo-table1", ("resnet18-f37072fd.pth", "busi", "HAM10000_metadata.csv", "srsmas")),
        ("revo-table3", ("convnext_tiny", "shufflenetv2_x1-5666bf0f80.pth")),
    ):
        experiment = TABLES[table].experiments["full"]
        cells = list(experiment.cells())
        reasons = missing(experiment, cells, places(tmp_path))
        assert set(reasons) == set(cells)
        said = "\n".join(reasons.values())
        assert not [name for name in names if name not in said]


def test_only_cells_that_lack_something_are_left_out(shared_data: Path, tmp_path: Path) -> None:
    here = dataclasses.replace(places(tmp_path), data_root=shared_data)
    experiment = TABLES["methods"].experiments["full"]
    assert missing(experiment, list(experiment.cells()), here) == {}
    assert source_of("leaves", shared_data) == shared_data / "citrus"
    assert source_of("usps", shared_data) == shared_data / "usps.npz"
    assert network("resnet20_cifar10", root=shared_data, image_size=32, granularity="stage").build(
        3
    )


def test_the_work_of_a_study_is_that_of_its_finished_trials(found: Found, folder: Path) -> None:
    storage = open_storage(places(folder).storage)
    for cell, record in found.items():
        study = optuna.load_study(study_name=cell.study, storage=storage)
        assert spent(study) == pytest.approx(record["search"]["flops"], rel=1e-6)
