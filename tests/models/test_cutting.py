"""Cuts: what comes before one is a fixed function of each image, for every family of networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import NETWORKS, SMALL
from torch import nn
from torch.nn.functional import dropout, linear

from optuna_layerwise.models import Blocks, frozen, logits_of, reset_head, training_loss
from optuna_layerwise.models.cutting import Cut, find_cut
from optuna_layerwise.recipe import BatchNorm


def trained_from(blocks: Blocks, first: int) -> dict[str, float]:
    return {block: float(index >= first) for index, block in enumerate(blocks)}


def images(n: int, size: int = 8, channels: int = 3) -> torch.Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(n))


def step(model: nn.Module, inputs: torch.Tensor, cut: Cut | None) -> list[torch.Tensor]:
    """Logits, the loss's gradients, and the buffers after one forward and backward pass."""
    before = [buffer.clone() for buffer in model.buffers()]
    torch.manual_seed(3)
    if cut is None:
        outputs = model(inputs)
    else:
        with torch.no_grad():
            features = cut.prefix(model, inputs)
        outputs = cut.suffix(model, features)
    loss = training_loss(model, outputs, torch.zeros(len(inputs), dtype=torch.long))
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    buffers = [buffer.clone() for buffer in model.buffers()]
    for buffer, value in zip(model.buffers(), before, strict=True):
        buffer.copy_(value)
    return [logits_of(outputs), *(g for g in gradients if g is not None), *buffers]


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_from_the_cut_has_the_bits_of_a_whole_one_in_every_family(name: str) -> None:
    network = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network.spec.build(5)
        blocks = network.spec.partition(model)
        reset_head(model, blocks, seed=0)
        last = len(blocks) - 1
        for first, mode in ((1, True), (last // 2, False), (last, True)):
            with frozen(model, blocks, trained_from(blocks, first)):
                model.train(mode)
                cut, where = find_cut(model, images(3, network.image_size))
                assert cut is not None, where
                inputs = images(4, network.image_size)
                whole, cut_off = (step(model, inputs, c) for c in (None, cut))
                assert len(whole) == len(cut_off) > 1
                assert all(map(torch.equal, whole, cut_off)), where


@pytest.mark.slow
def test_the_cut_of_a_linear_probe_is_behind_the_pooling() -> None:
    for name in ("resnet18", "mobilenet_v2", "densenet121", "vit_b_32", "convnext_tiny"):
        model = NETWORKS[name].spec.build(5)
        blocks = NETWORKS[name].spec.partition(model)
        with frozen(model, blocks, trained_from(blocks, len(blocks) - 1)):
            cut, _ = find_cut(model.eval(), images(3, 32))
            assert cut is not None
            features = cut.prefix(model, images(2, 32))
            assert features[0].numel() == max(features.shape[1:]), (name, features.shape)


class Net(nn.Module):
    """Two parts and a head with something between them; the parts are the blocks.

    At widths that fill no vector, products of matrices round differently from row to row.
    """

    def __init__(self, between: Any = lambda net, x: x) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 3)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.a(x.flatten(1)[:, :64])
        logits: torch.Tensor = self.head(self.between(self, self.b(a)))
        return logits


def cut_of(model: nn.Module, trained: set[str], *, train: bool = True) -> tuple[Cut | None, str]:
    blocks: Blocks = {}
    for name, _ in model.named_parameters():
        blocks[name.split(".")[0]] = (*blocks.get(name.split(".")[0], ()), name)
    with frozen(model, blocks, {block: float(block in trained) for block in blocks}):
        return find_cut(model.train(train), images(3))


def test_the_cut_is_where_training_begins() -> None:
    assert cut_of(Net(), {"head"})[1] == "at head"
    assert cut_of(Net(), {"b", "head"})[1] == "at b"
    assert cut_of(Net(), {"a", "head"}) == (None, "none before a, which is trained")
    assert cut_of(Net(), set()) == (None, "nothing is trained")


def test_no_cut_lies_behind_chance() -> None:
    random = Net(lambda net, x: dropout(x, training=net.training))
    assert cut_of(random, {"head"}, train=True)[1] == "at b"
    assert cut_of(random, {"head"}, train=False)[1] == "at head"


def test_no_cut_lies_behind_what_mixes_images() -> None:
    assert cut_of(Net(lambda net, x: x - x.mean(dim=0)), {"head"})[1] == "at b"


def test_no_cut_lies_behind_a_trained_parameter_that_is_used_elsewhere() -> None:
    early = Net(lambda net, x: linear(x, net.head.weight.repeat(22, 1)[:64]))
    assert cut_of(early, {"head"})[1] == "at b"


class Around(Net):
    """The head also sees what went into ``b``, with a gate that is still closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.a(x.flatten(1)[:, :64])
        logits: torch.Tensor = self.head(self.b(a) + self.gate * a)
        return logits


def test_no_cut_forgets_a_way_around_it_though_its_weight_is_zero() -> None:
    cut, where = cut_of(Around(), {"b", "head", "gate"})
    assert (cut, where) == (None, "none before the model, which is trained")
    model = Around()
    blocks = {"a": ("a.weight", "a.bias"), "b": ("b.weight", "b.bias")}
    blocks["head"] = ("head.weight", "head.bias", "gate")
    with frozen(model, blocks, {"a": 0.0, "b": 1.0, "head": 0.0}):
        assert find_cut(model, images(3)) == (None, "none before b, which is trained")


@pytest.mark.sweep
@pytest.mark.parametrize("bn", ["eval_frozen", "train", "eval_all"])
def test_batchnorm_in_train_mode_is_behind_the_cut(bn: BatchNorm) -> None:
    model = NETWORKS["resnet18"].spec.build(5)
    blocks = NETWORKS["resnet18"].spec.partition(model)
    with frozen(model, blocks, trained_from(blocks, len(blocks) - 1), bn=bn):
        _, where = find_cut(model.train(), images(3, 32))
    assert where == ("at bn1" if bn == "train" else "at fc")


def test_in_eval_mode_statistics_that_move_are_behind_the_cut() -> None:
    model = NETWORKS["resnet18"].spec.build(5).eval()
    blocks = NETWORKS["resnet18"].spec.partition(model)
    with frozen(model, blocks, trained_from(blocks, len(blocks) - 1), bn="train"):
        assert find_cut(model, images(3, 32), moving={model.layer2[0].bn1})[1] == "at layer2.0"
        assert find_cut(model, images(3, 32))[1] == "at fc"


def test_finding_a_cut_leaves_no_trace() -> None:
    model = NETWORKS["efficientnet_b0"].spec.build(5)
    blocks = NETWORKS["efficientnet_b0"].spec.partition(model)
    with frozen(model, blocks, trained_from(blocks, 3)):
        model.train()
        modes = [module.training for module in model.modules()]
        keys = [set(vars(module)) for module in model.modules()]
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        generator = torch.get_rng_state()
        find_cut(model, images(3, 32))
        assert torch.equal(generator, torch.get_rng_state())
        assert all(torch.equal(state[n], t) for n, t in model.state_dict().items())
        assert modes == [module.training for module in model.modules()]
        assert keys == [set(vars(module)) for module in model.modules()]
        assert all(p.grad is None for p in model.parameters())


def test_what_lies_before_the_cut_does_not_run_again() -> None:
    runs: list[str] = []

    class Noting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            runs.append("ran")
            return super().forward(x)

    model = Net()
    model.a, model.b = Noting(64, 64), nn.Linear(64, 64)
    cut, _ = cut_of(model, {"head"})
    assert cut is not None
    features = cut.prefix(model, images(5))
    runs.clear()
    assert cut.suffix(model, features).shape == (5, 3)
    assert runs == []
