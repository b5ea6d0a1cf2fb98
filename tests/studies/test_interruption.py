"""Ctrl-C, SIGTERM and SIGKILL: the running trial continues as itself, and the end is the same."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import lives
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise import FinetuneObjective, ModelSpec, TrialPaused
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import all_trials, owner_of, requeue
from optuna_layerwise.studies import finished, open_study

TRIALS, EPOCHS = 3, 16


@pytest.fixture(scope="module")
def uninterrupted(digits_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> optuna.Study:
    url = f"sqlite:///{tmp_path_factory.mktemp('uninterrupted')}/study.db"
    lives.train(url, digits_weights, "optimize", TRIALS, EPOCHS)
    return open_study(url, study_name="s")


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["work", "optimize"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_trial_back_and_the_study_ends_as_if_nothing_had_been(
    number: signal.Signals,
    how: str,
    url: str,
    digits_weights: Path,
    start: lives.Start,
    uninterrupted: optuna.Study,
) -> None:
    study = open_study(url, study_name="s")
    life = start(lives.train, url, digits_weights, how, TRIALS, EPOCHS)

    def second_trial() -> FrozenTrial | None:
        return next((t for t in all_trials(study)[1:] if len(t.intermediate_values) > 3), None)

    lives.until(second_trial)
    assert life.pid is not None
    os.kill(life.pid, number)
    life.join(120)
    assert life.exitcode == (lives.STOPPED if how == "work" else 1)
    *done, paused = study.trials  # the second, or, where this process was slow, the third
    assert {trial.state for trial in done} == {TrialState.COMPLETE}
    assert paused.state == TrialState.WAITING
    assert owner_of(paused) is None
    assert paused.params == uninterrupted.trials[paused.number].params
    assert len(paused.intermediate_values) < EPOCHS
    assert RUN_KEY not in paused.user_attrs

    again = start(lives.train, url, digits_weights, how, TRIALS, EPOCHS)
    again.join(120)
    assert again.exitcode == 0
    assert lives.outcome(study) == lives.outcome(uninterrupted)


def test_a_trial_that_another_process_has_taken_is_not_finished_and_not_taken_back(
    url: str, digits_weights: Path, start: lives.Start
) -> None:
    """Here it was given away while it trained; then its pruner ends it."""

    class GiveAway(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
            assert requeue(study, all_trials(study)[0])
            other = start(lives.claim, url)
            lives.until(lambda: lives.asks(other, study))
            return True

    objective = FinetuneObjective(
        model=ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8),
        data="digits",
        recipe=Recipe(epochs=2),
        device="cpu",
    )
    study = open_study(url, study_name="s", sampler=BioTuneSampler(seed=0), pruner=GiveAway())
    with pytest.raises(TrialPaused, match="trial 0 belongs to another process by now"):
        study.optimize(objective, n_trials=1)
    [trial] = all_trials(study)
    owner = owner_of(trial)
    assert trial.state == TrialState.RUNNING
    assert owner is not None and owner.pid != os.getpid()
    assert RUN_KEY not in trial.user_attrs


@pytest.mark.slow
def test_a_study_killed_at_each_of_20_moments_equals_one_never_interrupted(
    url: str,
    digits_weights: Path,
    tmp_path: Path,
    start: lives.Start,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """SIGKILL at random moments of the search, and five more while the study is being opened.

    Serial, on a CPU, in SQLite: numbers, states, parameters, values and learning curves. Trials
    that are killed go on from their checkpoints; the uninterrupted study has none.
    """
    n_trials, epochs = 60, 2  # more than 25 lives can finish
    how = ("work", n_trials, epochs, tmp_path / "files")
    whole_url = f"sqlite:///{tmp_path_factory.mktemp('whole')}/study.db"
    whole = open_study(whole_url, study_name="s")
    start(lives.train, whole_url, digits_weights, "work", n_trials, epochs).join()
    times = [(t.datetime_complete, t.datetime_start) for t in whole.trials]
    typical = sorted((b - a).total_seconds() for b, a in times if a and b)[n_trials // 2]

    study, moments = open_study(url, study_name="s"), random.Random(0)
    kills, requeued, opening = 0, 0, 1.0
    for number in range(25):
        started, before = time.monotonic(), finished(study)
        life = start(lives.train, url, digits_weights, *how)
        if number % 5 == 4:
            life.join(moments.uniform(0, opening))
        else:
            lives.until(lambda life=life: lives.asks(life, study))  # type: ignore[misc]
            opening = time.monotonic() - started
            moment = time.monotonic() + moments.uniform(0, 1.5 * typical)
            while time.monotonic() < moment and finished(study) == before:
                time.sleep(0.005)
            kills += 1
        assert life.exitcode is None, "the study ended before it was killed"
        life.kill()
        life.join()
        requeued += any(t.state == TrialState.RUNNING for t in all_trials(study))
    assert kills == 20
    assert requeued > 10
    last = start(lives.train, url, digits_weights, *how)
    last.join(120)
    assert last.exitcode == 0
    assert {"COMPLETE", "PRUNED"} <= {trial.state.name for trial in whole.trials}
    assert lives.outcome(study) == lives.outcome(whole)
    assert not list((tmp_path / "files").glob("*/*"))
