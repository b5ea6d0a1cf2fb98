"""The test split is opened once, and who dies or comes second changes no result."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from databases import close, url
from lives import start
from optuna.samplers import RandomSampler

from optuna_layerwise import FinetuneObjective, ModelSpec, open_study
from optuna_layerwise.data import Images, SealedImages, load_data
from optuna_layerwise.policy import Recipe
from optuna_layerwise.reporting.report import report
from optuna_layerwise.results import CLAIM_KEY, openings, stored_final
from optuna_layerwise.storage import FINAL_KEY, Owner

__all__ = ["url"]


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


def an_objective(weights: Path, test: type[SealedImages]) -> FinetuneObjective:
    splits = load_data("digits", image_size=8)
    return FinetuneObjective(
        model=ModelSpec(name="digits_cnn", weights=weights, image_size=8),
        data=dataclasses.replace(splits, test=test(splits.test.open())),
        recipe=Recipe(lr=3e-3, epochs=1, patience=None, batch_size=50),
        device="cpu",
    )


def search_and_die(url: str, weights: Path) -> None:
    """Search, and be killed between opening the test split and storing what it gave."""
    objective = an_objective(weights, Deadly)
    study = open_study(url, study_name="s", sampler=RandomSampler(seed=0))
    study.optimize(objective, n_trials=3)
    objective.finalize(study, top=2, seeds=(5,), race=False, references=())


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_after_a_crash_between_opening_and_storing_the_same_choice_is_made_and_said(
    url: str, digits_weights: Path
) -> None:
    process = start(search_and_die, url, digits_weights)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    study = open_study(url, study_name="s", sampler=RandomSampler(seed=1))
    [first] = openings(study)
    assert (first.pid, first.seeds, len(first.finalists)) == (process.pid, [5], 2)
    assert "and no result was stored" in report(study, format="md")
    objective = an_objective(digits_weights, Counted)
    study.optimize(objective, n_trials=2)
    final = objective.finalize(study, top=1, seeds=(7, 8), references=())
    assert final.chosen.name == first.chose
    assert {f.name for f in final.finalists} == {f"trial {n}" for n in first.finalists}
    assert len(final.chosen.val) == 1
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
    train = objective.train

    def stopped_meanwhile(*arguments: Any, **options: Any) -> Any:
        me = Owner.of_this_process()
        study.set_user_attr(CLAIM_KEY, dataclasses.asdict(dataclasses.replace(me, host="other")))
        study.set_user_attr(FINAL_KEY, result)
        return train(*arguments, **options)

    monkeypatch.setattr(objective, "train", stopped_meanwhile)
    final = objective.finalize(study, top=1, seeds=(6, 7), references=())
    assert final == stored_final(twin)
    assert study.user_attrs[FINAL_KEY] == result
    assert isinstance(objective.data.test, Counted)
    assert objective.data.test.opened == 0
