"""A policy as PEFT's configuration: which layers get adapters, and how strong they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from peft import LoraConfig
from torch import nn

from optuna_layerwise.models import Blocks, partition
from optuna_layerwise.models.heads import find_heads
from optuna_layerwise.models.partition import check_policy


def lora_config(
    model: nn.Module,
    policy: Mapping[str, float],
    *,
    rank: int = 8,
    alpha: int = 16,
    blocks: Blocks | None = None,
    **more: Any,
) -> LoraConfig:
    """Adapters in the linear layers and convolutions of trained blocks, scaled by the policy.

    An optimizer that PEFT's Trainer builds has one learning rate. So the multiplier of a block is
    in the scale of its adapters instead (``alpha_pattern``): a step of the optimizer changes the
    weight that much more or less. The classifier, if its block is trained, trains whole
    (``modules_to_save``). Grouped convolutions cannot have adapters and stay as they are.

    Args:
        model: The network.
        policy: For every block a multiplier; a block with 0 has no adapters.
        rank: The inner dimension of the adapters.
        alpha: Updates of a block are multiplied by its multiplier times ``alpha / rank``.
        blocks: The parameters of each block; by default those of `partition`.
        **more: Further arguments of `LoraConfig`.

    Raises:
        ValueError: if the policy has other blocks than the model, or no trained block has a layer
            that can be adapted.

    Examples:
        >>> from torchvision.models import resnet18
        >>> model = resnet18()
        >>> policy = {block: 0.0 for block in partition(model)} | {"layer4": 0.5, "head": 1.0}
        >>> config = lora_config(model, policy)
        >>> len(config.alpha_pattern), config.modules_to_save
        (5, ['fc'])
    """
    blocks = partition(model) if blocks is None else blocks
    check_policy(blocks, policy)
    heads = find_heads(model)
    owner = {name: block for block, names in blocks.items() for name in names}
    adapted: dict[str, float] = {}
    for path, module in model.named_modules():
        kind = isinstance(module, nn.Linear | nn.Conv2d) and getattr(module, "groups", 1) == 1
        multiplier = policy.get(owner.get(f"{path}.weight", ""), 0.0)
        if kind and multiplier > 0 and path not in heads:
            adapted[path] = multiplier
    if not adapted:
        trained = [block for block, multiplier in policy.items() if multiplier > 0]
        raise ValueError(
            "expected a trained block with linear layers or convolutions beside the classifier, "
            f"got a policy that trains {trained}; train another block, or fit without PEFT"
        )
    whole = [path for path in heads if policy[owner[f"{path}.weight"]] > 0]
    # PEFT takes names in a list, and the keys of a pattern, as ends of paths: the stem's "conv1"
    # would be every block's. An expression is a whole path; of patterns the first that fits wins.
    longest_first = sorted(adapted, key=len, reverse=True)
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="|".join(map(re.escape, longest_first)),
        alpha_pattern={re.escape(path): alpha * adapted[path] for path in longest_first},
        modules_to_save=whole or None,
        **more,
    )
