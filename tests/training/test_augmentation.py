"""Augmented views: fixed by their numbers, seen by training alone, computed once each."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch
from test_checkpoint import assert_same_end, trained
from torchvision.transforms import v2
from transfer import Transfer

from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Augment, Recipe
from optuna_layerwise.recipe_methods import Regression
from optuna_layerwise.training import Compute, Engine, Fit, Trainer
from optuna_layerwise.training import prefixes as prefixes_module
from optuna_layerwise.training.augmentation import AUGMENTATIONS, OPERATIONS, augmented

RECIPE = Recipe(lr=3e-3, epochs=6, patience=None, batch_size=25, augment="trivial", views=2)
HEAD_AND_LAST = Policy({"stem": 0, "stage1": 0, "stage2": 0, "stage3": 1, "head": 1})
EACH = pytest.mark.parametrize("kind", AUGMENTATIONS)


def picture(size: int) -> torch.Tensor:
    """Smooth and coloured, uint8 [size, size, 3]."""
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse * 255, size=(size, size), mode="bilinear")
    return fine[0].permute(1, 2, 0).to(torch.uint8).contiguous()


def test_a_recipe_has_the_augmentations_that_there_are() -> None:
    assert set(get_args(Augment)) == {"none", *AUGMENTATIONS}
    assert not {"augment", "views"} & set(Recipe().as_dict())


@EACH
def test_a_view_is_fixed_by_its_number_and_the_images(kind: str) -> None:
    image = picture(32)

    def made(image_number: int, view: int) -> bytes:
        found = augmented(image, kind, image=image_number, view=view)
        assert found.shape == image.shape and found.dtype == torch.uint8
        return found.numpy().tobytes()

    numbers = [(i, v) for i in range(8) for v in range(4)]
    before = torch.get_rng_state()
    views = [made(*both) for both in numbers]
    assert views == [made(*both) for both in numbers]
    assert torch.equal(torch.get_rng_state(), before), "draws from no generator of the process"
    assert len(set(views)) == 2 if kind == "flip" else len(set(views)) > 24
    assert len({made(i, 0) for i in range(8)}) > 1 and len({made(0, v) for v in range(8)}) > 1


def test_a_crop_is_half_of_the_area_or_more_and_may_be_all_of_it() -> None:
    """Seen in an image whose pixels are their own row and column."""
    rows = torch.arange(64, dtype=torch.uint8).reshape(64, 1).expand(64, 64)
    image = torch.stack([rows, rows.T, rows], dim=2)
    areas = []
    for number in range(200):
        found = augmented(image, "flip-crop", image=number, view=0).int()
        height, width = (found[..., k].max() - found[..., k].min() for k in (0, 1))
        areas.append(float(height * width) / 63**2)
    assert 0.4 < min(areas) < 0.55 and 0.9 < max(areas) <= 1


def test_trivial_augment_has_the_operations_of_torchvision() -> None:
    """Whatever torchvision makes of an image, one of ours at one strength makes, too."""
    image = picture(224).permute(2, 0, 1)
    ours = [op(image, s * level / 30) for op in OPERATIONS for level in range(31) for s in (1, -1)]
    theirs, used = v2.TrivialAugmentWide(), set()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for _ in range(8):
            found = theirs(image)
            same = [float((our == found).float().mean()) for our in ours]
            assert max(same) > 0.98, "all but the last bits of strengths"
            used.add(int(np.argmax(same)) // 62)
    assert len(used) > 4


@pytest.mark.parametrize("memory", [0, 50 * 64 * 3, 10**9])
def test_batches_in_any_order_have_the_same_pixels_kept_or_not(
    digits: Transfer, memory: int
) -> None:
    train = digits.splits.train
    engine = Engine(mean=digits.spec.mean, std=digits.spec.std, device="cpu")
    resident = engine.resident(train)
    for number in (0, 1):
        view = resident.view("flip-crop", number, memory=memory)
        assert view is resident.view("flip-crop", number, memory=memory)
        assert (view.kept is not None) == ((number + 1) * 50 * 64 * 3 <= memory)
        for rows in (torch.tensor([7, 3]), torch.tensor([3, 40, 7]), torch.tensor([40])):
            found = view.inputs(rows)
            for row, pixels in zip(rows.tolist(), found, strict=True):
                image = torch.from_numpy(train.batch([row]))[0]
                made = augmented(image, "flip-crop", image=row, view=number)
                expected = (made.permute(2, 0, 1) / 255 - view.mean[0]) / view.std[0]
                assert torch.equal(pixels, expected)


def train(
    digits: Transfer, recipe: Recipe, compute: Compute | None = None
) -> tuple[Fit, dict[str, torch.Tensor], Trainer]:
    trainer = Trainer(digits.spec, digits.splits, recipe, device="cpu", compute=compute)
    model, data = trainer.model(), trainer.data
    fit = trainer.train(HEAD_AND_LAST, data.train, data.val, 0, model=model)
    return fit, model.state_dict(), trainer


def test_a_frozen_prefix_is_computed_once_a_view_and_not_once_an_epoch(
    digits: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And gives the bits of a training that stores nothing."""
    least = dict.fromkeys(prefixes_module.LEAST_FLOPS_PER_BYTE, 0.0)
    monkeypatch.setattr(prefixes_module, "LEAST_FLOPS_PER_BYTE", least)
    stored, weights, trainer = train(digits, RECIPE)
    live, same, _ = train(digits, RECIPE, Compute(prefix_memory=0, prefix_disk=0))
    assert stored.history == live.history
    assert all(torch.equal(tensor, same[name]) for name, tensor in weights.items())
    plain = train(digits, dataclasses.replace(RECIPE, augment="none"))[0]
    assert plain.history != stored.history
    [prefix] = {prefix.flops for prefix in trainer.engine.store._prefixes.values()}
    assert stored.cost.flops - plain.cost.flops == pytest.approx(50 * prefix)
    assert live.cost.flops - plain.cost.flops > 5 * 50 * prefix
    again = trainer.train(HEAD_AND_LAST, trainer.data.train, trainer.data.val, 1)
    spared = 2 * 50 * prefix + len(trainer.data.val) * prefix
    assert stored.cost.flops - again.cost.flops == pytest.approx(spared), "by another seed, too"


def test_epochs_show_the_views_in_turn(digits: Transfer) -> None:
    recipe = dataclasses.replace(RECIPE, lr=1e-12, bn="eval_all", views=3)
    losses = [epoch["train_loss"] for epoch in digits.fit(digits.build(), recipe=recipe).history]
    assert losses[:3] == pytest.approx(losses[3:], rel=1e-5)
    assert len({round(loss, 3) for loss in losses}) == 3


def test_validation_and_a_fitted_head_see_the_images_themselves(digits: Transfer) -> None:
    fits = [
        digits.fit(
            digits.build(),
            recipe=Recipe(augment=augment, head_start="fitted", method=Regression()),
        )
        for augment in ("none", "trivial")
    ]
    assert fits[0].metrics == fits[1].metrics and fits[0].metrics["accuracy"] > 0.5


def test_a_stopped_training_goes_on_in_the_same_view(digits: Transfer, tmp_path: object) -> None:
    recipe = dataclasses.replace(RECIPE, batch_size=16, epochs=4, label_smoothing=0.1)
    whole = trained(digits, tmp_path / "whole", recipe=recipe)  # type: ignore[operator]
    pieces = trained(digits, tmp_path / "pieces", recipe=recipe, steps=3)  # type: ignore[operator]
    assert pieces[2] > 1
    assert_same_end(pieces, whole)
