"""Drawing a study again finds what was changed in it, and where that shows first."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from databases import close
from searching import mixed, value

from optuna_layerwise.samplers import (
    BioTuneSampler,
    CatCMAwMSampler,
    Rederivation,
    SetGASampler,
    _rederiving,
    rederive,
)
from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.storage import TRIAL_KEY, all_trials, open_storage, trial_record

optuna.logging.set_verbosity(optuna.logging.CRITICAL)

MAKE: dict[str, Callable[[], CohortSampler]] = {
    "biotune": lambda: BioTuneSampler(seed=0, population=4, elites=1),
    "catcmawm": lambda: CatCMAwMSampler(seed=0, population=4),
    "set-ga": lambda: SetGASampler(seed=0, population=4, mutants=2, crossovers=2),
}
"""The start has 4 trials."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A study of 24 trials of each sampler, never changed."""
    folder = tmp_path_factory.mktemp("originals")
    for name, make in MAKE.items():
        storage = open_storage(f"sqlite:///{folder / name}.db")
        study = optuna.create_study(storage=storage, study_name="s", sampler=make())
        study.optimize(value, n_trials=24)
        close(storage)
    return {name: folder / f"{name}.db" for name in MAKE}


@pytest.fixture(params=MAKE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(name: str) -> Callable[[], CohortSampler]:
    return MAKE[name]


@pytest.fixture
def path(name: str, originals: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(originals[name], tmp_path / "s.db"))


def edit(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


def replayed(path: Path, sampler: CohortSampler) -> Rederivation:
    storage = open_storage(f"sqlite:///{path}")
    found = rederive(optuna.load_study(storage=storage, study_name="s"), sampler)
    close(storage)
    return found


def test_every_suggestion_of_an_intact_study_is_drawn_again(
    path: Path, make: Callable[[], CohortSampler]
) -> None:
    found = replayed(path, make())
    assert (found.trials, found.genes, found.others) == (24, 96, 0)
    assert (found.skipped, found.differences, found.cause) == ({}, [], "")


def test_nothing_is_written(path: Path, make: Callable[[], CohortSampler]) -> None:
    before = path.read_bytes()
    replayed(path, make())
    assert path.read_bytes() == before


def test_trials_of_others_are_counted_and_not_compared() -> None:
    study = mixed(MAKE["biotune"]())
    found = rederive(study, MAKE["biotune"]())
    assert found.others == 3 + 3, "three added, three of another sampler"
    assert found.trials == len(study.trials) - 6
    assert found.differences == []


def test_an_edited_value_shows_in_what_was_drawn_from_it_and_in_nothing_before(
    path: Path, make: Callable[[], CohortSampler], name: str
) -> None:
    edit(path, "UPDATE trial_values SET value = -100 WHERE trial_id = 7")  # number 6
    found = replayed(path, make())
    numbers = {difference.trial for difference in found.differences}
    assert numbers and min(numbers) > 6
    assert max(numbers) == 23
    first = min(numbers)
    storage = open_storage(f"sqlite:///{path}")
    trials = all_trials(optuna.load_study(storage=storage, study_name="s"))
    end = trial_record(trials[first])["end"]
    close(storage)
    assert end > 6
    assert f"trial {first} was drawn from trials 0 to {end - 1}" in found.cause
    last = 8 if name == "biotune" else 3
    assert f"what was drawn from trials 0 to {last} alone still agrees" in found.cause


def test_an_edited_parameter_is_named_with_what_its_sampler_recorded(
    path: Path, make: Callable[[], CohortSampler]
) -> None:
    edit(
        path,
        "UPDATE trial_params SET param_value = 2.5 WHERE trial_id = 3 AND param_name = 'x'",
    )
    found = replayed(path, make())
    first = found.differences[0]
    assert (first.trial, first.part, first.stored) == (2, "x", 2.5)
    assert -2 <= first.derived <= 3
    assert found.cause.startswith("parameter 'x' of trial 2")
    assert str(first.derived) in found.cause


def test_an_edited_record_of_a_first_trial_is_told(
    path: Path, make: Callable[[], CohortSampler]
) -> None:
    edit(
        path,
        "UPDATE trial_system_attributes SET value_json = "
        "replace(value_json, '\"seed\": 0', '\"seed\": 1') "
        f"WHERE trial_id = 2 AND key = '{TRIAL_KEY}'",
    )
    found = replayed(path, make())
    first = found.differences[0]
    assert (first.trial, first.part) == (1, "x")
    assert first.stored != first.derived
    assert "trial 1 or the seed in its record was changed" in found.cause


def test_draws_of_other_versions_are_rebuilt_from_and_not_compared(
    path: Path, make: Callable[[], CohortSampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions of packages that no longer matter to draws may be any, as cmaes's may."""
    ours = _rederiving.fingerprint()
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            f"SELECT trial_id, value_json FROM trial_system_attributes WHERE key = '{TRIAL_KEY}'"
        ).fetchall()
        for k, (trial_id, text) in enumerate(rows):
            record: dict[str, Any] = json.loads(text)
            assert record["made_with"] == ours
            record["made_with"] |= {"numpy": "1.0"} if k < 10 else {"cmaes": "0.13.1"}
            connection.execute(
                "UPDATE trial_system_attributes SET value_json = ? "
                f"WHERE trial_id = ? AND key = '{TRIAL_KEY}'",
                (json.dumps(record), trial_id),
            )
    connection.close()
    found = replayed(path, make())
    assert (found.trials, found.genes, found.differences) == (14, 56, [])
    [(versions, number)] = found.skipped.items()
    assert number == 10 and "numpy 1.0" in versions
    monkeypatch.setattr(_rederiving, "fingerprint", lambda: {**ours, "machine": "Plan9 mips"})
    assert replayed(path, make()).trials == 0


def test_a_study_of_another_sampler_is_refused_with_its_name(originals: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"drawn by 'set-ga/1/\w+'; there are .*'biotune/1/\w+'"):
        replayed(originals["biotune"], MAKE["set-ga"]())
    with pytest.raises(ValueError, match="options"):
        replayed(originals["biotune"], BioTuneSampler(population=6))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with pytest.raises(ValueError, match="samplers that keep no record"):
        rederive(study, MAKE["biotune"]())


def test_states_of_a_long_study_are_rebuilt_once() -> None:
    told: list[int] = []
    sampler = MAKE["biotune"]()
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=300)
    fresh = MAKE["biotune"]()
    tell = type(fresh._algorithm).tell

    class Counting(type(fresh._algorithm)):  # type: ignore[misc]
        def tell(self, state: Any, cohort: int, members: Any) -> Any:
            told.append(cohort)
            return tell(self, state, cohort, members)

    fresh._algorithm = Counting(population=4, elites=1)
    assert rederive(study, fresh).genes == 300
    assert len(told) < 3 * 300
