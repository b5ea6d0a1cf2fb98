"""Every published baseline: its blocks, what it changes, and that it trains on real images."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import optuna
import pytest
import torch
from optuna.distributions import FloatDistribution

from optuna_layerwise import FinetuneObjective, ModelSpec, Recipe, load_data
from optuna_layerwise.baselines import BASELINES, REFERENCES, baseline_named
from optuna_layerwise.data import Splits
from optuna_layerwise.encodings import Bits, Encoding, Gene, Global
from optuna_layerwise.records.final import PUBLISHED_ENDING
from optuna_layerwise.records.run import run_of

BLOCKS = ("stem", "stage1", "stage2", "head")
MOBILENET = "weights/mobilenet_v2_w035_imagenet_notop.pth"
EACH = pytest.mark.parametrize("name", BASELINES)


@pytest.mark.sweep(4)
@EACH
def test_a_search_begins_at_the_method_itself_and_can_say_so(name: str) -> None:
    baseline = BASELINES[name]
    encoding = baseline.encoding(BLOCKS, lr=1e-3)
    if name != "probe-fitted":  # makes no step, so it has no rate
        assert "lr" in encoding.search_space and encoding.first["lr"] == 1e-3
    assert encoding.decode(encoding.first) == baseline.policy(BLOCKS)
    assert encoding.encode(baseline.policy(BLOCKS)) == pytest.approx(encoding.first)
    assert encoding.active(encoding.first) == set(encoding.search_space)
    for parameter, gene in encoding.genes.items():
        first = gene.distribution.to_internal_repr(encoding.first[parameter])
        assert gene.distribution._contains(first), parameter
    recipe = baseline.applied(Recipe())
    as_published = encoding.recipe(encoding.first, recipe)
    assert as_published == recipe, "what is tuned begins at what the recipe has"


def test_the_blocks_are_those_of_the_methods() -> None:
    trained = {name: BASELINES[name].policy(BLOCKS).trained for name in BASELINES}
    heads = {trained.pop(name) for name in ("probe", "probe-fitted", "last")}
    assert heads == {("head",)}
    assert trained.pop("first") == ("stem", "head")
    assert trained.pop("surgical") == (BLOCKS[1], "head")
    resnet = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
    assert BASELINES["surgical"].policy(resnet).trained == ("layer2", "layer3", "head")
    assert set(trained.values()) == {BLOCKS}
    decay = BASELINES["llrd"].policy(BLOCKS)
    rates = list(decay.values())
    assert rates[-1] == 1.0 and rates[0] == pytest.approx(0.1)
    ratios = [low / high for low, high in zip(rates, rates[1:], strict=False)]
    assert ratios == pytest.approx([ratios[0]] * 3)
    assert not BASELINES["scratch"].pretrained
    assert set(REFERENCES) <= set(BASELINES)


def test_an_unknown_baseline_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=re.escape("unknown baseline 'l2sp'; did you mean 'l2-sp")
    ):
        baseline_named("l2sp")


def test_the_head_of_a_baseline_is_not_searched() -> None:
    with pytest.raises(ValueError, match="a baseline always trains its head, got head='search'"):
        FinetuneObjective(model="digits_cnn", data="digits", baseline="probe", head="search")


@pytest.fixture(scope="module")
def busi(shared_data: Path) -> Splits:
    return load_data(shared_data / "busi", image_size=32, train_fraction=0.15, val=0.1)


@pytest.mark.slow
@EACH
def test_every_baseline_trains_the_mobilenet_on_busi_from_python(
    shared_data: Path, busi: Splits, name: str
) -> None:
    torch.set_num_threads(1)
    spec = ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=str(shared_data / MOBILENET),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=32,
    )
    recipe = Recipe(epochs=2, patience=None, batch_size=16)
    objective = FinetuneObjective(
        model=spec, data=busi, baseline=name, recipe=recipe, device="cpu"
    )
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(objective.encoding.first)
    study.optimize(objective, n_trials=2)
    first, second = study.trials
    assert first.params == objective.encoding.first
    assert second.params != first.params or not objective.encoding.search_space
    for trial in study.trials:
        run = run_of(study, trial)
        assert run is not None
        if trial.number == 0 or objective.encoding.search_space:
            assert run.outcome == "complete" and run.cost.flops > 0
            assert run.cost.images_seen >= 128 or name == "probe-fitted"
        else:
            assert run.outcome == "repeated"
        assert run.recipe == {field: trial.params[field] for field in objective.encoding.tuned}
    final = objective.finalize(
        study, top=1, seeds=(1,), references=("full",), ending=PUBLISHED_ENDING
    )
    [full] = final.baselines
    assert full.policy == dict(BASELINES["full"].policy(list(objective.blocks)))
    chosen = run_of(study, study.trials[int(final.chosen.name.removeprefix("trial "))])
    assert chosen is not None and final.chosen.recipe == chosen.recipe
    assert len(final.chosen.test) == 1
    if name == "full" and final.chosen.name == "trial 0":
        assert final.chosen.test == full.test, "the same training"


@pytest.mark.slow
def test_a_tuned_field_is_exported_as_it_was_trained(digits_weights: Path) -> None:
    """The recipe of a trial is its own: two trials that differ in it alone are both finalists."""
    spec = ModelSpec(name="digits_cnn", image_size=8, weights=str(digits_weights))
    recipe = Recipe(epochs=1, batch_size=25)
    objective = FinetuneObjective(
        model=spec, data="digits", baseline="l2-sp", recipe=recipe, device="cpu"
    )
    study = optuna.create_study(direction="maximize")
    for weight in (0.01, 1.0):
        study.enqueue_trial({"lr": 1e-3, "method.weight": weight})
    study.optimize(objective, n_trials=2)
    runs = [run_of(study, trial) for trial in study.trials]
    assert [run.recipe for run in runs if run] == [{"method.weight": 0.01}, {"method.weight": 1.0}]
    assert runs[0] and runs[1] and runs[0].training != runs[1].training
    final = objective.finalize(study, top=2, seeds=(1,), references=())
    assert {f.recipe["method.weight"] for f in final.finalists} == {0.01, 1.0}


def test_an_encoding_may_tune_fields_of_the_recipe_beside_the_policy() -> None:
    gene = Gene(FloatDistribution(1e-6, 1e-2, log=True), (1e-4, 0.25))
    encoding = Encoding(BLOCKS, Bits(), Global(), tuned={"weight_decay": gene})
    assert encoding.search_space["weight_decay"] == gene.distribution
    assert encoding.initial_means["weight_decay"] == (1e-4, 0.25)
    params = {**encoding.first, "weight_decay": 1e-3}
    assert encoding.recipe(params, Recipe()) == Recipe(weight_decay=1e-3)
    assert "weight_decay" in encoding.active(params)
    assert hash(encoding) == hash(dataclasses.replace(encoding))
    back = encoding.encode(encoding.decode(params))
    assert back == pytest.approx({**params, "weight_decay": 1e-4})
    assert all("weight_decay" in known for known in encoding.recipes())
