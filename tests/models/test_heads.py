from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from networks import NETWORKS
from torch import nn

from optuna_layerwise.models import DigitsCNN, partition, replace_head, reset_head
from optuna_layerwise.models.heads import find_head, find_heads
from optuna_layerwise.models.seeding import seeded


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v2", "classifier.1"),
        ("densenet121", "classifier"),
        ("squeezenet1_1", "classifier.1"),
    ],
)
def test_replaced_head_is_the_classifier_and_is_in_the_last_block(name, path):
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    replace_head(model, 7)
    assert len(model.get_submodule(path).weight) == 7
    assert partition(model)["head"] == (f"{path}.weight", f"{path}.bias")


def test_replaced_head_keeps_bias_type_and_mode_of_the_old_one():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 9, bias=False)).double().eval()
    replace_head(model, 3)
    head = model[1]
    assert head.bias is None and head.weight.dtype == torch.float64 and not head.training
    assert head.weight.shape == (3, 4)


def test_head_that_is_a_pointwise_convolution_is_replaced_by_one():
    model = torchvision.models.squeezenet1_1().double().eval()
    replace_head(model, 3)
    head = model.classifier[1]
    assert head.weight.shape == (3, 512, 1, 1) and head.weight.dtype == torch.float64
    assert not head.training and head.bias is not None
    assert model(torch.zeros(2, 3, 64, 64, dtype=torch.float64)).shape == (2, 3)
    before = copy.deepcopy(model)
    reset_head(model, partition(model), 0)
    assert not torch.equal(head.weight, before.classifier[1].weight)


@pytest.mark.parametrize(
    ("behind", "head"),
    [
        ([nn.Conv2d(4, 4, 1)], "2"),
        ([nn.Conv2d(4, 4, 3)], "1"),
        ([nn.Conv2d(4, 4, 1, groups=2)], "1"),
        ([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)], "1"),
    ],
)
def test_convolution_is_the_head_only_if_it_is_pointwise_and_last(behind, head):
    assert find_head(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 4), *behind)) == head


def test_both_heads_of_a_distilled_model_are_replaced_and_reset():
    spec = NETWORKS["timm/deit_tiny_distilled_patch16_224"].spec
    model = spec.build(9)
    assert find_heads(model) == ["head_dist", "head"]
    replace_head(model, 3)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    twin = spec.build(3)
    for network in (model, twin):
        reset_head(network, partition(network), 0)
    for path in ("head", "head_dist"):
        assert torch.equal(twin.get_submodule(path).weight, model.get_submodule(path).weight)
    assert not torch.equal(model.head.weight, model.head_dist.weight)


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 3, 3)),
            3,
            "a linear layer, .* as the head of this Sequential",
        ),
        (nn.Linear(3, 3), 3, "found none"),
        (DigitsCNN(), 0, "num_classes must be at least 1, got 0"),
    ],
)
def test_head_that_cannot_be_replaced_says_why(model, classes, message):
    with pytest.raises(ValueError, match=message):
        replace_head(model, classes)


def test_reset_head_depends_on_the_seed_alone_and_moves_no_generator():
    model = DigitsCNN()
    blocks = partition(model)
    before = copy.deepcopy(model)
    state = torch.get_rng_state()
    heads = []
    for seed in (0, 1, 0):
        reset_head(model, blocks, seed)
        heads.append((model.head.weight.detach().clone(), model.head.bias.detach().clone()))
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        state = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(heads[0], heads[2], strict=True))
    assert not torch.equal(heads[0][0], heads[1][0])
    old = before.state_dict()
    assert all(torch.equal(t, old[n]) for n, t in model.state_dict().items() if "head" not in n)


def test_reset_head_equals_a_new_layer_of_that_seed():
    model = DigitsCNN(num_classes=4)
    reset_head(model, partition(model), 3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        fresh = nn.Linear(64, 4)
    assert torch.equal(model.head.weight, fresh.weight)


def test_threads_that_reset_heads_and_seed_trainings_at_once_get_what_each_gets_alone():
    template = DigitsCNN(num_classes=4)

    def head(seed):
        model = copy.deepcopy(template)
        with seeded(seed, torch.device("cpu")):
            reset_head(model, partition(model), seed)
        return model.head.weight.detach()

    alone = [head(seed) for seed in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(head, list(range(4)) * 100))
    finally:
        sys.setswitchinterval(interval)
    assert all(torch.equal(*pair) for pair in zip(together, alone * 100, strict=True))


def test_reset_head_keeps_pretrained_layers_of_the_last_block():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = copy.deepcopy(model)
    reset_head(model, {"trunk": ("0.weight",), "head": ("1.weight", "3.weight", "3.bias")}, 0)
    assert torch.equal(model[1].weight, before[1].weight)
    assert not torch.equal(model[3].weight, before[3].weight)


def test_reset_of_a_tied_head_is_refused_until_it_is_replaced():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    with pytest.raises(ValueError, match="'2' shares weights with a block other than 'head'"):
        reset_head(model, partition(model), 0)
    replace_head(model, 3)
    reset_head(model, partition(model), 0)


def test_last_block_without_a_layer_cannot_be_reset():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    blocks = {"trunk": ("0.weight", "0.bias"), "norm": ("1.weight", "1.bias")}
    with pytest.raises(ValueError, match="the last block 'norm', got .'BatchNorm1d'"):
        reset_head(model, blocks, 0)
