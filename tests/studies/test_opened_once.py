"""The test split is opened once for each result, whoever dies, stops or comes second."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from databases import close, url
from lives import start, until
from optuna.samplers import RandomSampler

from optuna_layerwise import Final, FinetuneObjective, ModelSpec, open_study
from optuna_layerwise.data import Images, SealedImages, load_data
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.final import (
    CLAIM_KEY,
    PUBLISHED_ENDING,
    claim_of,
    count_finals,
    openings,
    stored_final,
)
from optuna_layerwise.reporting.report import report
from optuna_layerwise.storage import FINAL_KEY, Owner, is_there
from optuna_layerwise.studies import claiming

__all__ = ["url"]

LEASE_SECONDS = 4.0
HOW: dict[str, Any] = {
    "top": 1,
    "race": False,
    "references": (),
    "ending": PUBLISHED_ENDING,
    "lease_seconds": LEASE_SECONDS,
}


class Deadly(SealedImages):
    """Kills the process that opens it."""

    def open(self) -> Images:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("dead by now")


class Counted(SealedImages):
    opened = 0

    def open(self) -> Images:
        self.opened += 1
        return super().open()


class Noted(SealedImages):
    """Notes in a file which process opens it."""

    def __init__(self, file: Path, images: Images) -> None:
        super().__init__(images)
        self.file = file

    def open(self) -> Images:
        with self.file.open("a") as notes:
            notes.write(f"{os.getpid()}\n")
        return super().open()


def an_objective(weights: Path, test: Callable[[Images], SealedImages]) -> FinetuneObjective:
    splits = load_data("digits", image_size=8)
    return FinetuneObjective(
        model=ModelSpec(name="digits_cnn", weights=weights, image_size=8),
        data=dataclasses.replace(splits, test=test(splits.test.open())),
        recipe=Recipe(lr=3e-3, epochs=1, patience=None, batch_size=50),
        device="cpu",
    )


def a_study(url: str, objective: FinetuneObjective, n_trials: int = 3) -> optuna.Study:
    study = open_study(url, study_name="s", sampler=RandomSampler(seed=0))
    study.optimize(objective, n_trials=n_trials)
    return study


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dawdle() -> None:
    time.sleep(1.5 * LEASE_SECONDS)


def finalize_and(
    do: Callable[[], None],
    url: str,
    weights: Path,
    folder: Path,
    host: str,
    options: dict[str, Any],
) -> None:
    """Finalize in a process of its own, and do something there when the claim has been taken."""
    platform.node = lambda: host
    objective = an_objective(weights, partial(Noted, folder / "opened"))
    study = open_study(url, study_name="s", sampler=RandomSampler(seed=1))
    train = objective.trainer.train

    def train_later(*arguments: Any, **more: Any) -> Any:
        is_there(study)  # a statement that ends: no lock of a file is held now
        do()
        return train(*arguments, **more)

    objective.trainer.train = train_later  # type: ignore[method-assign]
    final = objective.finalize(study, **{**HOW, **options})
    (folder / f"{host}.json").write_text(json.dumps(final.as_json()))


def said(final: Final | None, file: Path) -> bool:
    return final is not None and json.loads(file.read_text()) == json.loads(
        json.dumps(final.as_json())
    )


def search_and_die(url: str, weights: Path) -> None:
    """Search, and be killed between opening the test split and storing what it gave."""
    objective = an_objective(weights, Deadly)
    study = a_study(url, objective)
    objective.finalize(study, top=2, seeds=(5,), race=False, references=())


@pytest.mark.sweep(url="sqlite")
@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_after_a_crash_between_opening_and_storing_the_same_choice_is_made_and_said(
    url: str, digits_weights: Path
) -> None:
    process = start(search_and_die, url, digits_weights)
    process.join(600)
    assert process.exitcode == -signal.SIGKILL
    study = open_study(url, study_name="s", sampler=RandomSampler(seed=1))
    [first] = openings(study)
    assert (first.pid, first.seeds, len(first.finalists)) == (process.pid, [5], 2)
    assert "whose result is not stored" in report(study, format="md")
    objective = an_objective(digits_weights, Counted)
    study.optimize(objective, n_trials=2)
    with pytest.warns(UserWarning, match="the same finalists are trained again"):
        final = objective.finalize(study, top=1, seeds=(7, 8))
    assert final.baselines == [], "as in the first place"
    assert final.chosen.name == first.chose
    assert {f.name for f in final.finalists} == {f"trial {n}" for n in first.finalists}
    assert len(final.chosen.val) == 5, "a training a fold, as in the first place"
    assert [o.chose for o in openings(study)] == [first.chose, first.chose]
    assert "The test split was opened 2 times" in report(study, format="md")
    assert study.user_attrs[CLAIM_KEY] is None
    close(study._storage)


def test_who_lost_the_claim_takes_the_stored_result_and_opens_nothing(
    digits_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, other = (an_objective(digits_weights, Counted) for _ in range(2))
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))
    study.optimize(objective, n_trials=2)
    twin = optuna.create_study(direction="maximize")
    twin.add_trials(study.trials)
    result = other.finalize(twin, top=1, seeds=(5,), references=()).as_json()
    train = objective.trainer.train

    def stopped_meanwhile(*arguments: Any, **options: Any) -> Any:
        me = Owner.of_this_process()
        study.set_user_attr(CLAIM_KEY, dataclasses.asdict(dataclasses.replace(me, host="other")))
        study.set_user_attr(FINAL_KEY, result)
        return train(*arguments, **options)

    monkeypatch.setattr(objective.trainer, "train", stopped_meanwhile)
    final = objective.finalize(study, top=1, seeds=(6, 7), references=())
    assert final == stored_final(twin)
    assert study.user_attrs[FINAL_KEY] == result
    assert isinstance(objective.data.test, Counted)
    assert objective.data.test.opened == 0


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_a_finalizer_that_is_stopped_is_waited_out_and_opens_nothing_when_it_goes_on(
    url: str, digits_weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objective = an_objective(digits_weights, partial(Noted, tmp_path / "opened"))
    study = a_study(url, objective)
    here = platform.node()
    weights = {"weights": tmp_path / "best.safetensors"}
    options = {"seeds": (5,), **weights}
    process = start(finalize_and, stop, url, digits_weights, tmp_path, here, options)
    until(lambda: process.pid and is_stopped(process.pid))
    before = time.monotonic()
    final = objective.finalize(study, **HOW, seeds=(6,), **weights)
    assert time.monotonic() - before >= LEASE_SECONDS
    [line] = caplog.messages
    assert f"is being finalized by process {process.pid} on {here} since 20" in line
    assert "waiting for its result, and at most 4 s for a sign of life" in line
    saved = (tmp_path / "best.safetensors").read_bytes()
    os.kill(process.pid or 0, signal.SIGCONT)
    process.join(600)
    assert process.exitcode == 0
    assert said(final, tmp_path / f"{here}.json"), "it takes the result that is stored"
    assert (tmp_path / "opened").read_text().splitlines() == [str(os.getpid())]
    assert [opening.pid for opening in openings(study)] == [os.getpid()]
    assert stored_final(study) == final
    assert (tmp_path / "best.safetensors").read_bytes() == saved
    assert not list(tmp_path.glob("unfinished-*"))
    assert claim_of(study) is None
    close(study._storage)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_the_claim_of_a_host_that_vanished_is_taken_over_when_its_lease_is_over(
    url: str, digits_weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objective = an_objective(digits_weights, partial(Noted, tmp_path / "opened"))
    study = a_study(url, objective)
    elsewhere = start(
        finalize_and, die, url, digits_weights, tmp_path, "elsewhere", {"seeds": (5,)}
    )
    elsewhere.join(600)
    assert elsewhere.exitcode == -signal.SIGKILL
    before = time.monotonic()
    final = objective.finalize(study, **HOW, seeds=(6,))
    assert time.monotonic() - before >= LEASE_SECONDS
    assert f"by process {elsewhere.pid} on elsewhere since 20" in caplog.text
    assert stored_final(study) == final
    assert claim_of(study) is None
    close(study._storage)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_who_comes_while_another_trains_waits_for_its_result_however_long_that_takes(
    url: str, digits_weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objective = an_objective(digits_weights, partial(Noted, tmp_path / "opened"))
    study = a_study(url, objective)
    first = start(
        finalize_and, dawdle, url, digits_weights, tmp_path, "elsewhere", {"seeds": (5, 6)}
    )
    until(lambda: claim_of(study))
    final = objective.finalize(study, **HOW, seeds=(7,))
    first.join(600)
    assert first.exitcode == 0
    assert said(final, tmp_path / "elsewhere.json")
    assert (tmp_path / "opened").read_text().splitlines() == [str(first.pid)]
    assert len(caplog.messages) == 1
    close(study._storage)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["journal", "mysql"], indirect=True)
def test_of_two_that_finalize_again_at_once_one_opens_the_test_and_both_have_its_result(
    url: str, digits_weights: Path, tmp_path: Path
) -> None:
    objective = an_objective(digits_weights, Counted)
    study = a_study(url, objective)
    first = objective.finalize(study, **HOW, seeds=(5,))
    study.optimize(objective, n_trials=2)
    options = {"seeds": (6,), "again": True}
    both = [
        start(finalize_and, dawdle, url, digits_weights, tmp_path, host, options)
        for host in ("one", "two")
    ]
    for process in both:
        process.join(600)
        assert process.exitcode == 0
    second = stored_final(study)
    assert second is not None and second.number == count_finals(study) == 2
    assert all(said(second, tmp_path / f"{host}.json") for host in ("one", "two"))
    assert (first.trials, second.trials) == (3, 5)
    assert len((tmp_path / "opened").read_text().splitlines()) == 1
    assert [opening.result for opening in openings(study)] == [1, 2]
    assert stored_final(study, 1) == first
    close(study._storage)


def finalize_again_and_die(url: str, weights: Path) -> None:
    """Be killed between the second opening of the test split and storing what it gave."""
    objective = an_objective(weights, Deadly)
    study = open_study(url, study_name="s", sampler=RandomSampler(seed=1))
    objective.finalize(study, **{**HOW, "top": 2}, seeds=(6,), again=True)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_crash_after_a_further_opening_is_said_and_made_good_by_the_same_choice(
    url: str, digits_weights: Path
) -> None:
    objective = an_objective(digits_weights, Counted)
    study = a_study(url, objective)
    first = objective.finalize(study, **HOW, seeds=(5,))
    process = start(finalize_again_and_die, url, digits_weights)
    process.join(600)
    assert process.exitcode == -signal.SIGKILL
    lost = openings(study)[-1]
    assert (lost.result, lost.trials, lost.seeds, len(lost.finalists)) == (2, 3, [6], 2)
    page = report(study, format="md")
    assert f"by process {process.pid} on" in page and "whose result is not stored" in page
    assert "The test split was opened 2 times" in page
    assert objective.finalize(study, **HOW, seeds=(7,)) == first
    study.optimize(objective, n_trials=2)
    with pytest.warns(UserWarning, match="the same finalists are trained again"):
        second = objective.finalize(study, **HOW, seeds=(7, 8), again=True)
    assert (second.number, second.trials, second.chosen.name) == (2, 3, lost.chose)
    assert {f.name for f in second.finalists} == {f"trial {n}" for n in lost.finalists}
    assert len(second.chosen.val) == 1
    assert [opening.result for opening in openings(study)] == [1, 2, 2]
    page = report(study, format="md")
    assert "The test split was opened 3 times, and this is result 2 of the study" in page
    assert "whose result is not stored" not in page
    close(study._storage)


@pytest.mark.parametrize("after", [False, True])
def test_an_interruption_at_the_very_moment_of_the_claim_leaves_none(
    monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    study, store = optuna.create_study(), claiming.compare_and_set

    def interrupted(*arguments: Any, **options: Any) -> bool:
        monkeypatch.setattr(claiming, "compare_and_set", store)
        if after:
            assert store(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(claiming, "compare_and_set", interrupted)
    with pytest.raises(KeyboardInterrupt), claiming.claimed(study):
        raise AssertionError("interrupted before")
    assert claim_of(study) is None
