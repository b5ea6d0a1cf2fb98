"""CatCMA with margin as a sampler: what it is told, where it begins, any space and objective."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import cmaes
import numpy as np
import optuna
import pytest
from databases import close
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from rederiving import assert_rederives
from searching import SPACE, Broken, mixed, run, value
from test_codec import categories, float_steps, floats, ints, log_ints

from optuna_layerwise.encodings import ENCODINGS, Encoding
from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler, catcmawm
from optuna_layerwise.samplers._algorithm import Member
from optuna_layerwise.samplers._warm_start import ALPHA, best_params, promising
from optuna_layerwise.storage import open_storage, stored_start, trial_record

BLOCKS = ["stem", "layer1", "layer2", "layer3", "head"]


def small(**options: Any) -> CatCMAwMSampler:
    return CatCMAwMSampler(seed=0, population=5, **options)


class Told:
    """The points that the algorithm learned from, by trial number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.points: dict[int, dict[str, tuple[float, bool]]] = {}
        original = catcmawm.CatCMA._points

        def points(algorithm: Any, state: Any, ranked: list[Member]) -> Any:
            numbers, used, chosen = original(algorithm, state, ranked)
            layout, names = state.layout, state.space.names
            for i, m in enumerate(ranked):
                told = dict(zip(layout.names, zip(numbers[i], used[i], strict=True), strict=True))
                for k, values, c in zip(layout.choices, layout.values, chosen[i], strict=True):
                    told[names[k]] = (values[c], c >= 0)
                self.points[m.number] = told
            return numbers, used, chosen

        monkeypatch.setattr(catcmawm.CatCMA, "_points", points)


@pytest.mark.parametrize("explicit", [True, False])
def test_what_is_told_is_what_was_executed_for_every_parameter_of_every_trial(
    explicit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of enqueued, added and failed trials, and of other samplers'."""
    told = Told(monkeypatch)
    sampler = small(search_space=SPACE if explicit else None)
    study = mixed(sampler)
    run(study, 5)
    space = catcmawm_space(SPACE)
    compared = 0
    for trial in study.trials[: max(told.points) + 1]:
        if trial.number not in told.points:
            assert not trial.params
            continue
        point = told.points[trial.number]
        genes = dict(zip(space.names, space.encode(trial.params), strict=True))
        clipped = np.array([min(max(point[name][0], 0.0), 1.0) for name in space.names])
        executed = dict(zip(space.names, space.executed(clipped), strict=True))
        for name in space.names:
            assert point[name][1] == (name in trial.params)
            if name in trial.params:
                assert executed[name] == pytest.approx(genes[name], abs=1e-9), (trial.number, name)
                compared += 1
    assert compared > 150


def catcmawm_space(search_space: dict[str, BaseDistribution]) -> Any:
    from optuna_layerwise.samplers._replay import make_space

    return make_space(dict(sorted(search_space.items())), None)


def test_no_parameter_is_drawn_at_random_once_the_space_is_known() -> None:
    """Each is the one that the record of the draw holds; Optuna would fall back silently."""
    from optuna_layerwise.samplers._codec import from_gene

    study = optuna.create_study(sampler=small())
    run(study, 30)
    for trial in study.trials[5:]:
        genes = trial_record(trial)["genes"]
        drawn = {k: from_gene(genes[k], d) for k, d in trial.distributions.items()}
        assert drawn == trial.params


def conditional(trial: optuna.Trial) -> float:
    outcome = 0.0
    for block in "abc":
        if trial.suggest_categorical(f"train {block}", [False, True]):
            outcome += (trial.suggest_float(f"rate {block}", 0, 1) - 0.8) ** 2 - 0.3
    return outcome


def test_conditional_parameters_keep_their_place_and_are_learned() -> None:
    study = optuna.create_study(sampler=CatCMAwMSampler(seed=1))
    study.optimize(conditional, n_trials=200)
    assert assert_rederives(study, CatCMAwMSampler(seed=1)) > 600
    late = study.trials[-30:]
    assert np.mean([t.params["train b"] for t in late]) > 0.7
    rates = [t.params["rate b"] for t in late if "rate b" in t.params]
    assert abs(np.mean(rates) - 0.8) < 0.1


def test_parameter_that_appears_later_joins_a_model_that_knows_the_old_trials() -> None:
    study = optuna.create_study(sampler=small())
    run(study, 40)
    known = state_of(study)
    study.optimize(lambda t: value(t) + (t.suggest_float("new", 0, 1) - 0.3) ** 2, n_trials=10)
    names = state_of(study).layout.names
    assert "new" in names
    mean = dict(zip(names, state_of(study).model.mean, strict=True))
    before = dict(zip(known.layout.names, known.model.mean, strict=True))
    assert abs(mean["x"] - 0.6) < 0.2 and abs(before["x"] - 0.6) < 0.2, "x is best at 1"
    assert_rederives(study, small())


def state_of(study: optuna.Study) -> Any:
    sampler = study.sampler
    assert isinstance(sampler, CatCMAwMSampler)
    return sampler._up_to_date(study).before(len(study.trials)).state


def test_trials_out_of_a_changed_range_do_not_count_where_they_were_not() -> None:
    study = optuna.create_study(sampler=small())
    study.optimize(lambda trial: trial.suggest_float("x", 0, 10) ** 2, n_trials=20)
    study.optimize(lambda trial: (trial.suggest_float("x", 4, 6) - 5.5) ** 2, n_trials=25)
    assert all(4 <= trial.params["x"] <= 6 for trial in study.trials[20:])
    assert abs(np.median([trial.params["x"] for trial in study.trials[-15:]]) - 5.5) < 0.2
    assert_rederives(study, small())


@pytest.mark.parametrize("make", [CatCMAwMSampler, BioTuneSampler])
def test_seeds_are_the_first_trials_and_leave_the_start_where_it_is(make: Any) -> None:
    seeds = [{"x": 1.0, "kind": "a"}, {"x": -2, "lr": 1e-2, "n": 3, "kind": "c"}]
    study = optuna.create_study(sampler=make(seed=0, population=5, seed_with=seeds))
    run(study, 20)
    for params, trial in zip(seeds, study.trials, strict=False):
        assert params.items() <= trial.params.items()
    assert {type(study.trials[1].params["x"]), type(study.trials[1].params["n"])} == {float, int}
    assert_rederives(study, make(seed=0, population=5))
    assert make(seed_with=seeds)._algorithm == make()._algorithm


def test_seeds_of_an_encoding_are_its_recipes() -> None:
    for name in ENCODINGS:
        encoding = Encoding.preset(name, BLOCKS)
        recipes = encoding.recipes()
        sampler = CatCMAwMSampler(seed=0, encoding=encoding, seed_with=recipes)
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t, e=encoding: policy_cost(e.suggest(t)), n_trials=25)
        for params, trial in zip(recipes, study.trials, strict=False):
            assert trial.params == params
        assert_rederives(study, CatCMAwMSampler(seed=0, encoding=encoding))


def policy_cost(policy: Any) -> float:
    best = {"stem": 0.0, "layer1": 0.0, "layer2": 0.3, "layer3": 1.0, "head": 3.0}
    return sum(abs(math.log10(policy[b] + 1e-2) - math.log10(v + 1e-2)) for b, v in best.items())


def test_encoding_says_where_a_search_begins_the_user_wins_and_the_paper_knows_neither() -> None:
    encoding = Encoding.preset("hybrid", BLOCKS)
    rate, bit = "lr/stem", "train/stem"

    def start(**options: Any) -> tuple[float, float, float]:
        sampler = CatCMAwMSampler(seed=0, encoding=encoding, **options)
        study = optuna.create_study(sampler=sampler)
        study.ask()
        state = state_of(study)
        i, j = state.layout.names.index(rate), list(state.space.names).index(bit)
        [c] = np.flatnonzero(state.layout.choices == j)
        return state.model.mean[i], state.model.std[i], state.model.probabilities[c, 1]

    mean, share = encoding.initial_means[rate]
    assert start() == pytest.approx((0.5, share, encoding.initial_probabilities[bit][1]))
    assert mean == 1e-3
    own = {"mean": {rate: 1e-4}, "spread": {rate: 0.3}, "probabilities": {bit: (0.4, 0.6)}}
    assert start(**own) == pytest.approx((0.25, 0.3, 0.6))
    assert start(spread=0.11)[1] == pytest.approx(0.11)
    assert start(preset="paper") == pytest.approx((0.5, 1 / 12, 0.5))


@pytest.fixture
def source() -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(value, n_trials=100)
    return study


def test_warm_start_begins_at_the_best_tenth_of_another_study(source: optuna.Study) -> None:
    study = optuna.create_study(sampler=small(init_from=source, search_space=SPACE))
    run(study, 5)
    best = sorted(source.trials, key=lambda trial: trial.value or 0.0)[:10]
    state = study.sampler._up_to_date(study).at(0, ()).state
    space = catcmawm_space(SPACE)
    genes = np.stack([space.encode(trial.params) for trial in best])
    x = state.layout.names.index("x")
    assert state.model.mean[x] == pytest.approx(genes[:, space.names.index("x")].mean())
    kinds = [trial.params["kind"] for trial in best]
    [q] = state.model.probabilities
    assert q == pytest.approx([(kinds.count(kind) + 1) / 13 for kind in "abc"])
    assert stored_start(study)["warm"] == [trial.params for trial in best]


def test_best_of_a_maximised_study_are_its_highest(source: optuna.Study) -> None:
    mirrored = optuna.create_study(direction="maximize")
    for trial in source.trials:
        assert trial.value is not None
        mirrored.add_trial(
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=-trial.value
            )
        )
    assert best_params(mirrored) == best_params(source)


@pytest.mark.slow
def test_warm_started_study_goes_on_without_the_other_one(
    source: optuna.Study, tmp_path: Path
) -> None:
    whole = optuna.create_study(sampler=small(init_from=source))
    run(whole, 16)
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(study_name="s", storage=storage, sampler=small(init_from=source))
    run(study, 8)
    study = optuna.load_study(study_name="s", storage=storage, sampler=small())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(study, 8)
    assert [t.params for t in study.trials] == [t.params for t in whole.trials]
    assert_rederives(study, small())
    close(storage)


def test_warm_start_is_that_of_the_first_even_if_the_other_study_went_on(
    source: optuna.Study,
) -> None:
    study = optuna.create_study(sampler=small(init_from=source))
    run(study, 12)
    source.optimize(value, n_trials=100)
    study.sampler = small(init_from=source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(study, 12)
    assert_rederives(study, small())


def test_first_trials_of_an_unknown_space_are_drawn_where_the_search_begins() -> None:
    options: dict[str, Any] = {
        "mean": {"x": 1.5},
        "spread": {"x": 0.01},
        "probabilities": {"kind": (0.0, 1.0, 0.0)},
    }
    study = optuna.create_study(sampler=CatCMAwMSampler(seed=0, **options))
    run(study, 10)
    assert all(abs(trial.params["x"] - 1.5) < 0.3 for trial in study.trials)
    assert {trial.params["kind"] for trial in study.trials} == {"b"}
    assert_rederives(study, CatCMAwMSampler(**options))
    untold = optuna.create_study(sampler=CatCMAwMSampler(seed=0))
    run(untold, 10)
    assert [t.params["lr"] for t in study.trials] == [t.params["lr"] for t in untold.trials]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mean": {"x": 9.0}}, "mean of 'x' is 9.0, which is not in its range"),
        ({"mean": {"kind": "a"}}, "'kind' has no mean"),
        ({"probabilities": {"x": [0.5, 0.5]}}, "'x' has no choices"),
    ],
)
def test_impossible_start_of_an_unknown_space_is_refused_in_the_first_trial(
    options: dict[str, Any], message: str
) -> None:
    study = optuna.create_study(sampler=CatCMAwMSampler(seed=0, **options))
    with pytest.raises(ValueError, match=message):
        run(study, 1)


def test_seed_out_of_a_range_that_was_not_known_is_told() -> None:
    study = optuna.create_study(sampler=small(seed_with=[{"x": 99.0}]))
    with pytest.warns(UserWarning, match=r"seed_with\[0\] has 'x' = 99.0, which is not a value"):
        run(study, 1)


def test_good_values_out_of_the_range_of_the_study_do_not_say_where_it_begins() -> None:
    source = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    source.optimize(
        lambda trial: trial.suggest_float("x", 50, 90) + trial.suggest_float("y", 0, 4), 30
    )
    space = {"x": FloatDistribution(0, 10), "y": FloatDistribution(0, 4)}
    study = optuna.create_study(sampler=small(init_from=source, search_space=space))
    study.ask()
    x, y = state_of(study).model.mean
    assert x == 0.5
    assert y != 0.5


def test_warm_start_is_that_of_cmaes() -> None:
    points = np.random.default_rng(0).random((10, 4))
    mean, cov = promising(points)
    solutions = [(point, float(i)) for i, point in enumerate(points)]
    expected, sigma, shape = cmaes.get_warm_start_mgd(solutions, gamma=1.0, alpha=ALPHA)
    assert mean == pytest.approx(expected)
    assert cov == pytest.approx(sigma**2 * shape)


def test_warm_start_of_nothing_is_refused() -> None:
    empty = optuna.create_study(study_name="empty")
    with pytest.raises(ValueError, match="'empty' has no finished trial"):
        small(init_from=empty)


def test_one_sampler_keeps_a_warm_and_a_cold_study_apart(source: optuna.Study) -> None:
    warm = optuna.create_study(sampler=small(init_from=source))
    run(warm, 10)
    sampler = small()
    cold = optuna.create_study(sampler=sampler)
    warm.sampler = sampler
    for _ in range(10):
        run(cold, 1)
        run(warm, 1)
    expected = optuna.create_study(sampler=small())
    run(expected, 10)
    assert [t.params for t in cold.trials] == [t.params for t in expected.trials]
    assert_rederives(warm, small())


PLAIN = st.one_of(ints(), log_ints(), float_steps(), categories(), floats(log=True)).map(
    lambda pair: pair[0]
)
WIDE = st.just(FloatDistribution(1e-12, 1.0, log=True))
PARAMETER = st.one_of(PLAIN, WIDE, st.just(FloatDistribution(-1, 1)))
OUTCOMES = st.sampled_from(["value", "tie", "nan", "inf", "-inf", "fail", "prune", "huge"])


def suggest(trial: optuna.Trial, name: str, d: BaseDistribution) -> Any:
    if isinstance(d, CategoricalDistribution):
        return trial.suggest_categorical(name, d.choices)
    if isinstance(d, FloatDistribution):
        return trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
    return trial.suggest_int(name, d.low, d.high, step=d.step, log=d.log)  # type: ignore[attr-defined]


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(
    parameters=st.lists(PARAMETER, max_size=5),
    conditional=st.integers(0, 5),
    outcomes=st.lists(OUTCOMES, min_size=1, max_size=7),
    options=st.fixed_dictionaries(
        {
            "population": st.sampled_from([4, 5, 7]),
            "covariance": st.sampled_from(["full", "diagonal"]),
            "preset": st.sampled_from(["default", "paper"]),
        }
    ),
    explicit=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_space_and_any_outcomes_give_values_in_range_and_no_warning(
    parameters: list[BaseDistribution],
    conditional: int,
    outcomes: list[str],
    options: dict[str, Any],
    explicit: bool,
    seed: int,
) -> None:
    space = {f"p{i}": d for i, d in enumerate(parameters)}
    made = {"seed": seed, "search_space": space if explicit else None, **options}
    study = optuna.create_study(sampler=CatCMAwMSampler(**made))

    def objective(trial: optuna.Trial) -> float:
        outcome, total = outcomes[trial.number % len(outcomes)], 0.0
        for i, (name, d) in enumerate(space.items()):
            if i != conditional or trial.number % 3:
                suggested = suggest(trial, name, d)
                assert d._contains(d.to_internal_repr(suggested))
                total += len(repr(suggested)) % 7 + (i == 0) * float(
                    suggested if isinstance(suggested, float) else 0.0
                )
        if outcome == "fail":
            raise Broken
        if outcome == "prune":
            trial.report(total, step=0)
            raise optuna.TrialPruned
        special = {"tie": 1.0, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}
        return special.get(outcome, 1e308 if outcome == "huge" else total)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.optimize(objective, n_trials=3 * options["population"] + 2, catch=(Broken,))
    assert len(study.trials) == 3 * options["population"] + 2
