"""The study is the only state: everything a sampler drew can be drawn again from it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from rederiving import assert_rederives
from searching import SPACE, Broken, mixed, run, small, value

from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler, SetGASampler
from optuna_layerwise.samplers._cohort import CohortSampler
from optuna_layerwise.storage import TIE_KEY, all_trials, requeue, trial_record


def drawn(study: optuna.Study) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
    return [(t.number, t.params, trial_record(t).get("facts", {})) for t in study.trials]


def base(study: optuna.Study, number: int) -> int:
    return int(trial_record(study.trials[number])["base"])


def mentioned(trials: Sequence[FrozenTrial]) -> set[int]:
    """What these trials were drawn from."""
    facts = [trial_record(trial).get("facts", {}) for trial in trials]
    return {
        number
        for fact in facts
        for number in (*fact.get("parents", ()), fact.get("of"), fact.get("prototype"))
        if number is not None
    }


MAKE: dict[str, Callable[[], CohortSampler]] = {
    "explicit space": lambda: small(space=SPACE),
    "inferred space": small,
    "batched": lambda: BioTuneSampler(seed=3, population=6, elites=2, reproduction="batched"),
    "momentum": lambda: BioTuneSampler(seed=4, population=5, elites=2, momentum=True),
    "paper": lambda: BioTuneSampler(seed=5, preset="paper"),
    "reevaluating": lambda: BioTuneSampler(seed=6, population=5, reevaluate_elites=True),
    "no elites": lambda: BioTuneSampler(seed=7, population=5, elites=0),
    "catcmawm": lambda: CatCMAwMSampler(seed=9, population=5),
    "catcmawm, explicit space": lambda: CatCMAwMSampler(seed=9, search_space=SPACE),
    "catcmawm, paper": lambda: CatCMAwMSampler(seed=9, preset="paper", population=4),
    "catcmawm, diagonal": lambda: CatCMAwMSampler(seed=9, population=6, covariance="diagonal"),
    "set-ga": lambda: SetGASampler(seed=8, population=5, mutants=2, crossovers=2),
}
EACH = ("inferred space", "catcmawm", "set-ga")
"""One of each algorithm."""


@pytest.mark.sweep(name=EACH, sign=1)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", MAKE)
def test_every_draw_of_a_study_is_drawn_again_from_its_records(name: str, sign: int) -> None:
    study = mixed(MAKE[name](), sign=sign)
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.FAIL] > 5 and states[TrialState.PRUNED] > 5
    assert states[TrialState.COMPLETE] > 20
    assert assert_rederives(study, MAKE[name]()) > 120
    facts = [fact for _, _, fact in drawn(study)]
    assert {"child", "mutant"} & {f.get("kind") for f in facts} or any(f.get("raw") for f in facts)


@pytest.mark.sweep(name=EACH)
@pytest.mark.parametrize("name", MAKE)
def test_maximising_f_is_minimising_minus_f(name: str) -> None:
    assert drawn(mixed(MAKE[name](), sign=1)) == drawn(mixed(MAKE[name](), sign=-1))


@pytest.mark.sweep(name=EACH)
@pytest.mark.parametrize("name", MAKE)
def test_fresh_sampler_for_each_trial_is_one_sampler_for_all(name: str) -> None:
    one, many = (optuna.create_study(sampler=MAKE[name]()) for _ in range(2))
    run(one, 50)
    for _ in range(50):
        many.sampler = MAKE[name]()
        run(many, 1)
    assert drawn(one) == drawn(many)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("name", ["batched", "catcmawm"])
def test_search_of_many_lives_equals_one_of_a_single_life_on_every_storage(
    name: str, storage: BaseStorage
) -> None:
    """A life ends within a trial, which the next one continues."""
    whole = optuna.create_study(sampler=MAKE[name]())
    run(whole, 24)
    study = optuna.create_study(study_name="lives", storage=storage)
    for _ in range(4):
        study = optuna.load_study(study_name="lives", storage=storage, sampler=MAKE[name]())
        run(study, 6)
        study.ask().suggest_float("x", -2, 3)
        assert requeue(study, all_trials(study)[-1])
    run(whole, 1)
    run(study, 1)
    assert drawn(study) == drawn(whole)


def test_first_trials_are_the_same_whether_or_not_the_space_is_known() -> None:
    explicit, inferred = (optuna.create_study(sampler=small(space=s)) for s in (SPACE, None))
    run(explicit, 40)
    run(inferred, 40)
    assert drawn(explicit) == drawn(inferred)


@pytest.mark.sweep(name=EACH)
@pytest.mark.parametrize("name", MAKE)
def test_order_of_completion_does_not_matter(name: str) -> None:
    studies = []
    for shuffle in (1, 2, 3):
        study = optuna.create_study(sampler=MAKE[name]())
        order = random.Random(shuffle)
        for _ in range(15):
            trials = [study.ask() for _ in range(4)]
            outcomes = [(trial, value(trial)) for trial in trials]
            order.shuffle(outcomes)
            for trial, outcome in outcomes:
                study.tell(trial, outcome)
        assert_rederives(study, MAKE[name]())
        studies.append(drawn(study))
    assert studies[0] == studies[1] == studies[2]


@pytest.mark.sweep(name=EACH)
@pytest.mark.parametrize("name", MAKE)
def test_overlapping_trials_are_drawn_again_from_their_records(name: str) -> None:
    study = optuna.create_study(sampler=MAKE[name]())
    order = random.Random(0)
    running: list[optuna.Trial] = []
    for _ in range(60):
        trial = study.ask()
        value(trial)
        running.append(trial)
        while len(running) > order.randrange(6):
            done = running.pop(order.randrange(len(running)))
            study.tell(done, value(done))
    assert len({base(study, trial.number) for trial in study.trials}) > 5
    assert_rederives(study, MAKE[name]())


def test_straggler_blocks_nothing_after_a_population_of_later_trials() -> None:
    study = optuna.create_study(sampler=small())
    run(study, 2)
    straggler = study.ask()
    value(straggler)
    run(study, 30)
    assert [base(study, number) for number in range(3, 8)] == [0] * 5
    assert base(study, 8) > 0
    assert base(study, 31) > 10
    assert_rederives(study, small())


@pytest.mark.parametrize("told_at", [0, 1, 20])
def test_straggler_counts_as_missing_also_when_it_is_told_later(told_at: int) -> None:
    study = optuna.create_study(sampler=small())
    run(study, 2)
    straggler = study.ask()
    value(straggler)
    run(study, 6)  # the sixth is drawn without the straggler
    assert base(study, 8) > 0
    run(study, told_at)
    study.tell(straggler, -1e9)
    run(study, 30 - told_at)
    assert straggler.number not in mentioned(study.trials)
    assert_rederives(study, small())


def test_straggler_that_is_told_before_its_cohort_closes_counts() -> None:
    study = optuna.create_study(sampler=small())
    run(study, 2)
    straggler = study.ask()
    value(straggler)
    run(study, 3)
    study.tell(straggler, -1e9)
    run(study, 20)
    assert straggler.number in mentioned(study.trials)


def test_failed_trials_are_never_waited_for() -> None:
    study = optuna.create_study(sampler=small())
    for _ in range(20):
        study.tell(study.ask(), state=TrialState.FAIL)
    assert base(study, 19) == 1 + 4 * 3, "the start and three generations of 4 cohorts"


def test_pruned_trials_rank_after_finished_ones_by_their_last_value_and_failed_ones_last() -> None:
    study = optuna.create_study(direction="maximize", sampler=BioTuneSampler(seed=0, population=8))

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        if trial.number in (0, 3):
            raise Broken
        if reported := {1: 9.0, 4: 99.0}.get(trial.number):
            trial.report(0.0, step=0)
            trial.report(reported, step=1)
        if trial.number in (1, 2, 4):
            raise optuna.TrialPruned
        return float(trial.number)

    study.optimize(objective, n_trials=9, catch=(Broken,))
    sampler = BioTuneSampler(seed=0, population=8)
    start = sampler._up_to_date(study).at(1, ())
    assert [i.number for i in start.state.population] == [7, 6, 5, 4, 1, 2, 0, 3]


def test_waiting_trial_is_a_member_where_it_is_executed() -> None:
    study = optuna.create_study(sampler=small())
    run(study, 1)
    study.enqueue_trial({"x": 1.0, "lr": 1e-3, "n": 5, "kind": "a"})  # the optimum, in the start
    run(study, 30)
    assert study.best_trial.number == 1
    assert 1 in mentioned(study.trials)


@pytest.mark.parametrize("explicit", [True, False])
def test_parameter_that_appears_later_joins_and_keeps_what_is_known(explicit: bool) -> None:
    study = optuna.create_study(sampler=small(space=SPACE if explicit else None))
    run(study, 20)
    best = study.best_trial

    def more(trial: optuna.Trial) -> float:
        return value(trial) + trial.suggest_float("new", 0, 1)

    study.optimize(more, n_trials=40)
    assert assert_rederives(study, small(space=SPACE if explicit else None)) == 20 * 4 + 40 * 5
    searched = study.sampler.infer_relative_search_space(study, all_trials(study)[-1])
    assert ("new" in searched) is not explicit
    assert best.number in mentioned(study.trials[20:]), "the best of the old space goes on"


def test_changed_bound_starts_anew_with_the_old_trials_in_the_new_range() -> None:
    study = optuna.create_study(sampler=small())
    study.optimize(lambda trial: trial.suggest_float("x", 0, 10), n_trials=12)
    study.optimize(lambda trial: trial.suggest_float("x", 4, 6), n_trials=30)
    assert all(4 <= trial.params["x"] <= 6 for trial in study.trials[12:])
    assert_rederives(study, small())
    searched = study.sampler.infer_relative_search_space(study, all_trials(study)[-1])
    assert searched == {"x": FloatDistribution(4, 6)}


def probed(study: optuna.Study) -> list[tuple[int, int]]:
    """Each probe, and the elite that it is about."""
    return [(n, fact["of"]) for n, _, fact in drawn(study) if fact.get("kind") == "probe"]


def test_equal_values_are_decided_by_the_stored_tie() -> None:
    study = optuna.create_study(sampler=small())

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr(TIE_KEY, trial.suggest_float("x", 0, 1))
        return 0.5

    study.optimize(objective, n_trials=60)
    trials = study.trials
    assert len(probed(study)) > 20
    for number, elite in probed(study):
        generation = (number - 4) // 5 * 5 + 4  # its first trial; all before it are told
        best = min(trials[:generation], key=lambda trial: float(trial.params["x"]))
        assert elite == best.number


@pytest.mark.parametrize("outcome", [0.5, None])
def test_constant_objective_and_all_trials_failing_go_on(outcome: float | None) -> None:
    for name, make in MAKE.items():
        study = optuna.create_study(sampler=make())
        for _ in range(40):
            trial = study.ask()
            value(trial)
            study.tell(trial, outcome, state=None if outcome else TrialState.FAIL)
        assert assert_rederives(study, make()) == 160, name


def test_infinite_values_never_win() -> None:
    study = optuna.create_study(sampler=small())

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return float("inf") if x > 0.7 else -float("inf") if x > 0.4 else x

    study.optimize(objective, n_trials=40)
    assert any(trial.params["x"] > 0.4 for trial in study.trials[:4])
    assert all(study.trials[elite].params["x"] <= 0.4 for _, elite in probed(study))
    assert_rederives(study, small())
