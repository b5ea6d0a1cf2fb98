"""Networks of the user's own: modules and functions, from the search to the saved file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from torch import nn

from optuna_layerwise import FinetuneObjective, ModelSpec, OwnModel, Recipe
from optuna_layerwise.data import Splits
from optuna_layerwise.prediction import load_exported
from optuna_layerwise.records.final import Ending
from optuna_layerwise.reporting.export import export
from optuna_layerwise.samplers import CatCMAwMSampler

QUICK = Recipe(epochs=1, patience=None, batch_size=25)


def pretrained(outputs: int = 10) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(8, outputs),
    )


def without_argument() -> nn.Module:
    return pretrained()


def by_name(*, num_classes: int) -> nn.Module:
    return pretrained(num_classes)


@pytest.mark.parametrize(
    "make", [pretrained().double(), without_argument, lambda n: pretrained(n), by_name]
)
def test_modules_and_functions_are_built_with_the_datas_classes_and_their_own_weights(
    make: nn.Module,
) -> None:
    model = OwnModel(make=make, image_size=8).build(4)
    assert model[2].out_features == 4  # type: ignore[index,union-attr]
    own = pretrained().state_dict()
    trunk = [name for name in own if not name.startswith("2.")]
    assert all(torch.equal(model.state_dict()[name], own[name]) for name in trunk)


def test_a_search_is_finalized_and_its_file_loaded_by_who_can_build_it(
    splits: Splits, tmp_path: Path
) -> None:
    module = pretrained()
    objective = FinetuneObjective(model=module, data=splits, recipe=QUICK, device="cpu")
    sampler = CatCMAwMSampler(seed=0, encoding=objective.encoding)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=2)
    file, ending = tmp_path / "best.safetensors", Ending(folds=1, deliver="one")
    final = objective.finalize(
        study, seeds=(1,), weights=file, ending=ending, references=("full",)
    )
    assert list(final.chosen.policy) == list(objective.blocks)
    with pytest.raises(ValueError, match=r"a network of your own, 'Sequential', which only"):
        load_exported(final.weights["path"])  # type: ignore[index]
    exported = load_exported(final.weights["path"], build=objective.spec.build, device="cpu")  # type: ignore[index]
    test = splits.test.open()
    said = exported.probabilities(list(test.batch()))
    metrics = objective.trainer.evaluate(exported.model, test)
    assert (said.argmax(1) == test.labels).mean() == pytest.approx(metrics["accuracy"])
    assert final.delivered is not None and metrics == final.delivered.test
    assert np.isfinite(said).all()
    with pytest.raises(ValueError, match="is of your own, and export writes"):
        export(study, tmp_path / "exported")


def test_another_weight_is_another_network_and_an_equal_one_the_same() -> None:
    digests = [OwnModel(make=pretrained(), image_size=8).digest for _ in range(2)]
    changed = pretrained()
    with torch.no_grad():
        changed[0][0].weight[0, 0, 0, 0] += 1  # type: ignore[index]
    assert digests[0] == digests[1] != OwnModel(make=changed, image_size=8).digest


def test_what_makes_no_network_is_refused(splits: Splits) -> None:
    with pytest.raises(ValueError, match="make must be a torch.nn.Module or a function"):
        OwnModel(make=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a torch.nn.Module to be made, got 3"):
        OwnModel(make=lambda: 3).build(2)  # type: ignore[arg-type,return-value]
    objective = FinetuneObjective(model=pretrained(), data=splits, recipe=QUICK, device="cpu")
    with pytest.raises(ValueError, match="no version with random weights"):
        objective.trainer.untrained_model(0)
    assert not isinstance(ModelSpec(name="digits_cnn", weights=None), OwnModel)
