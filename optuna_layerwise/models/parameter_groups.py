"""A policy as an optimizer's parameter groups, and the share of the model that it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from optuna_layerwise.models.partition import check_partition, check_policy
from optuna_layerwise.recipe import bounded_rate


def param_groups(
    model: nn.Module,
    blocks: Mapping[str, Sequence[str]],
    policy: Mapping[str, float],
    *,
    lr: float,
    weight_decay: float = 0.0,
    decay_norms_and_biases: bool = True,
    max_lr: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups for any torch optimizer: each trained parameter in exactly one, frozen ones in none.

    Frozen are the blocks with multiplier 0, and parameters that need no gradient (what `adapted`
    leaves as it is).

    Args:
        model: The model that ``blocks`` came from.
        blocks: From `partition`.
        policy: For every block a multiplier of ``lr``; 0 is frozen.
        lr: Base learning rate; a block's own is that of `bounded_rate`.
        weight_decay: Of every group but those that the next argument exempts.
        decay_norms_and_biases: If false, parameters with fewer than two dimensions form a second
            group of their block, without decay.
        max_lr: Upper bound of any block's learning rate.

    Returns:
        Groups with ``params``, ``param_names``, ``lr``, ``initial_lr``, ``weight_decay`` and
        ``block``, in forward order; none if everything is frozen.

    Raises:
        ValueError: if ``blocks`` is no partition of the model, or the policy has other blocks.
    """
    check_partition(model, blocks)
    check_policy(blocks, policy)
    parameters = dict(model.named_parameters())
    groups = []
    for block, names in blocks.items():
        if policy[block] == 0:
            continue
        needed = [n for n in names if parameters[n].requires_grad]
        exempt = [n for n in needed if not decay_norms_and_biases and parameters[n].ndim < 2]
        decayed = [n for n in needed if n not in exempt]
        rate = bounded_rate(policy[block], lr, max_lr)
        for members, decay in ((decayed, weight_decay), (exempt, 0.0)):
            if members:
                groups.append(
                    {
                        "params": [parameters[name] for name in members],
                        "param_names": members,
                        "lr": rate,
                        "initial_lr": rate,
                        "weight_decay": decay,
                        "block": block,
                    }
                )
    return groups


def trained_share(
    model: nn.Module, blocks: Mapping[str, Sequence[str]], policy: Mapping[str, float]
) -> float:
    """The share of the model's parameter elements whose block is trained, in [0, 1].

    BioTune's "trainable %". A tied weight counts once.

    Raises:
        ValueError: if ``blocks`` is no partition of the model, or the policy has other blocks.
    """
    check_partition(model, blocks)
    check_policy(blocks, policy)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    trained = sum(sizes[n] for block, names in blocks.items() if policy[block] > 0 for n in names)
    return trained / sum(sizes.values())
