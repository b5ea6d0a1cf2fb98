"""What policies cost, against what is known of ResNet-18."""

from __future__ import annotations

import pytest
import torch
from networks import NETWORKS

from optuna_layerwise.cost import training_flops
from optuna_layerwise.models import ModelSpec
from optuna_layerwise.models.flops import block_flops


@pytest.fixture(scope="module")
def resnet18() -> dict[str, float]:
    spec = ModelSpec(name="resnet18", weights=None)
    model = spec.build(1000).eval()
    return block_flops(model, spec.partition(model), torch.zeros(2, 3, 224, 224))


def test_resnet18_has_the_operations_that_its_paper_counts(resnet18: dict[str, float]) -> None:
    assert sum(resnet18.values()) / 2 == pytest.approx(1.814e9, rel=1e-3)  # multiply-adds
    assert resnet18["stem"] / 2 == 112 * 112 * 64 * 3 * 49
    assert resnet18["head"] / 2 == 512 * 1000


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    ("trained", "share"),
    [
        (("layer2", "layer3", "layer4", "head"), 0.727),
        (("layer4", "head"), 0.418),
        (("head",), 0.341),
        (("stem", "layer4", "head"), 0.759),
    ],
)
def test_a_policy_costs_its_share_of_training_everything(
    resnet18: dict[str, float], trained: tuple[str, ...], share: float
) -> None:
    policy = {block: float(block in trained) for block in resnet18}
    everything = training_flops(resnet18, dict.fromkeys(resnet18, 1.0))
    assert training_flops(resnet18, policy) / everything == pytest.approx(share, abs=5e-4)


def test_training_nothing_is_a_forward_pass(resnet18: dict[str, float]) -> None:
    nothing = training_flops(resnet18, dict.fromkeys(resnet18, 0.0))
    assert nothing == sum(resnet18.values())


@pytest.mark.slow
def test_attention_counts_by_its_matrix_products() -> None:
    model = NETWORKS["vit_b_32"].spec.build(5).eval()
    flops = block_flops(
        model, NETWORKS["vit_b_32"].spec.partition(model), torch.zeros(1, 3, 32, 32)
    )
    tokens, width = 2, 768  # a class token and one patch of 32 pixels
    layer = 4 * width**2 + 2 * 4 * width**2 + 2 * tokens * width
    assert flops["stage1"] == 2 * tokens * layer * 3
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.sweep
@pytest.mark.parametrize(
    "name",
    ["densenet121", "swin_t", "timm/resnet10t", "transformers/convnext", "transformers/hgnet_v2"],
)
def test_every_operation_belongs_to_one_block(name: str) -> None:
    network = NETWORKS[name]
    model = network.spec.build(5).eval()
    images = torch.zeros(1, 3, network.image_size, network.image_size)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    flops = block_flops(model, network.spec.partition(model), images)
    assert sum(flops.values()) == counter.get_total_flops() > 0
    assert all(flops.values())
