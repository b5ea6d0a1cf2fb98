"""The objective: what a trial trains, stores, costs and survives."""

from __future__ import annotations

import dataclasses
import signal
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
import torch
from interrupting import SignalAt
from optuna.pruners import BasePruner, ThresholdPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from torch.nn.functional import cross_entropy

from optuna_layerwise import FinetuneObjective, ModelSpec, TrialPaused, frozen, param_groups
from optuna_layerwise.data import Images, SealedImages, Splits, stratified_folds
from optuna_layerwise.encodings import Encoding
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.reporting.report_facts import facts
from optuna_layerwise.reporting.report_warnings import warnings_of
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import DATA_KEY, TIE_KEY, generation_of
from optuna_layerwise.studies.pausing import StopSignals

BLOCKS = ("stem", "stage1", "stage2", "stage3", "head")
QUICK = Recipe(lr=3e-3, epochs=2, patience=None, batch_size=25)
LAST, CTRL_C = QUICK.epochs - 1, signal.SIGINT
EVERYTHING = {f"imp/{block}": 0.75 for block in BLOCKS} | {"imp/__threshold__": 0.1}
NOTHING = EVERYTHING | {"imp/__threshold__": 1.0}


@pytest.fixture
def make(spec: ModelSpec, splits: Splits) -> Any:
    def make_objective(recipe: Recipe = QUICK, **options: Any) -> FinetuneObjective:
        options = {"model": spec, "data": splits, "device": "cpu", **options}
        return FinetuneObjective(recipe=recipe, **{"encoding": "biotune", **options})

    return make_objective


def search(
    objective: Any,
    *,
    n_trials: int,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
    first: dict[str, float] | None = None,
    direction: Any = "maximize",
) -> optuna.Study:
    study = optuna.create_study(
        direction=direction,
        sampler=sampler or RandomSampler(seed=0),
        pruner=pruner or optuna.pruners.NopPruner(),
    )
    if first is not None:
        study.enqueue_trial(first)
    study.optimize(objective, n_trials=n_trials)
    return study


def run_of(trial: FrozenTrial) -> dict[str, Any]:
    run = trial.user_attrs[RUN_KEY]
    assert isinstance(run, dict)
    return run


def test_a_trial_stores_what_it_trained_and_what_that_cost(make: Any, splits: Splits) -> None:
    objective = make(n_folds=2)
    sampler = BioTuneSampler(seed=0, encoding=objective.encoding)
    study = search(objective, n_trials=25, sampler=sampler)
    assert {generation_of(trial) for trial in study.trials} == {0, 1}
    sizes = {name: p.numel() for name, p in objective.trainer.model().named_parameters()}
    for trial in study.trials:
        run, policy = run_of(trial), objective.encoding.decode(trial.params)
        assert Policy(run["policy"]) == policy
        assert list(run["policy"]) == list(BLOCKS)
        assert run["generation"] == generation_of(trial)
        assert run["fold"] == run["generation"] % 2
        assert run["outcome"] == "complete"
        assert run["device"] == "cpu"
        trained = sum(n for name, n in sizes.items() if name.split(".")[0] in policy.trained)
        assert run["trained_share"] == pytest.approx(trained / sum(sizes.values()))
        assert trial.user_attrs["trained_share"] == pytest.approx(run["trained_share"], abs=1e-6)
        assert run["images_seen"] == 2 * len(splits.train) // 2
        started, finished = (datetime.fromisoformat(run[key]) for key in ("started", "finished"))
        assert started.utcoffset() == finished.utcoffset() == timedelta(0)
        assert timedelta(0) <= finished - started < timedelta(minutes=5)
        assert 0 < run["seconds"] <= (finished - started).total_seconds() + 0.002
        assert trial.user_attrs["seconds"] == pytest.approx(run["seconds"], abs=1e-3)
        assert set(run["phases"]) == {"data", "forward", "backward", "optimizer", "evaluation"}
        assert 0 < sum(run["phases"].values()) < run["seconds"]
        passes = 2 * (len(splits.train) // 2 + len(splits.val) // 2)
        assert run["flops_of_all"] > passes * sum(objective.trainer.flops.values())
        assert 0 < run["flops"] <= run["flops_of_all"]
        saved = 1 - run["flops"] / run["flops_of_all"]
        assert trial.user_attrs["saved_work"] == pytest.approx(saved, abs=1e-4)
        assert (run["flops"] == run["flops_of_all"]) == (policy.trained == BLOCKS)
        assert run["peak_memory_bytes"] > 2**20
        [metrics], [best_epoch] = run["metrics"], run["best_epochs"]
        assert trial.value == metrics["accuracy"] == trial.intermediate_values[best_epoch]
        assert trial.value == max(trial.intermediate_values.values())
        assert trial.user_attrs[TIE_KEY] == metrics["loss"]
        assert list(trial.intermediate_values) == [0, 1]


def test_a_trial_trains_its_policy_on_the_fold_of_its_generation(
    make: Any, splits: Splits
) -> None:
    objective = make(n_folds=2)
    study = search(objective, n_trials=11)
    parts = (splits.train, splits.val)
    folds = [
        [part.subset(fold) for fold in stratified_folds(part.labels, 2, seed=0)] for part in parts
    ]
    for number, fold in ((0, 0), (9, 0), (10, 1)):
        trial = study.trials[number]
        assert run_of(trial)["fold"] == fold
        policy = objective.encoding.decode(trial.params)
        again = objective.trainer.train(policy, folds[0][fold], folds[1][fold], seed=0)
        assert run_of(trial)["metrics"] == [again.metrics]


def test_one_fold_is_all_training_and_validation_images(make: Any, splits: Splits) -> None:
    objective = make()
    [trial] = search(objective, n_trials=1).trials
    policy = objective.encoding.decode(trial.params)
    again = objective.trainer.train(policy, splits.train, splits.val, seed=0)
    assert run_of(trial)["metrics"] == [again.metrics]
    assert run_of(trial)["images_seen"] == again.cost.images_seen == 2 * len(splits.train)


def test_a_study_that_was_searched_over_other_blocks_is_refused(
    make: Any, spec: ModelSpec
) -> None:
    two = dataclasses.replace(spec, patterns={"trunk": "(stem|stage).*", "head": "head.*"})
    study = search(make(model=two), n_trials=1)
    message = r"searched over the blocks \['trunk', 'head'\], but the network is now cut into"
    with pytest.raises(ValueError, match=message):
        study.optimize(make(), n_trials=1)


def test_the_value_is_the_mean_over_the_seeds(make: Any, splits: Splits) -> None:
    objective = make(seeds=(3, 4))
    [trial] = search(objective, n_trials=1, first=EVERYTHING).trials
    policy = objective.encoding.decode(EVERYTHING)
    fits = [objective.trainer.train(policy, splits.train, splits.val, seed) for seed in (3, 4)]
    assert run_of(trial)["metrics"] == [fit.metrics for fit in fits]
    assert fits[0].metrics != fits[1].metrics
    assert trial.value == pytest.approx(sum(f.metrics["accuracy"] for f in fits) / 2, abs=1e-12)
    assert trial.user_attrs[TIE_KEY] == pytest.approx(sum(f.metrics["loss"] for f in fits) / 2)
    assert run_of(trial)["images_seen"] == 2 * 2 * len(splits.train)
    reported = [metrics["accuracy"] for metrics in fits[0].history]
    assert list(trial.intermediate_values.values()) == reported


def test_the_metric_loss_is_minimised_and_needs_no_tie(make: Any) -> None:
    objective = make(dataclasses.replace(QUICK, metric="loss"))
    assert objective.direction == StudyDirection.MINIMIZE
    study = search(objective, n_trials=2, direction="minimize")
    for trial in study.trials:
        [metrics] = run_of(trial)["metrics"]
        assert trial.value == metrics["loss"] == min(trial.intermediate_values.values())
        assert TIE_KEY not in trial.user_attrs


def test_no_tie_is_stored_when_it_is_not_wanted(make: Any) -> None:
    [trial] = search(make(tie_break=False), n_trials=1).trials
    assert TIE_KEY not in trial.user_attrs


@pytest.mark.parametrize(
    ("metric", "direction"), [("accuracy", "minimize"), ("loss", "maximize"), ("auc", "minimize")]
)
def test_a_study_of_the_wrong_direction_is_refused_before_anything_is_asked(
    make: Any, metric: Any, direction: Any
) -> None:
    objective = make(dataclasses.replace(QUICK, metric=metric))
    study = optuna.create_study(direction=direction)
    with pytest.raises(ValueError, match=rf"{metric!r} needs .*got \['{direction}'\]"):
        study.optimize(objective, n_trials=1)
    assert study.trials[0].params == {}
    assert RUN_KEY not in study.trials[0].user_attrs


def test_the_direction_is_looked_at_in_every_study(make: Any) -> None:
    objective = make()
    for direction in ("maximize", "minimize"):
        study = optuna.create_study(study_name="same name", direction=direction)
        study.enqueue_trial(EVERYTHING)
        if direction == "maximize":
            study.optimize(objective, n_trials=1)
    with pytest.raises(ValueError, match="needs a study with direction='maximize'"):
        study.optimize(objective, n_trials=1)


@pytest.mark.parametrize(("metric", "worst"), [("accuracy", 0.0), ("loss", 10.0)])
def test_an_empty_policy_trains_nothing_and_is_worth_the_worst(
    make: Any, metric: Any, worst: float
) -> None:
    encoding = Encoding.preset("biotune", BLOCKS, head="search")
    objective = make(dataclasses.replace(QUICK, metric=metric), encoding=encoding)
    study = search(objective, n_trials=1, first=NOTHING, direction=objective.direction)
    [trial] = study.trials
    run = run_of(trial)
    assert (trial.state, trial.value, run["outcome"]) == (TrialState.COMPLETE, worst, "empty")
    assert (run["images_seen"], run["seconds"], run["trained_share"]) == (0, 0.0, 0.0)
    assert trial.intermediate_values == {}
    assert TIE_KEY not in trial.user_attrs


def test_a_trial_that_diverges_fails_with_its_outcome_and_the_study_goes_on(make: Any) -> None:
    wild = dataclasses.replace(QUICK, optimizer="sgd", lr=1e20, max_lr=1e30)
    objective = make(wild, seeds=(0, 1), reuse=False)
    study = search(objective, n_trials=12, sampler=BioTuneSampler(seed=0))
    states = [trial.state for trial in study.trials]
    assert set(states) == {TrialState.FAIL, TrialState.COMPLETE}  # a linear probe stands it
    for trial in study.trials:
        run = run_of(trial)
        failed = trial.state == TrialState.FAIL
        assert run["outcome"] == ("diverged" if failed else "complete")
        assert len(run["metrics"]) == (1 if failed else 2)  # the second seed was not tried
        assert 0 < run["images_seen"] <= 2 * 50 * len(run["metrics"])


def test_a_pruned_trial_stores_its_outcome_and_what_it_cost(make: Any, splits: Splits) -> None:
    pruner = ThresholdPruner(lower=1.1, n_warmup_steps=1)  # no accuracy gets there
    [trial] = search(make(dataclasses.replace(QUICK, epochs=4)), n_trials=1, pruner=pruner).trials
    assert trial.state == TrialState.PRUNED
    assert list(trial.intermediate_values) == [0, 1]
    assert trial.value == trial.intermediate_values[1]
    run = run_of(trial)
    assert run["outcome"] == "pruned"
    assert run["images_seen"] == 2 * len(splits.train)
    assert run["seconds"] > 0
    assert run["peak_memory_bytes"] > 2**20


def test_a_trial_is_not_pruned_where_nothing_is_left_to_save(make: Any) -> None:
    """After the last epoch it counts by its best one; with more seeds to come it is pruned."""
    recipe = dataclasses.replace(QUICK, epochs=2)
    for seeds, state in (((0,), TrialState.COMPLETE), ((0, 1), TrialState.PRUNED)):
        pruner = ThresholdPruner(lower=1.1, n_warmup_steps=1)
        [trial] = search(make(recipe, seeds=seeds), n_trials=1, pruner=pruner).trials
        assert (trial.state, list(trial.intermediate_values)) == (state, [0, 1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="memory runs out on CUDA only")
def test_out_of_memory_is_an_outcome_and_the_study_goes_on(make: Any) -> None:
    objective = make(device="cuda")
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        study.optimize(objective, n_trials=1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    study.optimize(objective, n_trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert [run_of(trial)["outcome"] for trial in study.trials] == ["out of memory", "complete"]


@pytest.mark.sweep
@pytest.mark.parametrize("sampler", [TPESampler, RandomSampler, BioTuneSampler])
def test_it_is_a_plain_objective_of_a_plain_study(make: Any, sampler: Any) -> None:
    study = search(make(QUICK), n_trials=12, sampler=sampler(seed=0))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 12
    assert 0 < study.best_value <= 1
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 12


def test_equal_parameters_have_equal_values_in_any_order(make: Any) -> None:
    first = search(make(), n_trials=3).trials
    again = optuna.create_study(direction="maximize")
    for trial in reversed(first):
        again.enqueue_trial(trial.params)
    again.optimize(make(), n_trials=3)
    assert [t.value for t in again.trials] == [t.value for t in reversed(first)]
    assert [t.intermediate_values for t in reversed(again.trials)] == [
        t.intermediate_values for t in first
    ]


class NeverOpened(SealedImages):
    def open(self) -> Images:
        raise AssertionError("a trial opened the test split")


def test_no_trial_opens_the_test_split(make: Any, splits: Splits) -> None:
    sealed = dataclasses.replace(splits, test=NeverOpened(splits.test.open()))
    pruner = ThresholdPruner(upper=0.8)
    study = search(make(data=sealed), n_trials=6, pruner=pruner)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_an_encoding_for_other_blocks_is_refused_with_both_lists(make: Any) -> None:
    encoding = Encoding.preset("biotune", ("stem", "head"))
    with pytest.raises(ValueError, match=r"\['stem', 'head'\], but digits_cnn has .*'stage3'"):
        make(encoding=encoding)


def test_a_search_on_random_weights_warns_once_and_the_study_and_its_report_say_so(
    make: Any, splits: Splits
) -> None:
    with pytest.warns(UserWarning, match="starts from random weights of digits_cnn") as caught:
        objective = make(model=ModelSpec(name="digits_cnn", weights=None))
        study = search(objective, n_trials=2, first=NOTHING)
    assert len(caught) == 1
    stored = study.user_attrs[DATA_KEY]["model_notices"]
    assert stored == list(objective.notices) == [str(caught[0].message)]
    (said,) = [text for text in warnings_of(facts(study)) if "random weights" in text]
    assert said.startswith("About the network: ")


def test_a_search_that_is_pretrained_or_scratch_by_its_method_does_not_warn(make: Any) -> None:
    assert make().notices == make(encoding="binary", baseline="scratch").notices == ()


def test_no_seed_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="seeds must have at least one"):
        make(seeds=())


@pytest.mark.sweep
@pytest.mark.parametrize("knows_the_encoding", [True, False])
def test_ones_own_objective_has_other_parameters_beside_the_layer_genes(
    spec: ModelSpec, splits: Splits, knows_the_encoding: bool
) -> None:
    encoding = Encoding.preset("biotune", BLOCKS)
    pixels = torch.from_numpy(splits.train.batch()).permute(0, 3, 1, 2) / 255
    labels = torch.from_numpy(splits.train.labels)

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        policy = encoding.suggest(trial)
        decay = trial.suggest_categorical("decay", [0.0, 0.1])
        model = spec.build(len(splits.classes))
        blocks = spec.partition(model)
        with frozen(model, blocks, policy):
            optimizer = torch.optim.AdamW(
                param_groups(model, blocks, policy, lr=lr, weight_decay=decay)
            )
            for _ in range(3):
                model.train()
                loss = cross_entropy(model(pixels), labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        trial.set_user_attr("policy", dict(policy))
        return loss.item()

    sampler = BioTuneSampler(seed=0, encoding=encoding if knows_the_encoding else None)
    study = search(objective, n_trials=24, sampler=sampler, direction="minimize")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 24
    for trial in study.trials:
        assert set(trial.params) == {"lr", "decay", *encoding.search_space}
        assert encoding.decode(trial.params) == Policy(trial.user_attrs["policy"])
    for name in ("lr", "decay"):
        assert len({trial.params[name] for trial in study.trials}) > 1


def test_a_continued_trial_reports_no_epoch_twice_and_ends_the_same(make: Any) -> None:
    recipe = dataclasses.replace(QUICK, epochs=4)
    whole = search(make(recipe), n_trials=1)
    study = optuna.create_study(
        direction="maximize", sampler=RandomSampler(seed=0), storage=SignalAt(1, number=CTRL_C)
    )
    with pytest.raises(TrialPaused, match="trial 0 is given back"):
        study.optimize(make(recipe), n_trials=1)
    [paused] = study.trials
    assert paused.state == TrialState.WAITING
    assert paused.params == whole.trials[0].params
    assert list(paused.intermediate_values) == [0, 1]
    study.optimize(make(recipe), n_trials=1)  # a second report of a step would warn
    [trial] = study.trials
    assert trial.state == TrialState.COMPLETE
    assert trial.params == whole.trials[0].params
    assert trial.value == whole.trials[0].value
    assert trial.intermediate_values == whole.trials[0].intermediate_values
    other = study.ask()
    other.report(0.0, step=0)
    with pytest.warns(UserWarning, match="already reported"):
        other.report(0.0, step=0)


def test_ctrl_c_after_the_last_step_is_not_lost(make: Any) -> None:
    """The signal arrives while the last epoch is validated: no step follows to look at it."""
    study = optuna.create_study(direction="maximize", storage=SignalAt(LAST, number=CTRL_C))
    with pytest.raises(TrialPaused):
        study.optimize(make(), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]


def test_ctrl_c_after_the_last_step_finishes_the_trial_if_someone_further_out_stops(
    make: Any,
) -> None:
    study = optuna.create_study(direction="maximize", storage=SignalAt(LAST, number=CTRL_C))
    with StopSignals() as stop:
        study.optimize(make(), n_trials=1)
    assert stop.received
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


def test_a_second_ctrl_c_does_not_fail_the_trial(make: Any) -> None:
    impatient = SignalAt(0, number=CTRL_C, times=2)
    study = optuna.create_study(direction="maximize", storage=impatient)
    with pytest.raises(TrialPaused):
        study.optimize(make(), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]
