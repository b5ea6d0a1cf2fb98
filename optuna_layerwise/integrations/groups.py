"""A policy as parameter groups, where a library builds the optimizer itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from optuna_layerwise.models import Blocks, param_groups, partition

Groups = list[dict[str, Any]]


class LayerGroups:
    """Makes the parameter groups of a policy; use its only instance, `layer_groups`.

    Examples:
        >>> from torchvision.models import resnet18
        >>> model = resnet18()
        >>> policy = {block: 0.0 for block in partition(model)} | {"layer4": 0.5, "head": 1.0}
        >>> [(group["block"], group["lr"]) for group in layer_groups(model, policy, lr=0.01)]
        [('layer4', 0.005), ('head', 0.01)]
    """

    def __call__(
        self,
        model: nn.Module,
        policy: Mapping[str, float],
        *,
        lr: float,
        weight_decay: float = 0.0,
        blocks: Blocks | None = None,
    ) -> Groups:
        """The groups for any optimizer of torch, such as in Lightning's ``configure_optimizers``.

        Args:
            model: The network, or a module that wraps it.
            policy: For every block a multiplier of ``lr``; 0 is frozen, and in no group.
            lr: The learning rate of a block with multiplier 1.
            weight_decay: The weight decay of all groups.
            blocks: The parameters of each block; by default those of `partition`.

        Returns:
            One group for each trained block; see `param_groups`.

        Raises:
            ValueError: if the policy has other blocks than the model.
        """
        blocks = partition(model) if blocks is None else blocks
        return param_groups(model, blocks, policy, lr=lr, weight_decay=weight_decay)

    def of(
        self,
        policy: Mapping[str, float],
        *,
        lr: float | None = None,
        weight_decay: float | None = None,
        blocks: Blocks | None = None,
    ) -> Callable[[nn.Module], Groups]:
        """A function of the model, for timm: ``create_optimizer_v2(..., param_group_fn=...)``.

        Args:
            policy: For every block a multiplier; 0 is frozen, and in no group.
            lr: The learning rate of a block with multiplier 1. By default the groups have the
                optimizer's own rate and an ``lr_scale``, by which timm's schedulers multiply it;
                without such a scheduler, give the rate here.
            weight_decay: The weight decay of all groups; by default the optimizer's own.
            blocks: The parameters of each block; by default those of `partition`.
        """

        def groups(model: nn.Module) -> Groups:
            made = self(model, policy, lr=1.0 if lr is None else lr, blocks=blocks)
            for group in made:
                if lr is None:
                    group["lr_scale"] = policy[group["block"]]
                    del group["lr"], group["initial_lr"]
                if weight_decay is None:
                    del group["weight_decay"]
                else:
                    group["weight_decay"] = weight_decay
            return made

        return groups


layer_groups = LayerGroups()
"""The parameter groups of a policy."""
