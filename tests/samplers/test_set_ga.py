"""P-Transfer's genetic algorithm: nothing twice, and parents from all that was visited."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from members import Serial, cube, member
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from rederiving import assert_rederives

from optuna_layerwise.encodings import Encoding
from optuna_layerwise.samplers import SetGASampler
from optuna_layerwise.samplers._algorithm import Genes
from optuna_layerwise.samplers._rng import TrialRng
from optuna_layerwise.samplers.set_ga import PRESETS, SetGA, State, identity, point
from optuna_layerwise.storage import trial_record

optuna.logging.set_verbosity(optuna.logging.CRITICAL)

BLOCKS = [f"block{b}" for b in range(6)]
RATES = [0.0, 1e-4, 1e-3, 1e-2]
SPACE = {block: CategoricalDistribution(RATES) for block in BLOCKS}
SMALL = SetGA(population=6, mutants=3, crossovers=3, parents=4)


def params(trial: optuna.Trial) -> list[float]:
    return [trial.suggest_categorical(block, RATES) for block in BLOCKS]


def cost(trial: optuna.Trial) -> float:
    return sum(abs(RATES.index(rate) - b % 4) for b, rate in enumerate(params(trial)))


def search(n_trials: int, **options: Any) -> optuna.Study:
    study = optuna.create_study(sampler=SetGASampler(seed=0, search_space=SPACE, **options))
    study.optimize(cost, n_trials=n_trials)
    return study


def points(trials: Sequence[FrozenTrial]) -> list[tuple[Any, ...]]:
    return [tuple(trial.params[name] for name in sorted(trial.params)) for trial in trials]


def kinds(study: optuna.Study) -> list[str]:
    return [trial_record(trial)["facts"]["kind"] for trial in study.trials]


def sphere(genes: Genes) -> float:
    return float(((genes - 0.7) ** 2).sum())


def test_no_point_is_visited_twice() -> None:
    study = search(200)
    assert len(set(points(study.trials))) == 200
    assert assert_rederives(study, SetGASampler(search_space=SPACE)) == 200 * 6


def test_twenty_random_trials_come_first_and_then_batches_of_ten_mutants_and_ten_crossovers() -> (
    None
):
    search = Serial(SetGA(), cube(30, choices=[4] * 30))
    search.run(sphere, generations=4)
    of_cohort = [[m.facts["kind"] for m in cohort if m.facts] for cohort in search.cohorts]
    assert of_cohort == [["immigrant"] * 20, *[["mutant"] * 10 + ["crossover"] * 10] * 4]


@pytest.mark.slow
def test_the_paper_adds_fifty_random_points_to_fifty_mutants_and_fifty_crossovers() -> None:
    search = Serial(PRESETS["paper"], cube(30, choices=[4] * 30))
    search.run(sphere, generations=1)
    drawn = Counter(draw.facts["kind"] for draw in search.draws[20:])
    assert drawn == {"mutant": 50, "crossover": 50, "immigrant": 50}
    assert sum(PRESETS["paper"].cohort_size(k) for k in range(21)) == 3020


@pytest.mark.slow
def test_parents_are_the_best_ten_of_all_visited() -> None:
    trials = search(300).trials
    for first in range(20, 300, 20):
        ranked = sorted(trials[:first], key=lambda t: (t.value, t.number))
        best = {trial.number for trial in ranked[:10]}
        for trial in trials[first : first + 20]:
            assert set(trial_record(trial)["facts"].get("parents", ())) <= best
    used = {n for t in trials[280:] for n in trial_record(t)["facts"].get("parents", ())}
    assert min(used) < 200, "the best of long ago are still parents"


def test_a_trial_of_somebody_else_becomes_a_parent_and_is_not_visited_again() -> None:
    study = optuna.create_study(sampler=SetGASampler(seed=0, search_space=SPACE))
    best = {block: RATES[b % 4] for b, block in enumerate(BLOCKS)}
    study.optimize(cost, n_trials=5)
    study.add_trial(optuna.create_trial(params=best, distributions=SPACE, value=0.0))
    study.enqueue_trial({**best, "block0": 1e-2})
    study.optimize(cost, n_trials=94)
    assert len(set(points(study.trials))) == 100
    parents = {
        n for t in study.trials for n in trial_record(t).get("facts", {}).get("parents", ())
    }
    assert 5 in parents


def test_a_mutant_differs_from_its_parent_by_genes_drawn_anew_and_most_stay() -> None:
    search = Serial(SetGA(mutants=20, crossovers=0), cube(40, choices=[4] * 40))
    search.run(sphere, generations=20)
    by_number = {m.number: m.genes for cohort in search.cohorts for m in cohort}
    mutants = [m for cohort in search.cohorts[1:] for m in cohort]
    changed = []
    for m in mutants:
        assert m.facts is not None and len(m.facts["parents"]) == 1
        changed.append(int((m.genes != by_number[m.facts["parents"][0]]).sum()))
    assert min(changed) >= 1
    assert np.mean(changed) == pytest.approx(40 * 0.1 * 3 / 4, rel=0.1)


def test_a_crossover_has_each_gene_from_one_of_two_parents() -> None:
    search = Serial(SetGA(mutants=0, crossovers=20), cube(40))
    search.run(sphere, generations=6)
    by_number = {m.number: m.genes for cohort in search.cohorts for m in cohort}
    children = [m for cohort in search.cohorts[1:] for m in cohort if m.facts]
    children = [m for m in children if m.facts and m.facts["kind"] == "crossover"]
    assert len(children) > 100
    for child in children:
        assert child.facts is not None
        a, b = (by_number[number] for number in child.facts["parents"])
        assert ((child.genes == a) | (child.genes == b)).all()
        assert (child.genes != a).any() and (child.genes != b).any()


def test_members_of_a_batch_differ_although_each_is_drawn_on_its_own() -> None:
    algorithm = SetGA(population=4, mutants=12, crossovers=12, parents=2)
    space = cube(4, choices=[2, 3, 2, 3])  # 36 points
    state = algorithm.tell(
        algorithm.start(space),
        0,
        [member(i, point(9 * i, space.levels), float(i)) for i in range(4)],
    )
    order = np.random.default_rng(0).permutation(24)
    draws = {int(i): algorithm.ask(state, 1, int(i), TrialRng(0, 1, int(i))) for i in order}
    assert len({identity(space, draw.genes) for draw in draws.values()} | state.visited) == 28


def test_a_space_is_visited_whole_before_anything_is_repeated() -> None:
    space = {"a": IntDistribution(0, 2), "b": FloatDistribution(0, 1, step=0.5)}
    space |= {"c": CategoricalDistribution(["x", "y", "z"]), "d": IntDistribution(5, 5)}
    study = optuna.create_study(sampler=SetGASampler(seed=0, search_space=space))

    def objective(trial: optuna.Trial) -> float:
        a, b = trial.suggest_int("a", 0, 2), trial.suggest_float("b", 0, 1, step=0.5)
        return a + b + "xyz".index(trial.suggest_categorical("c", ["x", "y", "z"]))

    study.optimize(objective, n_trials=40)
    assert len(set(points(study.trials[:27]))) == 27
    assert kinds(study)[27:] == ["repeat"] * 13
    assert "repeat" not in kinds(study)[:27]


@pytest.mark.slow
def test_integers_on_a_logarithmic_scale_are_not_repeated() -> None:
    space = {
        "n": IntDistribution(1, 4, log=True),
        **{name: CategoricalDistribution([0, 1, 2]) for name in "abc"},
    }
    study = optuna.create_study(sampler=SetGASampler(seed=0, search_space=space))

    def objective(trial: optuna.Trial) -> float:
        rest = sum(trial.suggest_categorical(name, [0, 1, 2]) for name in "abc")
        return trial.suggest_int("n", 1, 4, log=True) + rest

    study.optimize(objective, n_trials=80)
    assert len(set(points(study.trials))) == 80


def test_an_invalid_point_is_never_drawn_while_a_valid_one_is_left() -> None:
    def valid(genes: Genes) -> bool:
        return bool(genes[0] > 0.5)

    search = Serial(SMALL, cube(3, choices=[2, 4, 4], valid=valid))
    search.run(sphere, generations=4)  # 30 of 32, of which 16 are valid
    ok = [valid(draw.genes) for draw in search.draws]
    assert ok == [True] * 16 + [False] * 14
    assert len({identity(search.space, draw.genes) for draw in search.draws}) == 30


def test_genes_without_effect_do_not_make_another_point() -> None:
    def active(genes: Genes) -> Any:
        return np.array([True, genes[0] > 0.5, True])

    space = cube(3, choices=[2, 4, 4], active=active)  # 4 + 16 points
    search = Serial(SMALL, space)
    search.run(sphere, generations=3)
    visited = [identity(space, draw.genes) for draw in search.draws]
    assert len(set(visited[:20])) == 20
    assert [draw.facts["kind"] == "repeat" for draw in search.draws] == [False] * 20 + [True] * 4


def test_a_batch_without_known_parents_is_random() -> None:
    algorithm = SetGA()
    state = algorithm.start(cube(5, choices=[4] * 5))
    assert algorithm.ask(state, 1, 3, TrialRng(0, 1, 3)).facts == {"kind": "immigrant"}


def test_failed_points_are_visited_and_never_parents() -> None:
    search = Serial(SMALL, cube(3, choices=[4] * 3))
    search.tell(search.ask(), [None, 1.0, None, 2.0, None, None])
    assert [m.number for m in search.state.best] == [1, 3]
    assert len(search.state.visited) == 6
    search.run(lambda genes: None, generations=8)
    assert [m.number for m in search.state.best] == [1, 3]
    assert len({identity(search.space, draw.genes) for draw in search.draws}) == len(search.draws)


def test_a_point_that_others_repeat_is_one_parent_with_its_best_value() -> None:
    space = cube(2, choices=[4, 4])
    genes = [point(i, space.levels) for i in (3, 3, 5, 3)]
    members = [member(i, g, c) for i, (g, c) in enumerate(zip(genes, [3, 1, 2, 9], strict=True))]
    state = SMALL.tell(SMALL.start(space), 0, members)
    assert [m.number for m in state.best] == [1, 2]


def test_genes_that_a_parent_lacks_are_drawn_and_its_others_are_kept() -> None:
    space = cube(2)
    members = [member(0, np.array([0.25, np.nan]), 0.0), member(1, np.array([0.25, np.nan]), 1.0)]
    members.append(member(2, np.array([0.75, 0.5]), 2.0))
    state = SetGA().tell(SetGA().start(space), 0, members)
    drawn = [SetGA().ask(state, 1, i, TrialRng(0, 1, i)) for i in range(20)]
    assert np.isfinite([draw.genes for draw in drawn]).all()
    of_first = [draw.genes[1] for draw in drawn if draw.facts.get("parents") == [0]]
    assert len(of_first) > 1 and len(set(of_first)) == len(of_first)


@pytest.mark.parametrize("outcome", [0.5, -0.5, None])
def test_a_constant_objective_keeps_every_gene_in_the_cube(outcome: float | None) -> None:
    search = Serial(SMALL, cube(4, choices=[0, 0, 3, 2], levels=[0, 5, 3, 2]))
    search.run(lambda genes: outcome, generations=6)
    genes = np.stack([draw.genes for draw in search.draws])
    assert (genes >= 0).all() and (genes <= 1).all()


def test_tell_changes_neither_the_state_nor_the_members() -> None:
    search = Serial(SMALL, cube(3))
    search.run(sphere, generations=2)

    def content(state: State) -> Any:
        return sorted(state.visited), [(m.number, m.genes.tolist()) for m in state.best]

    for k, members in enumerate(search.cohorts):
        before = content(search.states[k]), [m.genes.tolist() for m in members]
        again = SMALL.tell(search.states[k], k, members[::-1])
        assert content(again) == content(search.states[k + 1])
        assert (content(search.states[k]), [m.genes.tolist() for m in members]) == before


@pytest.mark.slow
def test_search_beats_its_own_random_start_by_more_than_random_search() -> None:
    def best(sampler: optuna.samplers.BaseSampler) -> float:
        study = optuna.create_study(sampler=sampler)
        study.optimize(cost, n_trials=100)
        return study.best_value

    found = [best(SetGASampler(seed=seed, search_space=SPACE)) for seed in range(5)]
    random = [best(optuna.samplers.RandomSampler(seed=seed)) for seed in range(5)]
    assert np.mean(found) < np.mean(random) - 0.5


def test_continuous_layer_genes_are_searched_and_drawn_again_from_their_records() -> None:
    encoding = Encoding.preset("biotune", BLOCKS, head="search")
    study = optuna.create_study(sampler=SetGASampler(seed=0, encoding=encoding))

    def objective(trial: optuna.Trial) -> float:
        policy = encoding.suggest(trial)
        assert policy.trained, "an empty policy is not valid"
        return sum(policy.values())

    study.optimize(objective, n_trials=80)
    assert assert_rederives(study, SetGASampler(encoding=encoding)) == 80 * 7
    assert {"mutant", "crossover"} <= set(kinds(study))


def test_point_counts_all_combinations_of_levels() -> None:
    every = {tuple(point(i, (2, 3, 4)).tolist()) for i in range(24)}
    halves, thirds, quarters = ([(k + 0.5) / n for k in range(n)] for n in (2, 3, 4))
    assert every == set(itertools.product(halves, thirds, quarters))


@pytest.mark.parametrize(
    "options, named",
    [
        ({"population": 1}, "population"),
        ({"parents": 1}, "parents"),
        ({"mutants": -1}, "mutants"),
        ({"mutation": 0.0}, "mutation"),
        ({"mutation": 1.5}, "mutation"),
        ({"preset": "papers"}, "preset"),
    ],
)
def test_option_out_of_range_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}.*{next(iter(options.values()))}"):
        SetGASampler(**options)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must not all be 0"):
        SetGASampler(mutants=0, crossovers=0)
