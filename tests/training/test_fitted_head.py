"""A head that starts as the logistic regression of what the frozen network feeds it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from transfer import Transfer

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.models import ModelSpec, partition
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.recipe_methods import Regression
from optuna_layerwise.tasks.classification import STRENGTHS
from optuna_layerwise.training import (
    Checkpoint,
    Engine,
    FitStopped,
    Trainer,
    fit,
    fitted_head,
)
from optuna_layerwise.training.fitted_head import fit_linear
from optuna_layerwise.training.metrics import START

FITTED = Recipe(lr=3e-3, epochs=4, patience=None, batch_size=16, head_start="fitted")
AS_IT_IS = Recipe(head_start="fitted", method=Regression())


def features(digits: Transfer) -> np.ndarray[Any, Any]:
    """What the pretrained network feeds its head, float64 [n, 64]."""
    model, fed = digits.build().eval(), []
    model.head.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    engine = Engine(mean=digits.spec.mean, std=digits.spec.std, device="cpu")
    with torch.no_grad():
        model(engine.resident(digits.splits.train).inputs(torch.arange(len(digits.splits.train))))
    return fed[0].double().numpy()


@pytest.mark.parametrize("n", [25, 50], ids=["fewer images than features", "all images"])
def test_it_is_the_regression_of_scikit_learn_on_features_of_one_scale(
    digits: Transfer, n: int
) -> None:
    x, y = features(digits)[:n], digits.splits.train.labels[:n]
    weight, bias = fit_linear(x, y, 5)
    mean, scale = x.mean(axis=0), x.std(axis=0).mean()
    distances = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=10_000, tol=1e-8)
        model.fit((x - mean) / scale, y)
        logits = model.decision_function((x - mean) / scale)
        ours = x @ weight.double().numpy().T + bias.double().numpy()
        distances.append(abs((ours - ours.mean(1, keepdims=True)) - logits).max())
    assert min(distances) < 0.1 < sorted(distances)[1], "the logits are those of one strength"


def test_two_classes_missing_classes_and_a_single_one() -> None:
    x = np.array([[-1.0, 5.0], [-2.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    weight, bias = fit_linear(x, np.array([0, 0, 2, 2, 2]), 4)
    logits = torch.from_numpy(x).float() @ weight.T + bias
    assert logits.argmax(dim=1).tolist() == [0, 0, 2, 2, 2]
    assert torch.equal(weight[0], -weight[2]) and not weight[[1, 3]].any()
    weight, bias = fit_linear(x, np.ones(5, dtype=int), 3)
    assert not weight.any() and bias.isfinite().all()
    weight, _ = fit_linear(x, np.arange(5), 5)  # one image for each class
    assert weight.isfinite().all()
    with pytest.raises(ValueError, match="expected finite features"):
        fit_linear(np.full((2, 2), np.nan), np.array([0, 1]), 2)


def test_only_a_fit_that_takes_long_says_so_and_in_one_line(
    digits: Transfer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digits.fit(digits.build(), recipe=AS_IT_IS)
    assert not caplog.messages

    def fit_until_it_is_said(*arguments: Any) -> Any:
        end = time.monotonic() + 60
        while not caplog.messages and time.monotonic() < end:
            time.sleep(0.01)
        return fit_linear(*arguments)

    monkeypatch.setattr(fitted_head, "fit_linear", fit_until_it_is_said)
    monkeypatch.setattr(fitted_head, "_QUIET_SECONDS", 0.01)
    digits.fit(digits.build(), recipe=AS_IT_IS)
    (said,) = caplog.messages
    assert said == "fitting the head to 50 images with 64 features each, which takes a while"


def test_the_fitted_head_is_kept_if_no_epoch_improves_on_it(digits: Transfer) -> None:
    model = digits.build()
    as_it_is = digits.fit(model, recipe=AS_IT_IS)
    assert as_it_is.best_epoch == START and as_it_is.history == ()
    assert as_it_is.metrics == digits.evaluate(model)
    assert as_it_is.metrics["accuracy"] > 0.6 and as_it_is.cost.images_seen == 0
    assert as_it_is.cost.flops > 0, "the images went through the network"

    destroyed = digits.build()
    ruinous = Recipe(lr=1.0, optimizer="sgd", epochs=2, patience=None, head_start="fitted")
    result = digits.fit(destroyed, recipe=ruinous)
    assert result.best_epoch == START and result.metrics == as_it_is.metrics
    assert all(map(torch.equal, destroyed.state_dict().values(), model.state_dict().values()))

    better = digits.fit(digits.build(), recipe=FITTED)
    assert better.best_epoch not in (START, None)
    assert better.metrics["accuracy"] >= as_it_is.metrics["accuracy"]
    assert better.history[0]["train_loss"] < digits.fit(digits.build()).history[0]["train_loss"]


@pytest.mark.slow
def test_trainings_from_the_same_weights_share_one_head(digits: Transfer) -> None:
    trainer = Trainer(digits.spec, digits.splits, FITTED, device="cpu")
    train, val, policy = digits.splits.train, digits.splits.val, digits.policy()
    first, again = (trainer.train(policy, train, val, 0) for _ in range(2))
    assert first.history == again.history and first.metrics == again.metrics
    saved = first.cost.flops - again.cost.flops
    assert saved == len(train) * sum(trainer.flops.values())
    alone = digits.fit(digits.build(), recipe=FITTED)
    assert alone.metrics == first.metrics
    scratch = BASELINES["scratch"].applied(FITTED)
    assert scratch.head_start == "random"
    half = trainer.train(policy, train.subset(slice(25)), val, 0, recipe=AS_IT_IS)
    assert half.metrics != trainer.train(policy, train, val, 0, recipe=AS_IT_IS).metrics


@pytest.mark.slow
def test_it_goes_on_after_an_interruption_with_the_same_bits(
    digits: Transfer, tmp_path: Path
) -> None:
    whole, model = digits.fit(expected := digits.build(), recipe=FITTED), digits.build()
    for _ in range(50):
        steps = iter([False] * 3 + [True])
        checkpoint = Checkpoint(tmp_path / "state", {"trial": 0}, every=0.0)
        try:
            pieces = digits.fit(
                model := digits.build(),
                recipe=FITTED,
                should_stop=lambda steps=steps: next(steps),  # type: ignore[misc]
                checkpoint=checkpoint,
            )
            break
        except FitStopped:
            continue
    assert pieces.history == whole.history and pieces.metrics == whole.metrics
    assert pieces.cost.flops == whole.cost.flops
    assert all(map(torch.equal, model.state_dict().values(), expected.state_dict().values()))


def test_a_head_that_is_not_linear_starts_at_random_and_says_so(digits: Transfer) -> None:
    spec = ModelSpec(name="squeezenet1_1", weights=None, image_size=32)
    transfer = Transfer(spec, digits_of(32))
    said = "the head 'classifier.1' of SqueezeNet is a Conv2d"
    with pytest.warns(UserWarning, match=re.escape(said)):
        fitted = transfer.fit(transfer.build(), recipe=Recipe(epochs=1, head_start="fitted"))
    assert fitted.best_epoch is not None


class Odd(nn.Module):
    """Calls its head in a way that tells nothing of an image's features."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(192, 16)), nn.Linear(16, 5)
        self.how = how
        if how == "weight norm":
            nn.utils.parametrizations.weight_norm(self.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        logits: torch.Tensor = self.head(input=x) if self.how == "by name" else self.head(x)
        return (logits + self.head(x)) / 2 if self.how == "twice" else logits


@pytest.mark.parametrize("how", ["by name", "twice", "weight norm"])
def test_a_head_whose_input_cannot_be_seen_starts_at_random(digits: Transfer, how: str) -> None:
    model = Odd(how)
    blocks = partition(model, patterns={"body": "body.*", "head": "head.*"})
    engine = Engine(mean=digits.spec.mean, std=digits.spec.std, device="cpu")
    splits = digits.splits.train, digits.splits.val
    with pytest.warns(UserWarning, match="so it starts at random"):
        fit(model, blocks, Policy.uniform(blocks), FITTED, *splits, engine, seed=0)


def test_every_head_of_a_distilled_network_is_fitted(digits: Transfer) -> None:
    class Distilled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Tanh())
            self.head, self.head_dist = nn.Linear(16, 5), nn.Linear(16, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.body(x)
            logits: torch.Tensor = (self.head(x) + self.head_dist(x)) / 2
            return logits

    torch.manual_seed(0)
    model = Distilled()
    blocks = partition(model, patterns={"body": "body.*", "head": "head.*"})
    engine = Engine(mean=digits.spec.mean, std=digits.spec.std, device="cpu")
    fit(
        model,
        blocks,
        Policy.uniform(blocks),
        AS_IT_IS,
        digits.splits.train,
        digits.splits.val,
        engine,
        seed=0,
    )
    assert torch.equal(model.head.weight, model.head_dist.weight)


def test_recipes_from_before_have_the_digest_that_they_had() -> None:
    assert "head_start" not in Recipe().as_dict()
    assert Recipe.from_json(FITTED.to_json()) == FITTED
    with pytest.raises(ValueError, match="Regression needs head_start='fitted', got 'random'"):
        Recipe(method=Regression())
    with pytest.raises(ValueError, match=r"head_start must be one of \['random', 'fitted'\]"):
        Recipe(head_start="warm")  # type: ignore[arg-type]


def digits_of(size: int) -> Any:
    from optuna_layerwise.data import load_data

    return load_data("digits", image_size=size)
