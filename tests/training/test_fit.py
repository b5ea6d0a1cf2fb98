from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transfer import Transfer

from optuna_layerwise.data import load_data
from optuna_layerwise.models import ModelSpec, reset_head
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.tasks.classification_metrics import METRICS
from optuna_layerwise.training import EpochResult

FROZEN_TRUNK = {"stem": 0.0, "stage1": 0.0, "stage2": 0.0}


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def differing(left: nn.Module, right: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, t in left.state_dict().items() if not torch.equal(t, right[name])}


def test_fine_tuning_learns_new_digits_from_ten_images_each(digits: Transfer) -> None:
    model = digits.build()
    fit = digits.fit(model, recipe=Recipe(lr=3e-3, epochs=15, patience=None, batch_size=16))
    chance = math.log(5)
    assert fit.history[0]["train_loss"] > 0.5 * chance
    assert fit.history[-1]["train_loss"] < 0.25 * chance
    assert fit.metrics["loss"] < 0.5 * chance and fit.metrics["accuracy"] > 0.8
    assert not fit.diverged and fit.trained_share == 1.0
    assert fit.cost.images_seen == 15 * 50 and fit.cost.seconds > 0
    assert fit.cost.peak_memory_bytes is None


def test_equal_seeds_give_equal_bits_and_others_do_not(digits: Transfer) -> None:
    runs = []
    for seed in (3, 3, 4):
        model = digits.build()
        runs.append((digits.fit(model, seed=seed), state(model), model))
    (first, weights, _), (second, _, again), (third, _, other) = runs
    assert first.history == second.history and not differing(again, weights)
    assert first.history != third.history and "stem.0.weight" in differing(other, weights)


def test_no_global_generator_moves(digits: Transfer) -> None:
    model = digits.build()
    before = torch.get_rng_state()
    digits.fit(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_seeded_and_independent_of_the_global_generator(digits: Transfer) -> None:
    results = []
    for seed, global_seed in ((0, 1), (0, 2), (1, 1)):
        model = digits.build()
        model.stage3.append(nn.Dropout(0.5))  # type: ignore[union-attr, operator]
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(global_seed)
            results.append(digits.fit(model, seed=seed).history)
    assert results[0] == results[1] != results[2]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=3e-3)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=3e-3, momentum=0.5, weight_decay=0.1)


def adamw_without_decay_of_norms(model: nn.Module) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0}
    return torch.optim.AdamW([{"params": matrices}, others], lr=3e-3, weight_decay=0.2)


@pytest.mark.parametrize(
    ("fields", "make_optimizer"),
    [
        ({"optimizer": "adam"}, adam),
        ({"optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.1}, sgd),
        (
            {"optimizer": "adamw", "weight_decay": 0.2, "decay_norms_and_biases": False},
            adamw_without_decay_of_norms,
        ),
    ],
)
def test_all_multipliers_one_equals_plain_fine_tuning_bit_for_bit(
    digits: Transfer,
    fields: dict[str, Any],
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
) -> None:
    recipe = Recipe(lr=3e-3, epochs=3, patience=None, batch_size=16, **fields)
    ours, plain = digits.build(), digits.build()
    for parameter in ours.parameters():
        parameter.grad = torch.ones_like(parameter)  # left over from someone else
    last: list[dict[str, torch.Tensor]] = []
    fit = digits.fit(ours, recipe=recipe, seed=7, on_epoch=lambda _: last.append(state(ours)))

    reset_head(plain, digits.spec.partition(plain), 7)
    train = digits.splits.train
    pixels = torch.from_numpy(train.batch()).permute(0, 3, 1, 2).contiguous().float()
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (digits.spec.mean, digits.spec.std))
    inputs, labels = (pixels / 255 - mean) / std, torch.from_numpy(train.labels)
    optimizer = make_optimizer(plain)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)
    shuffle = torch.Generator().manual_seed(7)
    for epoch in range(3):
        plain.train()
        order = torch.randperm(50, generator=shuffle)
        for batch in (order[:16], order[16:32], order[32:48], order[48:]):
            optimizer.zero_grad()
            cross_entropy(plain(inputs[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
        assert not differing(plain, last[epoch])
        metrics = digits.evaluate(plain)
        assert metrics == {name: fit.history[epoch][name] for name in METRICS}


def test_frozen_blocks_are_bit_identical_with_their_buffers(digits: Transfer) -> None:
    model = digits.build()
    before = state(model)
    fit = digits.fit(model, digits.policy(stem=0, stage2=0))
    changed = {name.partition(".")[0] for name in differing(model, before)}
    assert changed == {"stage1", "stage3", "head"}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    trained = sum(n for name, n in sizes.items() if name.partition(".")[0] in changed)
    assert fit.trained_share == pytest.approx(trained / sum(sizes.values()))


@pytest.mark.parametrize(
    ("bn", "moving"),
    [("eval_frozen", {"stage3"}), ("train", {"stem", "stage3"}), ("eval_all", set())],
)
def test_the_recipe_decides_which_running_statistics_move(
    digits: Transfer, bn: Any, moving: set[str]
) -> None:
    model = digits.build()
    before = state(model)
    digits.fit(model, digits.policy(stem=0), Recipe(epochs=1, bn=bn))
    moved = {n.partition(".")[0] for n in differing(model, before) if "running_mean" in n}
    assert moved & {"stem", "stage3"} == moving


@pytest.mark.parametrize("bn", ["eval_frozen", "train", "eval_all"])
def test_the_model_ends_with_the_best_weights_unfrozen(digits: Transfer, bn: Any) -> None:
    recipe = Recipe(lr=0.02, epochs=6, patience=None, metric="loss", schedule="constant", bn=bn)
    model = digits.build().eval()
    fit = digits.fit(model, digits.policy(**FROZEN_TRUNK), recipe)
    losses = [epoch["loss"] for epoch in fit.history]
    assert fit.best_epoch == losses.index(min(losses)) and fit.metrics["loss"] == min(losses)
    assert digits.evaluate(model) == fit.metrics
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_the_best_epoch_is_not_always_the_last(digits: Transfer) -> None:
    """Else the test above would hold without any restoring."""
    recipe = Recipe(lr=0.02, epochs=6, patience=None, metric="loss", schedule="constant")
    model = digits.build()
    seen: list[dict[str, torch.Tensor]] = []
    fit = digits.fit(model, recipe=recipe, on_epoch=lambda _: seen.append(state(model)))
    assert fit.best_epoch is not None and fit.best_epoch < 5
    assert not differing(model, seen[fit.best_epoch]) and differing(model, seen[-1])


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping_waits_patience_epochs_for_a_strict_improvement(
    digits: Transfer, patience: int
) -> None:
    recipe = Recipe(lr=5e-3, epochs=40, patience=patience, schedule="constant")
    reports: list[EpochResult] = []
    fit = digits.fit(digits.build(), recipe=recipe, on_epoch=reports.append)
    values = [epoch["accuracy"] for epoch in fit.history]
    records = [i for i, value in enumerate(values) if value > max(values[:i], default=-1.0)]
    gaps = [later - earlier for earlier, later in zip(records, records[1:], strict=False)]
    assert fit.best_epoch == records[-1] and max(gaps, default=0) <= patience
    assert len(values) == records[-1] + patience + 1 < 40
    assert [r.epoch for r in reports if r.improved] == records
    assert [r.metrics for r in reports] == list(fit.history)


@pytest.mark.parametrize(
    ("recipe", "shares"),
    [
        (Recipe(epochs=31, cosine_epochs=100, patience=None), {0: 1.0, 30: 0.7939}),
        (Recipe(epochs=5, patience=None), {0: 1.0, 4: 0.0955}),
        (Recipe(epochs=5, patience=None, schedule="constant"), {0: 1.0, 4: 1.0}),
    ],
)
def test_cosine_is_stepped_per_epoch_and_ends_where_the_recipe_says(
    digits: Transfer, recipe: Recipe, shares: dict[int, float]
) -> None:
    policy = digits.policy(stem=0, stage1=0, stage2=0, stage3=0, head=2.0)
    fit = digits.fit(digits.build(), policy, recipe)
    for epoch, share in shares.items():
        assert fit.history[epoch]["lr"] / recipe.lr == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_each_block_moves_at_its_own_rate(digits: Transfer, optimizer: str) -> None:
    """One step with a multiplier of 0.5 moves half as far as one with 1."""
    recipe = Recipe(optimizer=optimizer, lr=1e-3, epochs=1, batch_size=50)
    moved = []
    for multiplier in (1.0, 0.5):
        model = digits.build()
        before = state(model)
        digits.fit(model, digits.policy(stem=multiplier), recipe)
        moved.append({name: t - before[name] for name, t in state(model).items()})
    torch.testing.assert_close(
        moved[1]["stem.0.weight"], 0.5 * moved[0]["stem.0.weight"], rtol=1e-3, atol=2e-8
    )
    assert torch.equal(moved[1]["stage1.0.weight"], moved[0]["stage1.0.weight"])


def test_divergence_is_reported_and_leaves_finite_weights(digits: Transfer) -> None:
    recipe = Recipe(optimizer="sgd", lr=1e30, max_lr=1e30, epochs=5)
    model = digits.build()
    before = state(model)
    fit = digits.fit(model, recipe=recipe)
    assert fit.diverged and fit.history == () and fit.best_epoch is None
    assert set(fit.metrics) == set(METRICS) and all(map(math.isnan, fit.metrics.values()))
    assert fit.cost.images_seen <= 50
    assert differing(model, before) <= {"head.weight", "head.bias"}
    assert all(p.requires_grad for p in model.parameters())


def test_divergence_after_a_good_epoch_keeps_that_one(digits: Transfer) -> None:
    model = digits.build()

    def spoil(result: EpochResult) -> None:
        if result.epoch == 1:
            with torch.no_grad():
                model.stem[0].weight.fill_(math.inf)  # type: ignore[union-attr, index, operator]

    fit = digits.fit(model, on_epoch=spoil)
    assert fit.diverged and len(fit.history) == 2 and fit.best_epoch is not None
    assert digits.evaluate(model) == fit.metrics


def raise_at(call: int) -> Callable[..., None]:
    calls = iter(range(100))

    def callback(*_: object) -> None:
        if next(calls) == call:
            raise KeyboardInterrupt("paused")

    return callback


@pytest.mark.parametrize("hook", ["on_epoch", "should_stop"])
def test_what_a_callback_raises_arrives_and_leaves_the_model_unfrozen(
    digits: Transfer, hook: str
) -> None:
    model = digits.build()
    before, generator = state(model), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt, match="paused"):
        digits.fit(model, digits.policy(stem=0), **{hook: raise_at(1)})  # type: ignore[arg-type]
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(module.training for module in model.train().modules())
    assert {name.partition(".")[0] for name in differing(model, before)} >= {"stage1", "head"}
    assert torch.equal(torch.get_rng_state(), generator)


def test_whether_to_stop_is_asked_before_each_step(digits: Transfer) -> None:
    model = digits.build()
    heads: list[torch.Tensor] = []
    recipe = Recipe(epochs=2, batch_size=20, patience=None)

    def look() -> bool:
        heads.append(state(model)["head.weight"])
        return False

    digits.fit(model, recipe=recipe, should_stop=look)
    assert len(heads) == 2 * 3
    fresh = digits.build()
    reset_head(fresh, digits.spec.partition(fresh), 0)
    assert torch.equal(heads[0], fresh.state_dict()["head.weight"])
    assert not torch.equal(heads[0], heads[1])


def test_a_single_image_left_over_is_trained_with_the_batch_before(digits: Transfer) -> None:
    train = digits.splits.train.subset(slice(33))
    recipe = Recipe(epochs=1, batch_size=32)
    together, whole = digits.build(), digits.build()
    fit = digits.fit(together, recipe=recipe, train=train)
    assert fit.cost.images_seen == 33
    digits.fit(whole, recipe=Recipe(epochs=1, batch_size=1000), train=train)
    assert not differing(together, state(whole))


def test_subsets_train_like_the_arrays_they_show(digits: Transfer) -> None:
    train = digits.splits.train
    histories = [
        digits.fit(digits.build(), train=images).history
        for images in (train, train.subset(slice(None)))
    ]
    assert histories[0] == histories[1]


def test_evaluation_gives_every_mode_back(digits: Transfer) -> None:
    model = digits.build().train()
    model.stage2.eval()  # type: ignore[union-attr, operator]
    before = state(model)
    modes = [module.training for module in model.modules()]
    digits.evaluate(model)
    assert [module.training for module in model.modules()] == modes
    assert not differing(model, before)


def test_what_cannot_be_fitted_is_refused_before_anything_changes(digits: Transfer) -> None:
    model = digits.build()
    before = state(model)
    with pytest.raises(ValueError, match="freezes every block .*evaluate the model"):
        digits.fit(model, Policy({b: 0.0 for b in digits.policy()}))
    with pytest.raises(ValueError, match="the validation split must hold at least one image"):
        digits.fit(model, val=digits.splits.val.subset([]))
    one_class = digits.splits.val.subset(digits.splits.val.labels == 2)
    with pytest.raises(ValueError, match="'auc' needs at least two classes"):
        digits.fit(model, recipe=Recipe(metric="auc"), val=one_class)
    with pytest.raises(ValueError, match="missing .*'stem'"):
        digits.fit(model, {"head": 1.0})
    assert not differing(model, before)


@pytest.mark.slow
def test_a_real_network_learns_real_leaves_in_one_epoch(shared_data: Path) -> None:
    spec = ModelSpec(
        name="mobilenet_v2",
        args={"width_mult": 0.35},
        weights=shared_data / "weights" / "mobilenet_v2_w035_imagenet_notop.pth",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        image_size=64,
    )
    leaves = Transfer(spec, load_data(shared_data / "citrus", image_size=64))
    model = leaves.build()
    before = state(model)
    policy = leaves.policy()
    kept = list(policy)[:3]
    fit = leaves.fit(model, {b: float(b not in kept) for b in policy}, Recipe(epochs=1))
    counts = torch.bincount(torch.from_numpy(leaves.splits.val.labels))
    assert fit.metrics["accuracy"] > 1.2 * (counts.max() / counts.sum()).item()
    assert leaves.evaluate(model) == fit.metrics
    blocks = spec.partition(model)
    untouched = {name for block in kept for name in blocks[block]}
    assert untouched and not untouched & differing(model, before)
