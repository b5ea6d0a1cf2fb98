"""What the doctor says of a study, one ailment a test, and what its repairs do."""

from __future__ import annotations

import dataclasses
import math
import re
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import optuna
import pytest
from databases import close, storage  # noqa: F401
from optuna.trial import TrialState, create_trial

from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.final import CLAIM_KEY, OPENED_KEY, Candidate, Final, Opening
from optuna_layerwise.records.fingerprint import Fingerprint, record
from optuna_layerwise.records.run import RUN_KEY, Run
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import (
    FINAL_KEY,
    SETTINGS_KEY,
    START_KEY,
    TIE_KEY,
    TRIAL_KEY,
    Lease,
    Owner,
    damaged_attributes,
    open_storage,
    remove_damaged,
)
from optuna_layerwise.studies import order_of
from optuna_layerwise.studies.doctor import Finding, examine

HERE = Owner.of_this_process()
DEAD = dataclasses.replace(HERE, started=HERE.started.rpartition(":")[0] + ":1")
FAR = Owner("elsewhere", 1, "long ago")


def healthy(storage: optuna.storages.BaseStorage) -> optuna.Study:  # noqa: F811
    """A study of ours with three finished trials."""
    study = optuna.create_study(storage=storage, study_name="s", sampler=BioTuneSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return study


@pytest.fixture
def study() -> optuna.Study:
    return healthy(optuna.storages.InMemoryStorage())


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a database with a healthy study."""
    url = f"sqlite:///{tmp_path}/study.db"
    close(healthy(open_storage(url))._storage)
    return url


def run(**changes: Any) -> dict[str, Any]:
    return {**Run({"head": 1.0}, 0, 0, 0.5).as_json(), **changes}


def finished(study: optuna.Study, **options: Any) -> int:
    """Add a finished trial; returns its number."""
    study.add_trial(create_trial(**{"value": 0.5, **options}))
    return study.trials[-1].number


def running(study: optuna.Study, **system_attrs: Any) -> int:
    """A trial that runs, with these attributes."""
    number = study.ask().number
    set_system_attrs(study, number, **system_attrs)
    return number


def set_system_attrs(study: optuna.Study, number: int, **attributes: Any) -> None:
    for key, value in attributes.items():
        trial_id = study.trials[number]._trial_id
        study._storage.set_trial_system_attr(trial_id, key.replace("_", ":"), value)


def leased(owner: Owner, *, ago: float = 0.0) -> dict[str, Any]:
    lease = {**Lease.of_this_process(60).as_json(), "owner": dataclasses.asdict(owner)}
    expires = datetime.now(timezone.utc) - timedelta(seconds=ago)
    return {**lease, "expires": expires.isoformat(timespec="seconds")}


def only(study: optuna.Study) -> Finding:
    [finding] = examine(study)
    return finding


def test_a_healthy_study_has_no_finding(study: optuna.Study) -> None:
    finished(study, user_attrs={RUN_KEY: run(), TIE_KEY: 0.3})
    assert list(examine(study)) == []


def test_a_study_of_another_tool_is_a_note_and_is_looked_at_no_further() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.add_trial(create_trial(values=[math.inf, 1.0]))
    study.ask()
    finding = only(study)
    assert finding.severity == "note"
    assert "another tool made this study" in str(finding)
    assert finding.repair is None


def test_a_trial_of_a_dead_process_is_given_back(study: optuna.Study) -> None:
    number = running(study, olw_lease=leased(DEAD))
    finding = only(study)
    assert finding.severity == "warning"
    assert f"trial 3 is of process {DEAD.pid} on {DEAD.host}, which is dead" in str(finding)
    assert finding.repaired()
    assert study.trials[number].state == TrialState.WAITING
    assert list(examine(study)) == []


def test_a_trial_that_lives_is_left_alone(study: optuna.Study) -> None:
    running(study, olw_lease=Lease.of_this_process(60).as_json())
    assert list(examine(study)) == []


def test_a_lease_that_ran_out_elsewhere_is_told_with_its_age(study: optuna.Study) -> None:
    running(study, olw_lease=leased(FAR, ago=500))
    finding = only(study)
    assert re.search("process 1 on elsewhere, whose lease ran out 50[0-9] s", finding.problem)
    assert finding.repair is not None


def test_a_trial_that_nobody_runs_is_given_back(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna_layerwise.studies import abandoned
    from optuna_layerwise.studies.doctor import abandoned_trials as module

    monkeypatch.setattr(abandoned, "NEWBORN_SECONDS", 0.1)
    monkeypatch.setattr(module, "NEWBORN_SECONDS", 0.2)
    study.sampler = optuna.samplers.RandomSampler()
    study.ask()
    finding = only(study)
    assert "trial 3 is marked as running, and no process has it" in finding.problem
    assert finding.repaired()
    assert study.trials[3].state == TrialState.WAITING


def test_a_trial_of_somebody_elses_worker_is_not_taken_from_it(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna_layerwise.studies.doctor import abandoned_trials as module

    monkeypatch.setattr(module, "NEWBORN_SECONDS", 0.0)
    study.sampler = optuna.samplers.RandomSampler()
    study.ask().suggest_float("x", 0, 1)
    finding = only(study)
    assert "nobody knows whom" in finding.problem
    assert finding.repair is None


@pytest.mark.parametrize("order", ["paws", 7])
def test_an_order_that_no_worker_understands_is_taken_back(
    study: optuna.Study, order: object
) -> None:
    study.set_user_attr("olw:control", order)
    finding = only(study)
    assert finding.severity == "error"
    assert "'olw:control'" in finding.problem
    assert finding.repaired()
    assert order_of(study).value == "run"
    study.set_user_attr(
        "olw:control", None
    )  # taken back, as a repair does where no line is removed
    assert order_of(study).value == "run" and list(examine(study)) == []


def test_a_dead_processs_claim_to_finalize_is_taken_back(study: optuna.Study) -> None:
    study.set_user_attr(CLAIM_KEY, dataclasses.asdict(DEAD))
    finding = only(study)
    assert "died while it finalized the study" in finding.problem
    assert finding.repaired()
    assert list(examine(study)) == []


def test_a_living_claim_is_a_note_and_one_from_elsewhere_a_warning(study: optuna.Study) -> None:
    study.set_user_attr(CLAIM_KEY, dataclasses.asdict(Owner.of_this_process()))
    assert only(study).severity == "note"
    study.set_user_attr(CLAIM_KEY, dataclasses.asdict(FAR))
    finding = only(study)
    assert finding.severity == "warning"
    assert finding.repaired()
    assert list(examine(study)) == []
    study.set_user_attr(CLAIM_KEY, "me")
    finding = only(study)
    assert "'olw:finalizing' cannot be read: expected an object, got str" in finding.problem
    assert finding.repaired()


def test_a_result_that_cannot_be_read_is_an_error_and_a_sound_one_none(
    study: optuna.Study,
) -> None:
    candidate = Candidate("trial 0", {"head": 1.0}, 0.5, [{"loss": 1.0}], [], 1, 1.0)
    final = Final("loss", candidate, [candidate], []).as_json()
    study.set_user_attr(FINAL_KEY, final)
    study.set_user_attr(CLAIM_KEY, dataclasses.asdict(DEAD))  # it has done its work
    assert list(examine(study)) == []
    study.set_user_attr(FINAL_KEY, {**final, "chosen": {"name": 3}})
    assert "attribute 'olw:final' cannot be read: chosen.name: Input" in only(study).problem


def test_an_opening_without_a_result_is_told_and_one_that_cannot_be_read_is_an_error(
    study: optuna.Study,
) -> None:
    opening = Opening.now("trial 0", [0], [1], 1, 1).as_json()
    study.set_user_attr(f"{OPENED_KEY}1", opening)
    assert "whose result is not stored" in only(study).problem
    study.set_user_attr(f"{OPENED_KEY}1", {"v": 1, "at": 5})
    assert "attribute 'olw:opened:1' cannot be read" in only(study).problem


def test_holes_and_duplicates_in_the_numbers_are_errors(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("UPDATE trials SET number = 4 WHERE number = 2")
        database.execute("UPDATE trials SET number = 0 WHERE number = 1")
    database.close()
    opened = optuna.load_study(study_name="s", storage=open_storage(url))
    problems = [f.problem for f in examine(opened) if f.severity == "error"]
    assert problems == ["there is no trial 1, 2, 3", "there is more than one trial 0"]


def test_values_that_are_not_finite_are_warnings_and_ties_errors(study: optuna.Study) -> None:
    finished(study, value=math.inf)
    assert only(study).problem == "the value of trial 3 is inf"
    finished(study, user_attrs={TIE_KEY: "low"})
    *_, tie = examine(study)
    assert tie.problem == "attribute 'olw:tie' of trial 4 is no finite number: 'low'"
    assert tie.severity == "error"


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("text", "expected an object, got str"),
        ({"v": 2}, "it has version 2, and this release reads version 1"),
        ({"policy": {"head": 1.0}}, "generation: Field required"),
        (run(policy={"head": "fast"}), "policy.head: Input should be a valid number, got 'fast'"),
        (run(metrics=[{"loss": "__import__('os')"}]), "metrics.0.loss"),
        (run(images_seen="many"), "cost.images_seen"),
    ],
)
def test_a_run_that_cannot_be_read_is_named_with_its_reason(
    study: optuna.Study, stored: Any, reason: str
) -> None:
    finished(study, user_attrs={RUN_KEY: stored})
    finding = only(study)
    assert finding.trial == 3
    assert f"attribute 'olw:run' of trial 3 cannot be read: {reason}" in finding.problem


def test_a_record_of_a_draw_that_cannot_be_read_is_named(study: optuna.Study) -> None:
    finished(study, system_attrs={TRIAL_KEY: {"v": 1, "genes": 5}})
    assert "attribute 'olw:trial' of trial 3 cannot be read" in only(study).problem


def test_what_the_sampler_was_started_with_is_read(study: optuna.Study) -> None:
    study._storage.set_study_system_attr(study._study_id, START_KEY, {"v": 9})
    assert "started with cannot be read" in only(study).problem


def test_several_setups_and_devices_are_notes_that_name_what_differs(
    study: optuna.Study,
) -> None:
    ours = Fingerprint.here(data="d", weights="w", recipe=Recipe())
    theirs = dataclasses.replace(ours, packages={**ours.packages, "numpy": "0.1"})
    for fingerprint, device in ((ours, "fast"), (ours, "fast"), (theirs, "slow")):
        record(study, fingerprint)
        stored = run(fingerprint=fingerprint.digest, device_name=device)
        finished(study, user_attrs={RUN_KEY: stored})
    setups, devices = examine(study)
    assert setups.problem == "1 trials were made with another setup: numpy"
    assert devices.problem == "trials ran on several devices: 2 on fast, 1 on slow"
    assert {setups.severity, devices.severity} == {"note"}
    finished(study, user_attrs={RUN_KEY: run(fingerprint="0123456789ab")})
    assert "fingerprint 0123456789ab of its trials" in next(iter(examine(study))).problem


def test_a_fingerprint_that_was_changed_is_not_believed(study: optuna.Study) -> None:
    ours = Fingerprint.here(data="d", weights="w", recipe=Recipe())
    record(study, ours)
    key = f"olw:fingerprint:{ours.digest}"
    study.set_user_attr(key, {**study.user_attrs[key], "data": "e"})
    assert only(study).problem == f"attribute {key!r} cannot be read: it was changed since"


@pytest.mark.parametrize("table", ["trial_user", "trial_system", "study_user", "study_system"])
def test_an_attribute_that_is_no_json_is_found_without_optuna_and_removed(
    url: str, tmp_path: Path, table: str
) -> None:
    owner = "trial_id" if table.startswith("trial") else "study_id"
    with sqlite3.connect(tmp_path / "study.db") as database:
        insert = f"INSERT INTO {table}_attributes ({owner}, key, value_json) VALUES (1, ?, ?)"
        database.execute(insert, ("bad", "{'single': quotes}"))
    database.close()
    [damaged] = damaged_attributes(open_storage(url), "s")
    assert (damaged.trial, damaged.key) == (0 if owner == "trial_id" else None, "bad")
    unread = open_storage(url)
    with pytest.raises(ValueError, match="Expecting property name"):
        list(examine(optuna.load_study(study_name="s", storage=unread)))
    close(unread)
    remove_damaged(open_storage(url), damaged)
    assert damaged_attributes(open_storage(url), "s") == []
    again = optuna.load_study(study_name="s", storage=open_storage(url))
    assert list(examine(again)) == []
    assert len(again.trials) == 3


def test_a_finding_is_one_line_and_plain_json(study: optuna.Study) -> None:
    import json

    study.set_user_attr(SETTINGS_KEY, "x")
    running(study, olw_lease=leased(DEAD))
    finding = only(study)
    assert "\n" not in str(finding)
    content = json.loads(json.dumps(finding.as_json()))
    assert content["repair"] is True
    assert content["trial"] == 3


@pytest.mark.parametrize("storage", ["memory", "journal", "postgresql", "mysql"], indirect=True)
def test_it_examines_and_repairs_in_every_storage(
    storage: optuna.storages.BaseStorage,  # noqa: F811
) -> None:
    study = healthy(storage)
    running(study, olw_lease=leased(DEAD))
    study.set_user_attr("olw:control", "paws")
    findings = list(examine(study))
    assert [finding.severity for finding in findings] == ["error", "warning"]
    assert damaged_attributes(storage, "s") == []
    assert all(finding.repaired() for finding in findings)
    assert list(examine(study)) == []
    assert study.trials[3].state == TrialState.WAITING
