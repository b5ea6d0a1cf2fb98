"""What must hold for every family of networks, at every granularity."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from itertools import chain, pairwise
from typing import Any, get_args

import pytest
import torch
from networks import NETWORKS, SMALL
from torch import nn
from torch.overrides import TorchFunctionMode

from optuna_layerwise.models import (
    Granularity,
    ModelSpec,
    check_input,
    frozen,
    logits_of,
    param_groups,
    partition,
    reset_head,
    training_loss,
)
from optuna_layerwise.models.families import FAMILIES, LIBRARIES
from optuna_layerwise.models.freezing import module_blocks

torch.set_num_threads(1)
GRANULARITIES = get_args(Granularity)


@cache
def built(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[name].spec.build(3)


def images_for(name: str, n: int = 2) -> torch.Tensor:
    size = NETWORKS[name].image_size
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


class FirstUses(TorchFunctionMode):
    """Notes each parameter where a torch function first takes it.

    A hook would not see the attention of torchvision's ViT and Swin, which calls no submodule.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.order: dict[str, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for value in chain(args, (kwargs or {}).values()):
            if name := self.names.get(id(value)):
                self.order.setdefault(name, len(self.order))
        return func(*args, **(kwargs or {}))


@cache
def first_uses(name: str) -> dict[str, int]:
    """When each parameter is used in a forward pass in train mode; without what never is."""
    model = copy.deepcopy(built(name)).train()
    uses = FirstUses(model)
    with torch.no_grad():
        inputs = images_for(name)
        with uses:
            model(inputs)
    return uses.order


@pytest.mark.slow
def test_every_family_has_a_network() -> None:
    classes = {
        f"{cls.__module__}.{cls.__qualname__}" for n in NETWORKS for cls in type(built(n)).__mro__
    }
    of_texts = {"optuna_layerwise.models.text_network.TextNetwork"}  # tests/test_texts.py has it
    assert set(FAMILIES) - of_texts <= classes
    assert {name.partition(".")[0] for name in classes} > set(LIBRARIES)


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_in_one_block_by_identity(name: str, granularity: Granularity) -> None:
    model = built(name)
    blocks = partition(model, granularity=granularity)
    inside = [id(model.get_parameter(n)) for members in blocks.values() for n in members]
    assert len(set(inside)) == len(inside)
    assert set(inside) == {id(parameter) for parameter in model.parameters()}
    assert list(blocks)[-1] == "head"


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_come_in_the_order_in_which_they_first_run(
    name: str, granularity: Granularity
) -> None:
    order = first_uses(name)
    blocks = partition(built(name), granularity=granularity)
    assert len(order) > 0.95 * len(list(built(name).parameters()))
    starts = {b: min((order[n] for n in ns if n in order), default=-1) for b, ns in blocks.items()}
    assert -1 not in starts.values()
    assert [(a, b) for a, b in pairwise(starts) if starts[a] >= starts[b]] == []


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("name", NETWORKS)
def test_each_granularity_refines_the_one_before(name: str) -> None:
    model = built(name)
    stages, blocks, layers = (partition(model, granularity=g) for g in GRANULARITIES)
    for coarse, fine in ((stages, blocks), (blocks, layers)):
        home = {n: block for block, members in coarse.items() for n in members}
        for members in fine.values():
            assert len({home[n] for n in members}) == 1, members
    assert len(stages) <= len(blocks) <= len(layers)


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_takes_its_image_size(name: str) -> None:
    check_input(built(name), NETWORKS[name].image_size)


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_blocks_of_a_family_stay_bit_identical_and_in_eval_mode(name: str) -> None:
    model = copy.deepcopy(built(name))
    blocks = partition(model, granularity="block")
    policy = {block: float(index % 2) for index, block in enumerate(blocks)} | {"head": 1.0}
    reset_head(model, blocks, seed=0)  # torchvision's ViT starts with one of zeros
    before = copy.deepcopy(model.state_dict())
    home = {n: block for block, members in blocks.items() for n in members}
    with frozen(model, blocks, policy):
        model.train()
        for path, module in model.named_modules():
            inside = {home[f"{path}.{n}"] for n, _ in module.named_parameters() if path}
            if inside and not any(policy[block] for block in inside):
                assert not any(m.training for m in module.modules()), path
        optimizer = torch.optim.SGD(param_groups(model, blocks, policy, lr=0.1))
        torch.manual_seed(0)  # stochastic depth may leave out a block for both images
        training_loss(model, model(images_for(name)), torch.tensor([0, 1])).backward()
        optimizer.step()
    moved = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    owners = {n.rpartition(".")[0]: block for n, block in home.items()}  # of buffers
    changed = {home.get(n) or owners[n.rpartition(".")[0]] for n in moved}
    assert changed == {block for block in blocks if policy[block]}


@pytest.mark.sweep(name=SMALL)
@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_trunk_of_a_family_works_in_train_mode_as_in_eval_mode(name: str) -> None:
    """No dropout, no stochastic depth, no batch statistics."""
    model = copy.deepcopy(built(name))
    blocks = partition(model)
    for module, homes in module_blocks(model, blocks).items():
        if "head" in homes and isinstance(module, nn.Dropout):
            module.p = 0.0
    images = images_for(name)
    with frozen(model, blocks, {block: float(block == "head") for block in blocks}):
        expected = logits_of(model.eval()(images))
        assert torch.equal(logits_of(model.train()(images)), expected)


@pytest.mark.slow
def test_auxiliary_classifiers_are_blocks_of_their_own() -> None:
    assert "AuxLogits" in partition(built("inception_v3"))
    assert {"aux1", "aux2"} < set(partition(built("googlenet")))


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("timm/resnetv2_50", [f"stages.{i}" for i in range(4)]),
        ("timm/resnet10t", [f"layer{i}" for i in range(1, 5)]),
        ("transformers/hgnet_v2", [f"encoder.stages.{i}" for i in range(4)]),
    ],
)
def test_stages_are_called_by_their_shortest_path(name: str, stages: list[str]) -> None:
    """The shortest that leads to no other block."""
    assert list(partition(built(name))) == ["stem", *stages, "head"]


def test_patches_and_blocks_of_a_stage_belong_together() -> None:
    """Of PVT, which has a list of each."""
    args = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "image_size": 32}
    args["num_attention_heads"] = [1, 1, 1, 1]
    blocks = partition(ModelSpec(name="transformers/pvt", args=args, weights=None).build(3))
    assert list(blocks) == ["stage1", "stage2", "stage3", "stage4", "head"]
    for stage in range(4):
        lists = {".".join(n.split(".")[2:4]) for n in blocks[f"stage{stage + 1}"]}
        assert {f"patch_embeddings.{stage}", f"block.{stage}"} <= lists
