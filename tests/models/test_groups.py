from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy

from optuna_layerwise.models import DigitsCNN, frozen, param_groups, partition, trained_share
from optuna_layerwise.policy import Policy

POLICIES = [
    {"stem": 1, "stage1": 1, "stage2": 1, "stage3": 1, "head": 1},
    {"stem": 0, "stage1": 0.1, "stage2": 0, "stage3": 10, "head": 1},
    {"stem": 0, "stage1": 0, "stage2": 0, "stage3": 0, "head": 2},
    {"stem": 0, "stage1": 0, "stage2": 0, "stage3": 0, "head": 0},
]


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.rand(16, 3, 8, 8, generator=generator), torch.arange(16) % 10) for _ in range(6)
    ]


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for images, labels in batches():
        model.train()
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("decay_norms_and_biases", [True, False])
def test_every_trained_parameter_is_in_exactly_one_group(policy, decay_norms_and_biases):
    model = DigitsCNN()
    blocks = partition(model)
    groups = param_groups(
        model,
        blocks,
        Policy(policy),
        lr=1e-3,
        weight_decay=0.1,
        decay_norms_and_biases=decay_norms_and_biases,
    )
    names = [name for group in groups for name in group["param_names"]]
    assert sorted(names) == sorted(n for b, m in blocks.items() if policy[b] > 0 for n in m)
    parameters = dict(model.named_parameters())
    for group in groups:
        assert all(
            parameter is parameters[name]
            for name, parameter in zip(group["param_names"], group["params"], strict=True)
        )
        assert set(group["param_names"]) <= set(blocks[group["block"]])
        assert group["lr"] == group["initial_lr"] == policy[group["block"]] * 1e-3
        for parameter in group["params"]:
            exempt = parameter.ndim < 2 and not decay_norms_and_biases
            assert group["weight_decay"] == (0.0 if exempt else 0.1)


def test_learning_rate_is_capped():
    model = DigitsCNN()
    policy = {"stem": 10, "stage1": 1, "stage2": 0, "stage3": 0, "head": 5}
    groups = param_groups(model, partition(model), policy, lr=0.1, max_lr=0.5)
    assert [group["lr"] for group in groups] == [0.5, 0.1, 0.5]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"stem": 1, "head": 1}, r"missing \['stage1', 'stage2', 'stage3'\], unknown \[\]"),
        ({**POLICIES[0], "layer9": 1}, r"missing \[\], unknown \['layer9'\]"),
        ({**POLICIES[0], "stem": -1}, "'stem' must be finite and at least 0, got -1"),
        ({**POLICIES[0], "stem": float("nan")}, "got nan"),
    ],
)
@pytest.mark.parametrize("use", ["param_groups", "trained_share", "frozen"])
def test_policy_of_other_blocks_is_refused_with_the_difference(policy, message, use):
    model = DigitsCNN()
    blocks = partition(model)
    with pytest.raises(ValueError, match=message):
        if use == "param_groups":
            param_groups(model, blocks, policy, lr=1e-3)
        elif use == "trained_share":
            trained_share(model, blocks, policy)
        else:
            with frozen(model, blocks, policy):
                pass


@pytest.mark.sweep(2)
@pytest.mark.parametrize("granularity", ["stage", "layer"])
@pytest.mark.parametrize("multiplier", [1.0, 0.5])
def test_equal_multipliers_equal_plain_fine_tuning_bit_for_bit(granularity, multiplier):
    torch.manual_seed(0)
    model = DigitsCNN()
    plain = copy.deepcopy(model)
    train(plain, torch.optim.Adam(plain.parameters(), lr=1e-3 * multiplier, weight_decay=0.01))

    blocks = partition(model, granularity=granularity)
    policy = dict.fromkeys(blocks, multiplier)
    with frozen(model, blocks, policy):
        groups = param_groups(model, blocks, policy, lr=1e-3, weight_decay=0.01)
        train(model, torch.optim.Adam(groups))

    for name, tensor in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_trained_shares_are_those_of_biotune():
    with torch.device("meta"):
        flowers = torchvision.models.resnet50(num_classes=102)
        aircraft = torchvision.models.resnet50(num_classes=100)
    blocks = partition(flowers)
    without_head = trained_share(flowers, blocks, Policy.uniform(blocks, list(blocks)[:-1]))
    assert without_head == (23_717_030 - 208_998) / 23_717_030
    assert round(100 * without_head, 2) == 99.12
    without_stem = trained_share(aircraft, blocks, Policy.uniform(blocks, list(blocks)[1:]))
    assert round(100 * without_stem, 2) == 99.96


def test_tied_weight_is_counted_and_trained_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    blocks = partition(model)
    assert trained_share(model, blocks, {"0": 0, "head": 1}) == 3 / 15
    groups = param_groups(model, blocks, {"0": 1, "head": 1}, lr=0.1)
    assert [group["param_names"] for group in groups] == [["0.weight", "0.bias"], ["2.bias"]]
    with frozen(model, blocks, {"0": 0, "head": 1}):
        assert not model[2].weight.requires_grad
