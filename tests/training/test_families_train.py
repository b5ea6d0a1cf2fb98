"""Every family of networks goes through the one training loop."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from networks import NETWORKS
from transfer import Transfer

from optuna_layerwise.data import Images, load_data
from optuna_layerwise.models import reset_head
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.training import Engine


def digits_of_each_class(images: Images, n: int, size: int) -> Images:
    """The first ``n`` images of each class, enlarged."""
    classes = range(len(images.classes))
    chosen = images.subset(
        np.concatenate([np.flatnonzero(images.labels == c)[:n] for c in classes])
    )
    scale = -(-size // 8)
    pixels = chosen.batch().repeat(scale, axis=1).repeat(scale, axis=2)[:, :size, :size]
    return dataclasses.replace(chosen, pixels=np.ascontiguousarray(pixels))


@pytest.mark.sweep(name="resnet20")
@pytest.mark.parametrize("name", NETWORKS)
def test_one_epoch_moves_every_trained_block_and_no_other(name: str) -> None:
    """With Inception's auxiliary classifiers, which only their own loss can move."""
    network = NETWORKS[name]
    digits = Transfer(network.spec, load_data("digits", image_size=8))
    train, val = (
        digits_of_each_class(part, 1, network.image_size)
        for part in (digits.splits.train, digits.splits.val)
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = digits.build()
    blocks = digits.spec.partition(model)
    reset_head(model, blocks, seed=0)  # as the loop does
    before = copy.deepcopy(model.state_dict())
    policy = {block: float(index != 0) for index, block in enumerate(blocks)}
    recipe = Recipe(epochs=1, batch_size=3, patience=None, metric="loss")
    result = digits.fit(model, policy, recipe, train=train, val=val, seed=0)
    assert result.cost.images_seen == 5 and not result.diverged
    assert (
        Engine(mean=digits.spec.mean, std=digits.spec.std, device="cpu").evaluate(model, val)
        == result.metrics
    )

    moved = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    first, *others = blocks
    frozen = {name.rpartition(".")[0] for name in blocks[first]}
    assert [n for n in moved if n.rpartition(".")[0] in frozen] == []
    assert [block for block in others if not moved & set(blocks[block])] == []


@pytest.mark.slow
def test_training_with_frozen_auxiliary_heads_is_training_without_them() -> None:
    ends = []
    images = load_data("digits", image_size=8)
    train = digits_of_each_class(images.train, 1, 32)
    spec = NETWORKS["googlenet"].spec
    state: dict[str, torch.Tensor] = {}
    for aux_logits in (True, False):
        transfer = Transfer(dataclasses.replace(spec, args={"aux_logits": aux_logits}), images)
        model = transfer.build()
        if state:
            model.load_state_dict({n: t for n, t in state.items() if not n.startswith("aux")})
        state = copy.deepcopy(model.state_dict())
        model.dropout.p = 0.0  # those of the frozen heads draw numbers
        policy = {b: float(not b.startswith("aux")) for b in transfer.spec.partition(model)}
        transfer.fit(model, policy, Recipe(epochs=1, patience=None), train=train, val=train)
        ends.append(model.state_dict())
    with_them, without = ends
    assert all(torch.equal(tensor, with_them[name]) for name, tensor in without.items())
