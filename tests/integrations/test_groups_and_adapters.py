"""A policy in timm's optimizers, and as PEFT's adapters."""

from __future__ import annotations

import pytest
import timm
from peft import get_peft_model
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import nn

from optuna_layerwise import partition
from optuna_layerwise.integrations import layer_groups, lora_config


@pytest.fixture(scope="module")
def net() -> nn.Module:
    model: nn.Module = timm.create_model("resnet10t", num_classes=3)
    return model


@pytest.fixture
def policy(net: nn.Module) -> dict[str, float]:
    blocks = list(partition(net))
    return dict.fromkeys(blocks, 0.0) | {blocks[-2]: 0.5, "head": 1.0}


def test_timm_gets_the_rates_of_the_policy(net: nn.Module, policy: dict[str, float]) -> None:
    groups = layer_groups.of(policy, lr=0.1)
    optimizer = create_optimizer_v2(net, "sgd", lr=0.1, weight_decay=0.01, param_group_fn=groups)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.1]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.01}
    names = [n for block in policy if policy[block] for n in partition(net)[block]]
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(net.get_parameter(name)) for name in names}


def test_timms_schedulers_scale_the_optimizers_rate(
    net: nn.Module, policy: dict[str, float]
) -> None:
    groups = layer_groups.of(policy)
    optimizer = create_optimizer_v2(net, "sgd", lr=0.1, param_group_fn=groups)
    scheduler = CosineLRScheduler(optimizer, t_initial=10)
    scheduler.step(5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.025, 0.05])


def test_adapters_are_where_the_policy_trains_and_as_strong_as_it_says(
    net: nn.Module, policy: dict[str, float]
) -> None:
    inside = {name.rpartition(".")[0] for name in partition(net)[list(policy)[-2]]}
    convolutions = {
        path
        for path, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and path in inside
    }
    model = get_peft_model(net, lora_config(net, policy, rank=4, alpha=8))
    adapted = {
        path.removeprefix("base_model.model."): module
        for path, module in model.named_modules()
        if hasattr(module, "lora_A")
    }
    assert adapted.keys() == convolutions and len(convolutions) >= 3
    assert {module.scaling["default"] for module in adapted.values()} == {0.5 * 8 / 4}
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    assert any("modules_to_save" in name for name in trained)


def test_a_policy_without_layers_to_adapt_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"got a policy that trains \['head'\]"):
        lora_config(model, {"0": 0.0, "head": 1.0})
