"""BioTune's evolution, on the pure algorithm."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from members import Serial, cube, member

from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.samplers._algorithm import Genes, Member
from optuna_layerwise.samplers._rng import TrialRng
from optuna_layerwise.samplers.biotune import PRESETS, BioTune, State

DEFAULT = BioTune()
BATCHED = BioTune(reproduction="batched")
AGAIN = BioTune(reevaluate_elites=True)
VARIANTS = {
    "default": DEFAULT,
    "batched": BATCHED,
    "momentum": BioTune(momentum=True),
    "paper": PRESETS["paper"],
    "reevaluating": AGAIN,
    "without elites": BioTune(elites=0),
    "rank": BioTune(extinction="rank"),
}


def generations(algorithm: BioTune, n_trials: int) -> list[int]:
    """The generation of each trial number."""
    numbers = (
        algorithm.generation(k) for k in itertools.count() for _ in range(algorithm.cohort_size(k))
    )
    return list(itertools.islice(numbers, n_trials))


def kinds(search: Serial) -> list[str]:
    return [draw.facts["kind"] for draw in search.draws]


def sphere(genes: Genes) -> float:
    return float(((genes - 0.7) ** 2).sum())


@pytest.mark.parametrize("algorithm", [DEFAULT, BATCHED])
@pytest.mark.parametrize("g", [1, 2, 10])
def test_g_generations_take_10_plus_13_g_trials(algorithm: BioTune, g: int) -> None:
    of_trial = generations(algorithm, 10 + 13 * g + 1)
    assert Counter(of_trial[:-1]) == {0: 23, **dict.fromkeys(range(1, g), 13)}
    assert of_trial[-1] == g


def test_reevaluation_adds_one_trial_per_elite_and_generation_but_the_first() -> None:
    assert Counter(generations(AGAIN, 23 + 16 * 3)) == {0: 23, 1: 16, 2: 16, 3: 16}


def test_folds_of_the_start_and_of_five_generations_are_0_0_1_0_1_0() -> None:
    of_trial = generations(DEFAULT, 10 + 13 * 5)
    firsts = [0, *range(10, 75, 13)]
    assert [of_trial[number] % 2 for number in firsts] == [0, 0, 1, 0, 1, 0]
    assert sorted(of_trial) == of_trial


@pytest.mark.parametrize("algorithm", [DEFAULT, BATCHED])
def test_generation_is_six_probes_of_three_elites_and_seven_new_individuals(
    algorithm: BioTune,
) -> None:
    search = Serial(algorithm, cube(4))
    search.run(sphere, generations=3)
    assert kinds(search)[:10] == ["immigrant"] * 10
    for first in (10, 23, 36):
        assert kinds(search)[first : first + 6] == ["probe"] * 6
        assert set(kinds(search)[first + 6 : first + 13]) <= {"child", "immigrant"}
        signs = [draw.facts["sign"] for draw in search.draws[first : first + 6]]
        assert signs == [1, -1] * 3


def test_probes_move_one_gene_of_their_elite_by_the_same_step_both_ways() -> None:
    search = Serial(BioTune(perturbation=0.1), cube(4))
    search.run(sphere, generations=2)
    boundary = search.states[2 + 7]  # before the probes of generation 1
    steps = []
    for place in range(3):
        up, down = search.draws[23 + 2 * place : 25 + 2 * place]
        elite = boundary.population[place]
        assert up.facts["of"] == down.facts["of"] == elite.number
        moved = [np.flatnonzero(draw.genes != elite.genes) for draw in (up, down)]
        assert moved[0].tolist() == moved[1].tolist() and len(moved[0]) == 1
        assert up.genes + down.genes == pytest.approx(2 * elite.genes)
        steps.append(float(np.abs(up.genes - elite.genes).max()))
    assert 0 < max(steps) <= 0.1


def test_probe_stays_in_the_cube() -> None:
    search = Serial(BioTune(perturbation=1.0), cube(2))
    search.run(sphere, generations=20)
    genes = np.stack([draw.genes for draw in search.draws])
    assert genes.min() == 0 and genes.max() == 1, "some were clipped"


@pytest.mark.parametrize("choices", [[4, 3], [2, 2], [2, 0], [2, 5]])
def test_probes_of_categories_are_two_points_one_gene_from_their_elite(choices: list[int]) -> None:
    search = Serial(DEFAULT, cube(2, choices=choices))
    search.run(lambda genes: abs(float(genes.sum()) - 0.9), generations=4)
    by_number = {m.number: m.genes for cohort in search.cohorts for m in cohort}
    probes = [draw for draw in search.draws if draw.facts["kind"] == "probe"]
    for up, down in zip(probes[::2], probes[1::2], strict=True):
        assert (up.genes != down.genes).any()
        for draw in (up, down):
            assert (draw.genes != by_number[draw.facts["of"]]).sum() == 1


def test_probes_of_the_only_gene_with_two_categories_are_the_other_category() -> None:
    search = Serial(DEFAULT, cube(1, choices=[2]))
    search.run(lambda genes: float(genes.sum()), generations=2)
    by_number = {m.number: m.genes for cohort in search.cohorts for m in cohort}
    probes = [draw for draw in search.draws if draw.facts["kind"] == "probe"]
    assert all(draw.genes == 1 - by_number[draw.facts["of"]] for draw in probes)


def after_start(algorithm: BioTune, n: int = 3) -> Serial:
    """Ten individuals with costs 0.1 to 1.0; the probes are next."""
    search = Serial(algorithm, cube(n))
    search.tell(search.ask(), [(i + 1) / 10 for i in range(10)])
    return search


def costs(state: State) -> list[float]:
    return [individual.member.cost for individual in state.population]


def test_elite_moves_only_to_a_strictly_better_probe() -> None:
    search = after_start(DEFAULT)
    #            elite 0.1: equal   elite 0.2: both better   elite 0.3: fails, worse
    search.tell(search.ask(), [0.1, 0.1, 0.15, 0.05, None, 0.31])
    assert [i.number for i in search.state.population] == [0, 13, 2, *range(3, 10)]
    assert costs(search.state)[:3] == [0.1, 0.05, 0.3], "the order is that before the probes"


def test_two_equal_better_probes_move_the_elite_to_the_first_but_not_in_the_paper() -> None:
    outcomes = [0.05, 0.05, *[1.0] * 4]
    for preset, number in (("default", 10), ("paper", 0)):
        search = after_start(PRESETS[preset])
        search.tell(search.ask(), outcomes)
        assert search.state.population[0].number == number


def test_moved_elite_keeps_its_extinction() -> None:
    search = Serial(DEFAULT, cube(3))
    search.run(sphere, generations=1)
    before = search.state.population
    assert before[1].extinction > 0
    search.tell(search.ask(), [-1.0] * 6)
    after = search.state.population
    assert [i.extinction for i in after] == [i.extinction for i in before]
    assert {i.number for i in after[:3]}.isdisjoint(i.number for i in before)


def test_equal_values_are_ordered_by_the_tie_attribute_and_then_by_number() -> None:
    algorithm = BioTune(population=4, elites=1)
    genes = np.linspace(0, 1, 4)[:, None]
    tied = [member(i, genes[i], 0.5, tie=tie) for i, tie in enumerate([3.0, 1.0, 2.0, 1.0])]
    state = algorithm.tell(algorithm.start(cube(1)), 0, tied)
    assert [i.number for i in state.population] == [1, 3, 2, 0]


def test_equal_value_with_a_better_tie_is_strictly_better_and_an_equal_one_is_not() -> None:
    elite = member(7, np.zeros(1), 0.5, tie=1.0)
    assert member(9, np.zeros(1), 0.5, tie=0.5).beats(elite)
    assert not member(3, np.zeros(1), 0.5, tie=1.0).beats(elite)


def test_successful_children_exhaust_their_parents_until_immigrants_come() -> None:
    search = after_start(DEFAULT)
    search.tell(search.ask(), [2.0] * 6)
    chosen: list[int] = []
    for child in range(7):
        [draw] = search.ask()
        if child < 4:  # the pool: 10, 8, 6, 4, 2
            parents = draw.facts["parents"]
            assert len(set(parents)) == 2 and not set(parents) & set(chosen)
            chosen += parents
        else:
            assert draw.facts == {"kind": "immigrant"}
        search.tell([draw], [0.0])
    assert search.algorithm.generation(len(search.cohorts)) == 1
    assert search.state.pool is None


def test_child_exhausts_only_the_parents_that_it_beats() -> None:
    search = after_start(DEFAULT)
    search.tell(search.ask(), [2.0] * 6)
    [draw] = search.ask()
    parents = sorted(draw.facts["parents"], key=lambda number: (number + 1) / 10)
    worse = parents[1]
    search.tell([draw], [(parents[0] + 1) / 10])  # equal to the better, better than the worse
    assert search.state.pool is not None
    assert {i.number for i in search.state.pool} == set(range(10)) - {worse}


def test_unsuccessful_children_leave_the_pool_as_it_is() -> None:
    search = after_start(DEFAULT)
    search.tell(search.ask(), [2.0] * 6)
    for _ in range(6):
        search.tell(search.ask(), [5.0])
        assert search.state.pool is not None and len(search.state.pool) == 10


def test_pool_that_parallel_children_have_exhausted_brings_immigrants() -> None:
    algorithm = BioTune(population=4, elites=1)
    search = Serial(algorithm, cube(2))
    search.tell(search.ask(), [0.1, 0.2, 0.3, 0.4])
    search.tell(search.ask(), [1.0, 1.0])
    for parents in ([0, 1], [2, 3]):  # both were drawn from the full pool
        [draw] = search.ask()
        facts = {"kind": "child", "parents": parents, "prototype": 0}
        search.tell([dataclasses.replace(draw, facts=facts)], [0.0])
    assert search.state.pool == ()
    assert search.ask()[0].facts == {"kind": "immigrant"}


def test_children_of_a_batch_are_drawn_from_the_whole_population() -> None:
    search = after_start(BATCHED)
    search.tell(search.ask(), [2.0] * 6)
    draws = search.ask()
    assert [draw.facts["kind"] for draw in draws] == ["child"] * 7
    search.tell(draws, [0.0] * 7)
    assert costs(search.state) == [0.0] * 7 + [0.1, 0.2, 0.3]


def test_survivors_are_the_elites_and_the_children_not_the_best_of_all() -> None:
    search = after_start(DEFAULT)
    search.tell(search.ask(), [2.0] * 6)
    for _ in range(7):
        search.tell(search.ask(), [9.0])
    assert costs(search.state) == [0.1, 0.2, 0.3] + [9.0] * 7


def test_places_of_missing_children_go_to_the_old_population() -> None:
    search = after_start(DEFAULT)
    search.tell(search.ask(), [2.0] * 6)
    nothing = np.full(3, np.nan)
    for _ in range(7):
        missing = [member(len(search.draws), nothing, None)]
        search.states.append(DEFAULT.tell(search.state, len(search.cohorts), missing))
        search.cohorts.append(missing)
    assert costs(search.state) == [(i + 1) / 10 for i in range(10)]


def test_reevaluated_elites_are_asked_as_they_are_and_sorted_by_their_new_values() -> None:
    search = Serial(AGAIN, cube(3))
    search.run(sphere, generations=1)
    before = search.state.population
    draws = search.ask()
    assert [d.facts for d in draws] == [{"kind": "elite", "of": i.number} for i in before[:3]]
    assert all((d.genes == i.genes).all() for d, i in zip(draws, before, strict=False))
    first = len(search.draws)
    search.tell(draws, [before[3].member.cost + 1e-9, 9.0, None])
    after = search.state.population
    assert [i.number for i in after[:3]] == [before[3].number, first, before[4].number]
    assert after[-2].number == first + 1, "the elite whose new value is the worst"
    assert after[-1].number == first + 2, "the elite whose new evaluation failed"
    assert [d.facts["of"] for d in search.ask()[::2]] == [i.number for i in after[:3]]


def test_ask_before_its_results_is_a_child_or_an_immigrant() -> None:
    algorithm = DEFAULT
    rng = TrialRng(0, 1, 0)
    nothing = algorithm.start(cube(3))
    assert algorithm.ask(nothing, 1, 0, rng).facts == {"kind": "immigrant"}
    search = Serial(algorithm, cube(3))
    search.run(sphere, generations=1)
    probes_of_generation_2 = len(search.cohorts) + 8
    early = algorithm.ask(search.state, probes_of_generation_2, 0, rng)
    assert early.facts["kind"] == "child"


def test_child_asked_in_the_place_of_a_probe_joins_the_offspring() -> None:
    search = after_start(DEFAULT)
    draws = search.ask()
    early = dataclasses.replace(
        draws[0], facts={"kind": "child", "parents": [0, 1], "prototype": 0}
    )
    search.tell([early, *draws[1:]], [0.0, *[2.0] * 5])
    for _ in range(7):
        search.tell(search.ask(), [9.0])
    assert costs(search.state) == [0.0, 0.1, 0.2, 0.3] + [9.0] * 6


@pytest.mark.sweep(4)
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("cost", [0.5, 0.0, -0.5, None])
def test_constant_objective_and_nothing_but_failures_keep_every_gene_in_the_cube(
    name: str, cost: float | None
) -> None:
    search = Serial(VARIANTS[name], cube(4, choices=[0, 0, 3, 2], gates=[1]))
    search.run(lambda genes: cost, generations=4)
    genes = np.stack([draw.genes for draw in search.draws])
    assert np.isfinite(genes).all() and (genes >= 0).all() and (genes <= 1).all()
    assert len({tuple(row) for row in genes.tolist()}) > len(genes) / 2, "it goes on searching"


@pytest.mark.parametrize("name", VARIANTS)
def test_tell_changes_neither_the_state_nor_the_members(name: str) -> None:
    algorithm = VARIANTS[name]
    search = Serial(algorithm, cube(3))
    search.run(sphere, generations=2)

    def content(state: State) -> Any:
        return [
            (i.number, i.genes.tolist(), i.momentum.tolist(), i.extinction)
            for i in (*state.population, *(state.pool or ()), *state.offspring)
        ]

    for k, members in enumerate(search.cohorts):
        before = content(search.states[k]), [m.genes.tolist() for m in members]
        again = algorithm.tell(search.states[k], k, members)
        shuffled: list[Member] = members[::-1]
        assert content(again) == content(search.states[k + 1])
        if k == 0:
            assert content(algorithm.tell(search.states[k], k, shuffled)) == content(again)
        assert (content(search.states[k]), [m.genes.tolist() for m in members]) == before


def test_momentum_carries_a_child_beyond_its_parents_and_is_off_by_default() -> None:
    def outside(algorithm: BioTune) -> int:
        search = Serial(algorithm, cube(4), seed=3)
        search.run(sphere, generations=1)
        by_number = {m.number: m.genes for cohort in search.cohorts for m in cohort}
        count = 0
        for draw in search.draws[16:]:
            if draw.facts["kind"] == "child":
                hull = [by_number[n] for n in (*draw.facts["parents"], draw.facts["prototype"])]
                inside = (draw.genes >= np.min(hull, axis=0) - 1e-12) & (
                    draw.genes <= np.max(hull, axis=0) + 1e-12
                )
                count += not inside.all()
        return count

    assert outside(BioTune()) == 0
    assert outside(BioTune(momentum=True)) > 0


def test_evolution_beats_its_own_start_population() -> None:
    search = Serial(DEFAULT, cube(5))
    search.run(sphere, generations=10)
    outcomes = [m.cost for cohort in search.cohorts for m in cohort]
    assert min(outcomes) < 0.1 * min(outcomes[:10])


@pytest.mark.parametrize(
    "options, named",
    [
        ({"population": 3}, "population"),
        ({"elites": 10}, "elites"),
        ({"elites": -1}, "elites"),
        ({"momentum": "no"}, "momentum"),
        ({"population": 4.5}, "population"),
        ({"perturbation": 0.0}, "perturbation"),
        ({"reproduction": "parallel"}, "reproduction"),
        ({"extinction": "linear"}, "extinction"),
        ({"preset": "papers"}, "preset"),
        ({"seed": -1}, "seed"),
    ],
)
def test_option_out_of_range_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}.*{next(iter(options.values()))}"):
        BioTuneSampler(**options)
