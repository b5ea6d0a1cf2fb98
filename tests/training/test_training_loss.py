"""Smoothed labels and weighted classes: what they change in a step, beside every method."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from test_courses import METHODS, ONE_STEP
from torch.nn.functional import cross_entropy, one_hot
from transfer import Transfer

from optuna_layerwise.models import balanced_weights, reset_head, training_loss
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.recipe_methods import Method
from optuna_layerwise.training import Compute

CHANGED = {"label_smoothing": 0.2, "class_weights": "balanced"}


def test_balanced_weights_are_those_of_sklearn_and_0_without_an_image() -> None:
    labels = np.array([0, 0, 0, 2, 2, 3])
    weights = balanced_weights(torch.from_numpy(labels), 5)
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert weights[[0, 2, 3]].tolist() == pytest.approx(expected)
    assert weights[[1, 4]].tolist() == [0, 0]
    assert weights[torch.from_numpy(labels)].mean() == pytest.approx(1)


@pytest.mark.parametrize("micro_batch", [None, 7])
def test_one_step_is_that_of_the_equations(digits: Transfer, micro_batch: int | None) -> None:
    """Also in parts, in which other shares of the classes meet."""
    train = digits.splits.train.subset(slice(30))
    assert len(set(np.bincount(train.labels))) > 1, "as many images in each class"
    ours, plain = digits.build(), digits.build()
    compute = Compute(micro_batch=micro_batch)
    recipe = dataclasses.replace(ONE_STEP, bn="eval_all", **CHANGED)
    result = digits.fit(ours, recipe=recipe, train=train, compute=compute)

    reset_head(plain, digits.spec.partition(plain), 0)
    pixels = torch.from_numpy(train.batch()).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (digits.spec.mean, digits.spec.std))
    labels = torch.from_numpy(train.labels)
    log = plain.eval()((pixels / 255 - mean) / std).log_softmax(1)
    weights = 30 / (len(labels.unique()) * torch.bincount(labels, minlength=5))
    each = -((0.8 * one_hot(labels, 5) + 0.2 / 5) * log).sum(1)
    loss = (weights[labels] * each).mean()
    loss.backward()
    assert result.history[0]["train_loss"] == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in plain.named_parameters():
        assert parameter.grad is not None
        stepped = parameter - ONE_STEP.lr * parameter.grad
        assert torch.allclose(ours.get_parameter(name), stepped, atol=1e-6), name


def test_at_the_defaults_the_loss_is_the_plain_one_to_the_last_bit(digits: Transfer) -> None:
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.from_numpy(digits.splits.train.labels)
    assert torch.equal(
        training_loss(digits.build(), logits, labels), cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_trains_with_them(digits: Transfer, method: Method) -> None:
    train = digits.splits.train.subset(slice(40))
    recipe = Recipe(lr=3e-3, epochs=1, batch_size=16, method=method)
    changes: list[dict[str, Any]] = [{field: value} for field, value in CHANGED.items()]
    changes += [{"augment": "flip-crop"}]
    losses = [
        digits.fit(digits.build(), recipe=r, train=train).history[0]["train_loss"]
        for r in (recipe, *(dataclasses.replace(recipe, **change) for change in changes))
    ]
    assert all(map(math.isfinite, losses)) and len(set(losses)) == 4


def test_recipes_from_before_have_the_json_that_they_had() -> None:
    assert not set(CHANGED) & set(Recipe().as_dict())
    changed = Recipe(**CHANGED)  # type: ignore[arg-type]
    assert Recipe.from_json(changed.to_json()) == changed
    assert changed.as_dict().items() >= CHANGED.items()
