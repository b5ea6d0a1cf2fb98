"""Workers and servers are killed while a study runs: nothing is lost, done twice or changed."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
import sqlalchemy
from databases import close

from benchmarks.reliability import fire, hosts, kills, outages
from benchmarks.reliability.figures import PROMISED
from benchmarks.reliability.places import FILES, KINDS
from benchmarks.reliability.servers import missing, server
from optuna_layerwise.studies import open_study

pytestmark = pytest.mark.slow

SERVERS = [kind for kind in KINDS if kind not in FILES]


def need_server(kind: str) -> None:
    if reason := missing(kind):
        message = f"a {kind} server of our own cannot be made here: {reason}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def assert_kept(record: dict[str, object]) -> None:
    """The promises, and, of a single worker, the very study of one that nothing happened to."""
    assert {name: record[name] for name in PROMISED} == dict.fromkeys(PROMISED, 0), record
    assert record.get("identical", True), record


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_workers_killed_at_random_moments_lose_repeat_and_change_nothing(
    kind: str, workers: int, tmp_path: Path
) -> None:
    if kind in SERVERS:
        need_server(kind)
    sampler = random.Random(f"{kind} {workers}").choice(["biotune", "catcmawm"])
    target = 15 if workers == 1 else 90  # four are through 15 before the fourth kill
    record = kills.cell(kind, sampler, workers, kills=5, target=target, folder=tmp_path)
    assert record["kills"] >= 4, "the study ended too soon"
    assert_kept(record)
    assert record["died"] == 0 and record["at_once"] == 0


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("kind", SERVERS)
def test_workers_outlive_a_server_that_is_crashed_and_stopped(
    kind: str, workers: int, tmp_path: Path
) -> None:
    need_server(kind)
    record = outages.restarts(kind, workers, tmp_path, times=2, target=15)
    assert_kept(record)
    assert record["died"] == 0


@pytest.mark.parametrize("kind", SERVERS)
def test_a_study_is_read_though_its_server_crashes_between_two_statements(
    kind: str, tmp_path: Path
) -> None:
    """Optuna then asks again in a session that is broken, and hides what had happened."""
    need_server(kind)
    with server(kind, tmp_path / "server") as running:
        study = open_study(running.database("torture"), study_name="s")
        study.tell(study.ask(), 0.5)
        engine, crashes = study._storage._backend.engine, []  # type: ignore[attr-defined]

        @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
        def crash(connection: object, cursor: object, statement: str, *_: object) -> None:
            if "ORDER BY trials.trial_id" in statement and not crashes:
                crashes.append(statement)
                running.stop(crash=True)
                running.start()

        assert [trial.value for trial in study.trials] == [0.5]
        assert crashes
        close(study._storage)


@pytest.mark.parametrize("kind", FILES)
def test_a_worker_outlives_a_full_disk(kind: str, tmp_path: Path) -> None:
    try:
        record = outages.full_disk(kind, tmp_path, times=1, target=10)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    assert_kept(record)
    assert record["died"] == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_leases_hold_between_machines_whose_clocks_are_an_hour_apart(
    kind: str, tmp_path: Path
) -> None:
    if kind in SERVERS:
        need_server(kind)
    record = hosts.cell(kind, 4, tmp_path, kills=2, stops=2, target=120)
    assert record["kills"] and record["stops"], "the study ended too soon"
    assert_kept(record)
    assert record["died"] == 0


def test_a_trial_that_is_lost_or_done_twice_would_be_counted(tmp_path: Path) -> None:
    """Of a log that claims what the database does not hold."""
    job = kills.Job(f"sqlite:///{tmp_path}/study.db", "biotune", 4, tmp_path / "log", pace=0)
    kills.labour(job, 0)
    study = kills.open_the_study(job)
    fire.witness(study, job)
    assert_kept(kills.figures(study, job.log, 4))

    told = {"event": "told", "state": "COMPLETE"}
    fire.note(job.log, life=1, trial=4, values=[0.5], **told)  # not in the database
    fire.note(job.log, life=1, trial=0, values=[0.5], **told)  # another value, and told before
    fire.note(job.log, life=1, trial=1, event="begin")
    bad = kills.figures(study, job.log, 3)
    assert (bad["lost"], bad["done_twice"], bad["off_target"]) == (2, 2, 2)
