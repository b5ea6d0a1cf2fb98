from __future__ import annotations

import copy
import io
from collections.abc import Iterator, Mapping

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.ops import StochasticDepth

from optuna_layerwise.models import DigitsCNN, frozen, param_groups, partition

POLICY = {"stem": 0, "stage1": 1, "stage2": 0, "stage3": 0.5, "head": 1}
ALL = dict.fromkeys(POLICY, 1)
NONE = dict.fromkeys(POLICY, 0)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return DigitsCNN()


def train(model: nn.Module, policy: Mapping[str, float], *, epochs: int = 2) -> None:
    """A loop as people write it: train, evaluate, train."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(param_groups(model, partition(model), policy, lr=1e-2))
    for _ in range(epochs):
        model.train()
        for _ in range(3):
            images = torch.rand(16, 3, 8, 8, generator=generator)
            optimizer.zero_grad()
            cross_entropy(model(images), torch.arange(16) % 10).backward()
            optimizer.step()
        model.eval()
        model(images)


def changed(model: nn.Module, before: nn.Module) -> set[str]:
    """The names of the state that differs by a bit."""
    old = before.state_dict()
    return {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, old[n])}


def flags(model: nn.Module) -> list[bool]:
    parameters = [parameter.requires_grad for parameter in model.parameters()]
    return [*parameters, *(module.training for module in model.modules())]


def buffers(model: nn.Module) -> Iterator[str]:
    return (name for name, _ in model.named_buffers())


def test_frozen_block_is_bit_identical_after_training_and_trained_blocks_are_not(model):
    before = copy.deepcopy(model)
    with frozen(model, partition(model), POLICY):
        train(model, POLICY)
    moved = {name for name in model.state_dict() if POLICY[name.split(".")[0]] > 0}
    assert changed(model, before) == moved


def test_real_mobilenet_keeps_its_frozen_trunk_bit_identical(shared_data):
    from optuna_layerwise.models import load_weights

    model = torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=4)
    load_weights(model, shared_data / "weights" / "mobilenet_v2_w035_imagenet_notop.pth")
    before = copy.deepcopy(model)
    blocks = partition(model, granularity="block")
    policy = {block: float(block in ("features.17", "head")) for block in blocks}
    with frozen(model, blocks, policy):
        optimizer = torch.optim.SGD(param_groups(model, blocks, policy, lr=0.1))
        model.train()
        for _ in range(2):
            optimizer.zero_grad()
            cross_entropy(model(torch.rand(4, 3, 64, 64)), torch.arange(4)).backward()
            optimizer.step()
    moved = changed(model, before)
    assert {name.rsplit(".", 1)[0].split(".conv")[0] for name in moved} == {
        "features.17",
        "classifier.1",
    }
    assert "features.17.conv.0.1.running_var" in moved


def test_bn_train_moves_the_statistics_of_frozen_blocks_but_no_parameter(model):
    before = copy.deepcopy(model)
    with frozen(model, partition(model), POLICY, bn="train"):
        train(model, POLICY)
        assert all(module.training for module in model.train().modules())
    trained = {n for n, _ in model.named_parameters() if POLICY[n.split(".")[0]] > 0}
    assert changed(model, before) == trained | set(buffers(model))


def test_bn_eval_all_moves_parameters_but_no_statistic(model):
    before = copy.deepcopy(model)
    with frozen(model, partition(model), POLICY, bn="eval_all"):
        train(model, POLICY)
        assert model.train().stage1.training and not model.stage1[1].training
    trained = {n for n, _ in model.named_parameters() if POLICY[n.split(".")[0]] > 0}
    assert changed(model, before) == trained


def test_everything_frozen_or_trained_covers_the_root_too(model):
    with frozen(model, partition(model), NONE):
        assert not any(flags(model.train()))
    with frozen(model, partition(model), ALL):
        assert all(flags(model.train()))


def test_frozen_prefix_builds_no_graph(model):
    with frozen(model, partition(model), {**NONE, "head": 1}):
        model.train()
        features = model.stage3(model.stage2(model.stage1(model.stem(torch.rand(2, 3, 8, 8)))))
        assert not features.requires_grad


@pytest.mark.sweep(4)
@pytest.mark.parametrize("bn", ["eval_frozen", "train", "eval_all"])
@pytest.mark.parametrize("policy", [POLICY, ALL, NONE])
@pytest.mark.parametrize("failing", [False, True])
def test_all_flags_are_as_before_afterwards(model, bn, policy, failing):
    model.stem.eval()
    model.stage1[0].weight.requires_grad_(False)
    before, contents = flags(model), [dict(m.__dict__) for m in model.modules()]
    try:
        with frozen(model, partition(model), policy, bn=bn):
            model.train()
            model.eval()
            if failing:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert flags(model) == before
    assert [dict(m.__dict__) for m in model.modules()] == contents
    assert all(flags(model.train().requires_grad_(True)))


def test_nested_contexts_unwind_in_order(model):
    blocks = partition(model)
    outside = flags(model)
    with frozen(model, blocks, POLICY):
        outer = flags(model.train())
        with frozen(model, blocks, {**NONE, "stem": 1}):
            model.train()
            assert model.stem.training and model.stem[0].weight.requires_grad
            assert not model.stage1.training and not model.head.weight.requires_grad
            with pytest.raises(ZeroDivisionError), frozen(model, blocks, ALL, bn="train"):
                assert all(flags(model.train()))
                raise ZeroDivisionError
            assert not model.train().stage1.training
        assert flags(model) == outer
        assert flags(model.train()) == outer
    assert flags(model) == outside


def test_mode_calls_on_inner_modules_do_not_wake_a_frozen_block(model):
    with frozen(model, partition(model), POLICY):
        model.stem.train()
        model.stem[1].train()
        for module in model.modules():
            module.train()
        model.apply(lambda module: module.train(True))
        assert not any(module.training for module in model.stem.modules())
        assert all(module.training for module in model.stage1.modules())


def test_copies_made_inside_are_ordinary_models(model):
    outside = copy.deepcopy(model)
    with frozen(model, partition(model), POLICY):
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        copies = [copy.deepcopy(model), torch.load(file, weights_only=False)]
        copies.append(copy.deepcopy(copies[0]))
        assert list(model.state_dict()) == list(outside.state_dict())
        for twin in copies:
            assert not changed(twin, model)
            assert not twin.stem.training
            assert all(module.training for module in twin.train().modules())
        assert not model.train().stem.training


def test_own_train_method_of_a_module_survives(model):
    calls = []

    def record(mode: bool = True) -> nn.Module:
        calls.append(mode)
        return model.stage1

    model.stage1.train = record
    with frozen(model, partition(model), NONE):
        model.train()
    assert calls == []
    with frozen(model, partition(model), ALL):
        model.train()
    assert calls == [True] and model.stage1.train is record


class Parameterless(nn.Module):
    """Modules without parameters at each kind of place."""

    def __init__(self) -> None:
        super().__init__()
        self.augment = nn.Dropout()  # before all parameters: with the first
        self.a = nn.Sequential(nn.Dropout(), nn.Conv2d(3, 3, 1), StochasticDepth(0.5, "row"))
        self.norm = nn.BatchNorm2d(3, affine=False)  # behind a
        self.b = nn.Conv2d(3, 3, 1)
        self.drops = nn.Sequential(nn.Dropout(), nn.Identity())  # behind b
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(3, 2))  # in the head


@pytest.mark.parametrize(
    ("block", "members"),
    [
        ("a", {"augment", "a", "a.0", "a.1", "a.2", "norm"}),
        ("b", {"b", "drops", "drops.0", "drops.1"}),
        ("head", {"head", "head.0", "head.1"}),
    ],
)
def test_module_without_parameters_belongs_to_the_nearest_one_before_it(block, members):
    model = Parameterless()
    policy = {"a": 1, "b": 1, "head": 1, block: 0}
    with frozen(model, partition(model), policy):
        model.train()
        assert {name for name, m in model.named_modules() if not m.training} == members


def test_statistics_of_a_frozen_norm_without_parameters_stay():
    model = Parameterless()
    with frozen(model, partition(model), {"a": 0, "b": 1, "head": 1}):
        model.train().norm(torch.rand(4, 3, 2, 2))
        assert model.norm.num_batches_tracked == 0
        model.b.train()
    model.norm(torch.rand(4, 3, 2, 2))
    assert model.norm.num_batches_tracked == 1


def test_module_of_two_blocks_is_frozen_only_with_both():
    shared = nn.Dropout()
    model = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared, nn.Linear(2, 2))
    blocks = partition(model)
    for policy in ({"0": 0, "2": 1, "head": 1}, {"0": 1, "2": 0, "head": 1}):
        with frozen(model, blocks, policy):
            assert model.train()[1].training
    with frozen(model, blocks, {"0": 0, "2": 0, "head": 1}):
        assert not model.train()[1].training


def test_norm_whose_weight_and_bias_are_in_two_blocks_is_frozen_only_with_both():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    blocks = partition(model, patterns={"scale": "0.weight", "rest": ".*"})
    with frozen(model, blocks, {"scale": 0, "rest": 1}):
        assert model.train()[0].training


def test_refused_arguments_leave_the_model_as_it_was(model):
    before = flags(model)
    with (
        pytest.raises(ValueError, match="bn must be one of .*'eval_all'.* got 'eval'"),
        frozen(model, partition(model), NONE, bn="eval"),
    ):
        pass
    with (
        pytest.raises(ValueError, match="in none of the blocks"),
        frozen(model, {"stem": ("stem.0.weight",)}, {"stem": 0}),
    ):
        pass
    assert flags(model) == before
