"""A study within a budget: what is planned for its search and its end, and what is spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial
from searches import RECIPE

from optuna_layerwise import CatCMAwMSampler, FinetuneObjective, ModelSpec
from optuna_layerwise.cost import Budget, Cost
from optuna_layerwise.data import Splits, load_data
from optuna_layerwise.experiments.budget import Plan
from optuna_layerwise.records.final import Ending
from optuna_layerwise.records.run import RUN_KEY, readable_runs
from optuna_layerwise.studies import work
from optuna_layerwise.training import Fit

Make = Callable[..., FinetuneObjective]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_data("digits", image_size=8)


@pytest.fixture(scope="module")
def make(digits_weights: Path, splits: Splits) -> Make:
    spec = ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8)

    def objective() -> FinetuneObjective:
        return FinetuneObjective(
            model=spec, data=splits, encoding="continuous-multiplier", recipe=RECIPE, device="cpu"
        )

    return objective


def new_study(objective: FinetuneObjective) -> optuna.Study:
    sampler = CatCMAwMSampler(seed=0, encoding=objective.encoding)
    return optuna.create_study(direction="maximize", sampler=sampler)


def searched(make: Make, budget: str) -> tuple[FinetuneObjective, optuna.Study, Plan]:
    objective = make()
    study, plan = new_study(objective), Plan(objective, budget)
    assert work(study, objective, n_finished=plan.n_finished)
    return objective, study, plan


def counting(objective: FinetuneObjective) -> list[Cost]:
    """A list that gets the cost of each training from now on."""
    costs, train = list[Cost](), objective.trainer.train

    def counted(*arguments: Any, **options: Any) -> Fit:
        costs.append(Cost())
        fit = train(*arguments, **options)
        costs[-1] = fit.cost
        return fit

    objective.trainer.train = counted  # type: ignore[method-assign]
    return costs


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("900s", Budget(900, "seconds")),
        ("30m", Budget(1800, "seconds")),
        ("1.5h", Budget(5400, "seconds")),
        ("1e13flops", Budget(1e13, "flops")),
        ("60 trainings", Budget(60, "trainings")),
    ],
)
def test_a_budget_is_a_number_with_a_unit(text: str, budget: Budget) -> None:
    assert Budget.parsed(text) == budget


@pytest.mark.parametrize("text", ["30", "m", "-3m", "0h", "1e999s", "nan s", "3 days", "1h30m"])
def test_another_budget_is_refused_and_told_what_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="^--budget must be a number above 0 with one of s, m, h"):
        Budget.parsed(text)


@pytest.mark.sweep
@pytest.mark.parametrize("budget", ["40trainings", "1.2e10flops"])
def test_search_and_end_together_spend_the_budget_and_two_searches_are_the_same(
    make: Make, budget: str
) -> None:
    objective, study, plan = searched(make, budget)
    _, again, _ = searched(make, budget)
    said = [[(t.params, t.value) for t in each.trials] for each in (study, again)]
    assert said[0] == said[1]
    costs = counting(objective)
    objective.finalize(study, **plan.arguments(plan.end(study)))
    search, end = plan.spent(study)
    assert 0.9 <= (search + end) / plan.budget.amount <= 1.1
    assert end == pytest.approx(plan.budget.spent(sum(costs, Cost()), len(costs)))
    assert work(study, objective, n_finished=plan.n_finished)
    assert len(study.trials) == len(again.trials), "the end has not made room for more trials"


def test_all_trainings_of_search_and_end_are_counted(make: Make) -> None:
    objective = make()
    costs, study = counting(objective), new_study(objective)
    plan = Plan(objective, "24trainings")
    work(study, objective, n_finished=6)
    assert plan.spent(study) == (len(costs), 0)
    ending = Ending(folds=3, deliver="team", compete=False)
    final = objective.finalize(study, top=4, seeds=(5, 6), references=("full",), ending=ending)
    assert final.delivered is not None
    compared = {final.chosen.name, "full fine-tuning"}
    assert any(member.name not in compared for member in final.delivered.members)
    assert sum(plan.spent(study)) == len(costs)


def test_a_raised_budget_goes_on_and_trials_are_an_upper_bound(make: Make) -> None:
    objective, study, _ = searched(make, "16trainings")
    before = len(study.trials)
    more = Plan(objective, "24trainings", trials=before + 3)
    assert work(study, objective, n_finished=more.n_finished)
    assert len(study.trials) == before + 3


def test_the_end_gets_fewer_finalists_then_fewer_seeds_then_no_folds(make: Make) -> None:
    objective = make()
    study, ends = new_study(objective), []
    for amount in (40, 36, 33, 24, 11):
        end = Plan(objective, f"{amount}trainings", finalists=3).end(study)
        ends.append((end.finalists, end.seeds, end.folds))
    assert ends == [(3, 3, 5), (2, 3, 5), (1, 3, 5), (1, 1, 5), (1, 1, 1)]


def test_what_is_still_to_come_is_expected_from_the_trials_so_far(make: Make) -> None:
    objective = make()
    study = new_study(objective)
    plan = Plan(objective, "100000trainings", trials=6, finalists=1)
    search, end = plan.expected(study)
    assert (search, end) == (6 * len(objective.seeds), plan.end(study).cost)
    assert work(study, objective, n_finished=4)
    assert plan.expected(study)[0] == 2 * len(objective.seeds)
    seconds = Plan(objective, Budget(1e9, "seconds"), trials=6, finalists=1)
    spent = [run.cost.seconds for run in readable_runs(study, study.trials).values()]
    assert seconds.expected(study)[0] == pytest.approx(2 * np.median(spent))


def test_running_trials_count_with_what_they_will_cost(make: Make) -> None:
    """Where six more fit and three run, three may begin; where none fits, they are waited for."""
    objective, study, plan = searched(make, "24trainings")
    target = plan.n_finished(study, study.trials)
    assert target == len(study.trials)
    study.add_trials([create_trial(state=TrialState.RUNNING) for _ in range(3)])
    assert plan.n_finished(study, study.trials) == target + 3
    more = Plan(objective, Budget(24 + 6, "trainings"))
    assert more.n_finished(study, study.trials) == target + 6


def test_a_search_that_finds_nothing_new_is_over(make: Make) -> None:
    objective = make()
    study, plan = new_study(objective), Plan(objective, "4000trainings")
    work(study, objective, n_finished=1)
    first = study.trials[0]
    run = {**first.user_attrs[RUN_KEY], "repeats": [0], "flops": 0.0, "seconds": 0.0}
    same = create_trial(
        params=first.params,
        distributions=first.distributions,
        value=first.value,
        user_attrs={**first.user_attrs, RUN_KEY: run},
    )
    study.add_trials([same] * 99)
    assert plan.n_finished(study, study.trials) > 1000
    study.add_trial(same)
    assert plan.n_finished(study, study.trials) == 101


@pytest.mark.parametrize("budget", ["3trainings", "1e8flops", "0.001s"])
def test_too_small_a_budget_says_what_is_needed(make: Make, budget: str) -> None:
    objective = make()
    study = new_study(objective)
    with pytest.raises(ValueError, match="too small: .* take about .*, got .*; raise it"):
        work(study, objective, n_finished=Plan(objective, budget).n_finished)
    assert study.trials == []
