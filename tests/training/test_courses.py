"""Published methods against their equations, inside the fit that trains everything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from test_checkpoint import assert_same_end, trained
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler
from transfer import Transfer

from optuna_layerwise import recipe_methods
from optuna_layerwise.models import ModelSpec, reset_head
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.recipe_methods import GradientNorms, LowRank, Method, Penalty, Unfreezing
from optuna_layerwise.training import Checkpoint, Compute, EpochResult, FitStopped, Trainer
from optuna_layerwise.training.methods import Joint, course_of
from optuna_layerwise.training.methods.gradient_norms import relative

ONE_STEP = Recipe(
    optimizer="sgd", momentum=0.0, lr=0.01, schedule="constant", epochs=1, batch_size=50
)
METHODS: list[Method] = [
    Penalty(name="l2-sp", weight=0.5, head_weight=0.2),
    Penalty(name="l1-sp", weight=0.01, head_weight=0.2),
    Unfreezing(name="last-to-first", every=1),
    Unfreezing(name="first-to-last", every=0.5),
    GradientNorms(batches=2),
    GradientNorms(batches=2, every="once", norms=True, reset=False),
    LowRank(rank=2, alpha=4),
]


def begun(digits: Transfer, recipe: Recipe) -> tuple[nn.Module, Any, Any]:
    """A model at the point where its course begins, as `fit` has it."""
    model = digits.build()
    blocks = digits.spec.partition(model)
    reset_head(model, blocks, 0)
    course = course_of(digits.policy(), recipe)
    course.begin(model, blocks)
    return model, blocks, course


def gradients(model: nn.Module, penalty: torch.Tensor) -> dict[str, torch.Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(penalty, parameters, allow_unused=True)
    return {n: g for n, g in zip(names, found, strict=True) if g is not None}


@pytest.mark.parametrize("name", ["l2-sp", "l1-sp"])
def test_a_penaltys_gradient_at_the_start_is_the_heads_decay_alone(
    digits: Transfer, name: Any
) -> None:
    method = Penalty(name=name, weight=0.3, head_weight=0.2)
    model, _, course = begun(digits, Recipe(method=method))
    found = gradients(model, course.penalty())
    head = [name for name in found if name.startswith("head") and found[name].any()]
    assert head == ["head.weight"]
    assert torch.allclose(found["head.weight"], 0.2 * model.head.weight)  # type: ignore[operator, union-attr]
    assert not any(g.any() for name, g in found.items() if not name.startswith("head"))


def test_an_auxiliary_classifier_is_new_and_not_pulled_to_its_random_start() -> None:
    spec = ModelSpec(name="googlenet", args={"aux_logits": True}, weights=None)
    model = spec.build(3)
    blocks = spec.partition(model)
    reset_head(model, blocks, 0)
    recipe = Recipe(method=Penalty(name="l2-sp", weight=0.3, head_weight=0.2))
    course = course_of(Policy(dict.fromkeys(blocks, 1.0)), recipe)
    course.begin(model, blocks)
    penalty = course.penalty()
    assert penalty is not None
    decayed = {n for n, g in gradients(model, penalty).items() if g.any()}
    assert decayed == {"fc.weight", "aux1.fc2.weight", "aux2.fc2.weight"}


@pytest.mark.parametrize("name", ["l2-sp", "l1-sp"])
def test_a_penaltys_gradient_away_from_the_start_is_that_of_the_equation(
    digits: Transfer, name: Any
) -> None:
    method = Penalty(name=name, weight=0.3, head_weight=0.0)
    model, _, course = begun(digits, Recipe(method=method))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)
    found = {n: g for n, g in gradients(model, course.penalty()).items() if g.any()}
    layers = {
        f"{path}.weight"
        for path, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and not path.startswith("head")
    }
    assert found.keys() == layers, "no norms, no biases"
    for path, gradient in found.items():
        moved = model.get_parameter(path) - start[path]
        expected = moved if name == "l2-sp" else moved.sign()
        assert torch.allclose(gradient, 0.3 * expected, atol=1e-6)


@pytest.mark.parametrize("micro_batch", [None, 25])
def test_one_step_of_l2_sp_is_one_step_of_the_loss_with_the_penalty(
    digits: Transfer, micro_batch: int | None
) -> None:
    """With the batch in two parts as well: the penalty is that of a step, not of a part."""
    compute = Compute(micro_batch=micro_batch)
    recipe = dataclasses.replace(ONE_STEP, method=Penalty(weight=0.5, head_weight=0.2))
    ours, plain = digits.build(), digits.build()
    digits.fit(ours, recipe=recipe, compute=compute)
    digits.fit(plain, recipe=dataclasses.replace(recipe, method=None), compute=compute)
    head = digits.build()
    reset_head(head, digits.spec.partition(head), 0)
    decayed = plain.head.weight - 0.01 * 0.2 * head.head.weight  # type: ignore[operator, union-attr]
    assert torch.allclose(ours.head.weight, decayed, atol=1e-7)  # type: ignore[arg-type, union-attr]
    for name, parameter in plain.named_parameters():
        if name != "head.weight":  # at the start the rest of the penalty has no gradient
            assert torch.allclose(ours.get_parameter(name), parameter, atol=1e-7), name


def test_a_strong_pull_keeps_the_weights_where_they_were(digits: Transfer) -> None:
    def distance(method: Method | None) -> float:
        model, start = digits.build(), digits.build()
        recipe = Recipe(lr=3e-3, epochs=4, patience=None, batch_size=16, method=method)
        digits.fit(model, recipe=recipe)
        pairs = zip(model.named_parameters(), start.parameters(), strict=True)
        return sum(
            float((p - q).detach().norm()) for (name, p), q in pairs if name.startswith("stage")
        )

    free, pulled = distance(None), distance(Penalty(weight=100.0))
    assert pulled < 0.5 * free


NAMES = ["b0", "b1", "b2", "b3", "b4", "head"]


def timeline(name: Any, epochs: int, every: float | None = None) -> list[int]:
    """For each block the first epoch that trains it."""
    recipe = Recipe(epochs=epochs, method=Unfreezing(name=name, every=every))
    course = course_of(Policy.uniform(NAMES), recipe)
    found = [[course.trained(epoch)[block] > 0 for epoch in range(epochs)] for block in NAMES]
    assert all(sorted(epochs_of) == epochs_of for epochs_of in found), "none is frozen again"
    assert course.settled == min(max(row.index(True) if any(row) else 99 for row in found), epochs)
    return [row.index(True) if any(row) else -1 for row in found]


def test_gradual_unfreezing_adds_a_block_every_second_of_thirty_epochs() -> None:
    assert timeline("last-to-first", 30) == [10, 8, 6, 4, 2, 0]
    assert timeline("first-to-last", 30) == [0, 2, 4, 6, 8, 0]
    assert timeline("last-to-first", 30, every=1) == [5, 4, 3, 2, 1, 0]


def test_in_few_epochs_several_join_at_once_and_the_later_half_trains_all() -> None:
    assert timeline("last-to-first", 6) == [3, 2, 2, 1, 1, 0]
    assert timeline("last-to-first", 4, every=1) == [-1, -1, 3, 2, 1, 0]


def test_the_blocks_of_an_epoch_and_no_others_change_in_it(digits: Transfer) -> None:
    model, seen = digits.build(), []
    before = {n: t.clone() for n, t in model.state_dict().items()}

    def compare(result: EpochResult) -> None:
        now = model.state_dict()
        seen.append({n.partition(".")[0] for n in now if not torch.equal(now[n], before[n])})
        before.update({n: t.clone() for n, t in now.items()})

    method = Unfreezing(name="last-to-first", every=1)
    recipe = Recipe(lr=3e-3, epochs=6, patience=1, batch_size=16, method=method)
    fit = digits.fit(model, recipe=recipe, on_epoch=compare)
    order = ["head", "stage3", "stage2", "stage1", "stem"]
    assert seen[:5] == [set(order[: i + 1]) for i in range(5)], "patience waits for all blocks"
    assert fit.trained_share == 1.0
    whole = digits.fit(digits.build(), recipe=dataclasses.replace(recipe, method=None))
    assert fit.cost.flops / fit.cost.images_seen < whole.cost.flops / whole.cost.images_seen


def test_a_block_that_joins_begins_anew_and_the_others_keep_their_moments(
    digits: Transfer, tmp_path: Path
) -> None:
    method = Unfreezing(name="last-to-first", every=1)
    recipe = Recipe(lr=3e-3, epochs=4, patience=None, batch_size=16, method=method)
    checkpoint = Checkpoint(tmp_path / "c", {}, every=0.0)
    asked = iter(range(100))
    with pytest.raises(FitStopped):
        digits.fit(
            digits.build(),
            recipe=recipe,
            checkpoint=checkpoint,
            should_stop=lambda: next(asked) == 5,
        )
    states: list[Any] = []
    Checkpoint(tmp_path / "c", {}).restore_fit(states.append)
    optimizer = states[0]["parts"]["optimizer"]
    steps = {
        group["block"]: {
            int(optimizer["state"][i]["step"]) for i in group["params"] if i in optimizer["state"]
        }
        for group in optimizer["param_groups"]
    }
    assert steps == {"head": {5}, "stage3": {1}, "stage2": set(), "stage1": set(), "stem": set()}


def test_relative_norms_have_a_largest_of_one_and_a_zero_tensor_learns_in_full() -> None:
    found = relative(torch.tensor([2.0, 3.0, 1.0, 0.0]), torch.tensor([4.0, 3.0, 0.0, 5.0]))
    assert found.tolist() == [0.5, 1.0, 1.0, 0.0]
    assert relative(torch.zeros(2), torch.ones(2)).tolist() == [1.0, 1.0]
    assert relative(torch.tensor([float("inf"), 1.0]), torch.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("scale, overflows", [(1.0, 0), (2.0**16, 0), (2.0**127, 2)])
def test_autorgn_measures_five_batches_as_the_equation_says(
    digits: Transfer, scale: float, overflows: int
) -> None:
    recipe = Recipe(lr=0.01, schedule="constant", batch_size=8, method=GradientNorms())
    model, blocks, course = begun(digits, recipe)
    norms = {
        id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
    }
    assert {id(p) for p in model.parameters() if not p.requires_grad} == norms
    tensors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    groups = [
        {"params": [p], "lr": 0.01, "initial_lr": 0.01, "name": n} for n, p in tensors.items()
    ]
    optimizer = torch.optim.Adam(groups)
    optimizer.state[tensors["head.weight"]] = {"step": torch.tensor(3.0)}
    schedule = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5)
    train = digits.splits.train
    pixels = torch.from_numpy(train.batch()).permute(0, 3, 1, 2).float() / 255
    labels, passes = torch.from_numpy(train.labels), []

    def backward(parts: list[torch.Tensor]) -> None:
        passes.append(parts)
        loss = cross_entropy(model(pixels[parts[0]]), labels[parts[0]])
        scaler.scale(4 * loss).backward()  # type: ignore[no-untyped-call]

    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale > 1)
    batches = [[rows] for rows in torch.arange(48).split(8)]
    model.eval()
    course.begin_epoch(Joint(0, batches, backward, optimizer, schedule, scaler))
    n = min(5 + overflows, 6)
    assert [int(parts[0][0]) for parts in passes] == [0, 8, 16, 24, 32, 40][:n], "five, if it can"
    assert scaler.get_scale() == scale / 2**overflows

    sums = dict.fromkeys(tensors, 0.0)
    for rows in batches[overflows:n]:
        loss = cross_entropy(model(pixels[rows[0]]), labels[rows[0]])
        found = torch.autograd.grad(loss, tensors.values())
        for name, gradient in zip(tensors, found, strict=True):
            sums[name] += float(gradient.norm() / tensors[name].detach().norm())
    expected = {name: 0.5 * 0.01 * value / max(sums.values()) for name, value in sums.items()}
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx(expected, rel=1e-4)
    assert max(rates.values()) == pytest.approx(0.5 * 0.01)
    assert not optimizer.state, "reset"
    optimizer.step()
    schedule.step()
    assert {g["name"]: g["lr"] for g in optimizer.param_groups} == pytest.approx(rates)


def test_autorgn_trains_all_layers_and_no_norm_and_pays_for_its_measurements(
    digits: Transfer,
) -> None:
    recipe = Recipe(lr=3e-3, epochs=2, patience=None, batch_size=16, method=GradientNorms())
    model, start = digits.build(), digits.build()
    fit = digits.fit(model, recipe=recipe)
    changed = {
        name
        for (name, p), q in zip(model.named_parameters(), start.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    norms = {
        f"{path}.{name}"
        for path, m in model.named_modules()
        if isinstance(m, nn.BatchNorm2d)
        for name in ("weight", "bias")
    }
    assert changed == {name for name, _ in model.named_parameters()} - norms
    assert fit.cost.images_seen == 2 * (50 + 50), "four batches, all of them measured"


def test_lora_trains_adapters_and_the_head_and_leaves_a_plain_network(digits: Transfer) -> None:
    model = digits.build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    recipe = Recipe(lr=3e-3, epochs=3, patience=None, batch_size=16, method=LowRank(rank=2))
    fit = digits.fit(model, digits.policy(stage1=0.0), recipe)
    assert [name for name, _ in model.named_parameters()] == names
    changed = {n for n, t in model.named_parameters() if not torch.equal(t, before[n])}
    assert {n.partition(".")[0] for n in changed} == {"stage2", "stage3", "head"}
    for name in changed - {"head.weight", "head.bias"}:
        assert (
            torch.linalg.matrix_rank(
                (model.get_parameter(name) - before[name]).detach().flatten(1), rtol=1e-3
            )
            <= 2
        )
    assert 0 < fit.trained_share < 0.5
    assert digits.evaluate(model) == pytest.approx(fit.metrics, abs=1e-4), "merged"


def test_a_stored_prefix_of_one_method_is_not_that_of_another(digits: Transfer) -> None:
    """LoRA has no adapter in the stem: all below the head is frozen. Plain training changes it."""
    recipe = Recipe(lr=3e-3, epochs=2, patience=None, batch_size=16, bn="eval_all")
    lora = dataclasses.replace(recipe, method=LowRank(rank=2))
    policy = digits.policy(stage1=0.0, stage2=0.0, stage3=0.0)
    found = []
    for recipes in ((lora, recipe), (recipe,)):
        trainer = Trainer(digits.spec, digits.splits, recipe, device="cpu")
        splits = digits.splits.train, digits.splits.val
        found.append([trainer.train(policy, *splits, 0, recipe=r) for r in recipes])
    [adapted, after], [alone] = found
    assert adapted.prefix != after.prefix == alone.prefix
    assert after.history == alone.history


@pytest.mark.sweep(2)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_method_in_many_lives_ends_with_the_bits_of_an_uninterrupted_one(
    digits: Transfer, tmp_path: Path, method: Method
) -> None:
    recipe = Recipe(lr=3e-3, epochs=4, patience=None, batch_size=16, method=method)
    whole = trained(digits, tmp_path / "whole", recipe=recipe)
    pieces = trained(digits, tmp_path / "pieces", recipe=recipe, steps=3)
    assert (whole[2], pieces[2]) == (1, 6)
    assert_same_end(pieces, whole)


def test_every_method_has_a_course_and_is_tried_here() -> None:
    stepless = {"regression"}  # tried in test_fitted_head.py
    assert {method.name for method in METHODS} == set(recipe_methods.METHODS) - stepless
