"""How a search ends: who may win, what is trained on all labelled images, what is handed over."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from searches import GOOD, HEAD_ONLY, RECIPE, Case, searched

from optuna_layerwise import Ending, Final, ModelSpec
from optuna_layerwise.data import Splits
from optuna_layerwise.data.examples import joined
from optuna_layerwise.models.team import load_team
from optuna_layerwise.objective.entrants import suggested_epochs
from optuna_layerwise.policy import Policy
from optuna_layerwise.prediction import load_exported
from optuna_layerwise.records.final import openings
from optuna_layerwise.training import Engine

SEEDS = (7, 8)
REFERENCES = ("full", "probe-fitted")


@pytest.fixture(scope="module")
def case(spec: ModelSpec, splits: Splits) -> Case:
    return searched(spec, splits, [GOOD, HEAD_ONLY], 4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output") / "best.safetensors"


@pytest.fixture(scope="module")
def team(case: Case, weights: Path) -> Final:
    return case.objective.finalize(
        case.study,
        top=2,
        seeds=SEEDS,
        references=REFERENCES,
        weights=weights,
        ending=Ending(folds=3, deliver="team"),
    )


CALLS: list[tuple[str, int, int]] = []
"""What `one` was told of its trainings."""


@pytest.fixture(scope="module")
def one(spec: ModelSpec, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Final:
    case = searched(spec, splits, [GOOD, HEAD_ONLY], 4)
    return case.objective.finalize(
        case.study,
        top=2,
        seeds=SEEDS,
        references=REFERENCES,
        weights=tmp_path_factory.mktemp("one") / "best.safetensors",
        ending=Ending(folds=3, deliver="one", epochs=3),
        on_training=lambda *call: CALLS.append(call),
    )


def test_every_training_is_told_before_it_begins(one: Final) -> None:
    everyone = {each.name: each for each in (*one.finalists, *one.baselines)}.values()
    n, at_most = sum(len(each.val) for each in everyone), 3 * len(everyone)
    assert n <= at_most
    refits = [call for call in CALLS if call[0] == "refit"]
    assert [("finalists", done, at_most) for done in range(n)] + refits == CALLS
    assert refits == [("refit", done, len(refits)) for done in range(len(refits))]
    assert len(refits) > len(REFERENCES)


def test_the_files_team_has_the_very_test_result_that_is_stored(
    team: Final, case: Case, spec: ModelSpec, weights: Path
) -> None:
    given, classes = team.delivered, case.objective.data.classes
    assert given is not None and given.is_team and team.weights is not None
    model = load_team(weights, lambda: dataclasses.replace(spec, weights=None).build(len(classes)))
    engine = Engine(mean=spec.mean, std=spec.std, device="cpu")
    assert engine.evaluate(model, case.objective.data.test.open()) == given.test
    assert sum(member.weight for member in given.members) == pytest.approx(1)
    assert given.flops_of_one < given.flops <= len(given.members) * given.flops_of_one


def test_the_files_network_has_the_very_test_result_that_is_stored(
    one: Final, spec: ModelSpec, splits: Splits
) -> None:
    assert one.delivered is not None and one.weights is not None
    [member] = one.delivered.members
    model = dataclasses.replace(spec, weights=one.weights["path"]).build(len(splits.classes))
    engine = Engine(mean=spec.mean, std=spec.std, device="cpu")
    assert engine.evaluate(model, splits.test.open()) == one.delivered.test == one.chosen.test[0]
    assert member.seed == SEEDS[0]
    assert len(one.chosen.test) in (1, len(SEEDS)), "another seed's networks are tested, too"


def test_what_is_handed_over_was_trained_on_all_labelled_images(
    one: Final, case: Case, splits: Splits
) -> None:
    assert one.delivered is not None and one.weights is not None
    [member] = one.delivered.members
    assert member.epochs in (2, 3), "at least half of the three that were asked for"
    recipe = RECIPE.changed({**member.recipe, "epochs": member.epochs, "patience": None})
    trainer = case.objective.trainer
    model, labelled = trainer.model(), joined(splits.train, splits.val)
    policy = Policy(member.policy)
    trainer.train(policy, labelled, None, member.seed, model=model, recipe=recipe)
    saved = load_file(one.weights["path"])
    assert all(torch.equal(saved[name], t) for name, t in model.state_dict().items())


def test_each_labelled_image_is_held_out_once_and_the_baselines_compete(team: Final) -> None:
    names = {finalist.name for finalist in team.finalists}
    assert "logistic regression on the frozen features" in names, "it is never left behind"
    assert "full fine-tuning" in names
    assert team.delivered is not None and team.delivered.folds == 3
    probe = next(f for f in team.finalists if f.name.startswith("logistic"))
    assert len(probe.val) == 3
    assert team.delivered.held_out["accuracy"] == pytest.approx(
        round((team.delivered.held_out["accuracy"] or 0) * 150) / 150
    ), "a share of the 150 labelled images"


def test_what_one_would_do_anyway_is_handed_over_where_nothing_is_better(
    spec: ModelSpec, splits: Splits
) -> None:
    """The only policy of the search trains the head alone, hardly: the fitted probe is better."""
    lame = HEAD_ONLY | {"imp/head": 0.11}
    case = searched(spec, splits, [lame], 1, recipe=dataclasses.replace(RECIPE, lr=1e-6))
    final = case.objective.finalize(
        case.study, seeds=(1,), references=("probe-fitted",), ending=Ending(deliver="one")
    )
    assert final.chosen.name == "logistic regression on the frozen features"
    assert final.chosen.test == final.baselines[0].test
    assert final.delivered is not None
    assert final.delivered.leads["logistic regression on the frozen features"].value == 0


def test_the_promise_is_for_images_that_chose_nothing(team: Final, one: Final) -> None:
    for final in (team, one):
        assert final.delivered is not None and final.delivered.promised is not None
        promised = final.delivered.promised
        assert promised.low < promised.value < promised.high
        assert promised.low < (final.delivered.test["accuracy"] or 0) < promised.high + 0.1


def test_the_ending_is_recorded_before_the_test_and_repeats_the_choice(
    spec: ModelSpec, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes after a crash at the opening ends the search as the former did."""
    case = searched(spec, splits, [GOOD], 2)
    ending, more = Ending(folds=2, deliver="one"), {"references": ("probe-fitted",)}

    def crash() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(case.test), "open", lambda self: crash())
        with pytest.raises(KeyboardInterrupt):
            case.objective.finalize(case.study, top=1, seeds=(3,), ending=ending, **more)
    assert [opening.ending for opening in openings(case.study)] == [ending]
    with pytest.warns(UserWarning, match="opened at .* without a result"):
        final = case.objective.finalize(case.study, top=1, seeds=(9,), **more)
    assert final.delivered is not None and final.delivered.folds == 2
    assert [member.seed for member in final.delivered.members] == [3]


@pytest.mark.parametrize(
    ("best", "epochs"), [([3, 5, 9], 6), ([0, 0, 1], 5), ([-1, -1], 5), ([], 5), ([None, 8], 9)]
)
def test_epochs_without_validation_are_the_median_of_the_best_and_at_least_half(
    best: list[int | None], epochs: int, case: Case
) -> None:
    data = case.objective.data
    fit = case.objective.trainer.train(
        Policy({**dict.fromkeys(case.objective.blocks, 0.0), "head": 1.0}), data.train, data.val, 0
    )
    fits = [dataclasses.replace(fit, best_epoch=epoch) for epoch in best]
    assert suggested_epochs(10, fits) == epochs


@pytest.mark.parametrize("bad", [{"folds": 0}, {"deliver": "two"}, {"epochs": 0}])
def test_an_ending_that_makes_no_sense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Ending(**bad)  # type: ignore[arg-type]


def test_more_folds_than_images_of_a_class_are_refused_before_anything_is_trained(
    case: Case,
) -> None:
    study, opened = case.study, case.test.opened
    with pytest.raises(ValueError, match="from 2 to 30, the images of the smallest class, got 40"):
        case.objective.finalize(study, seeds=(1,), ending=Ending(folds=40), again=True)
    assert case.test.opened == opened
    assert np.isfinite(case.study.best_value)


@pytest.mark.slow
def test_an_interrupted_end_goes_on_to_the_same_bits_and_trains_nothing_twice(
    spec: ModelSpec, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {
        "top": 1,
        "seeds": (3, 4),
        "references": ("full", "probe-fitted"),
        "ending": Ending(folds=2, deliver="team"),
    }
    whole = searched(spec, splits, [GOOD], 1)
    expected = whole.objective.finalize(whole.study, weights=tmp_path / "whole", **how)
    case = searched(spec, splits, [GOOD], 1, checkpoints=tmp_path, checkpoint_seconds=0.0)
    train, done = case.objective.trainer.train, list[object]()

    def counted(*arguments: Any, **options: Any) -> Any:
        def stop(epoch: object) -> None:
            if len(done) == 4:  # in the middle of the fifth, with one epoch saved
                raise KeyboardInterrupt

        fit = train(*arguments, **{**options, "on_epoch": stop})
        done.append(fit)
        return fit

    with monkeypatch.context() as interrupted:
        interrupted.setattr(case.objective.trainer, "train", counted)
        with pytest.raises(KeyboardInterrupt):
            case.objective.finalize(case.study, weights=tmp_path / "best", **how)
    assert len(done) == 4
    again = list[object]()
    monkeypatch.setattr(
        case.objective.trainer, "train", lambda *a, **o: again.append(a) or train(*a, **o)
    )
    found = case.objective.finalize(case.study, weights=tmp_path / "best", **how)
    trained = sum(len(f.val) for f in expected.finalists)
    refits = sum(len(c.test) for c in (expected.chosen, *expected.baselines[:1]))
    assert len(again) < trained + refits + 2 - 3
    found_weights, its = (load_file(tmp_path / name) for name in ("best", "whole"))
    assert found_weights.keys() == its.keys()
    assert all(torch.equal(tensor, its[name]) for name, tensor in found_weights.items())
    assert found.delivered == expected.delivered
    assert not list(tmp_path.rglob("end-*.checkpoint"))


def test_the_file_alone_classifies_as_it_was_tested(
    case: Case, team: Final, weights: Path
) -> None:
    exported, test = load_exported(weights, device="cpu"), case.test.open()
    assert exported.classes == test.classes
    probabilities = exported.predict_proba(list(test.batch()))
    metrics = case.objective.trainer.evaluate(exported.model, test)
    own = probabilities[np.arange(len(test)), test.labels]
    assert (probabilities.argmax(axis=1) == test.labels).mean() == pytest.approx(
        team.delivered.test["accuracy"]  # type: ignore[union-attr]
    )
    assert metrics == team.delivered.test  # type: ignore[union-attr]
    assert exported.network.plausible == pytest.approx(np.quantile(own, 0.1), abs=0.35)
    share = np.mean(
        [
            test.classes[label] in names
            for label, names in zip(test.labels, exported.plausible(probabilities), strict=True)
        ]
    )
    assert share > 0.8  # promised of 0.9, for writers like those of the training images
