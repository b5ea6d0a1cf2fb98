"""Whole and reversible freezing: gradients, BatchNorm statistics, dropout, stochastic depth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from optuna_layerwise.models.partition import check_partition, check_policy
from optuna_layerwise.recipe import BatchNorm


@contextmanager
def frozen(
    model: nn.Module,
    blocks: Mapping[str, Sequence[str]],
    policy: Mapping[str, float],
    *,
    bn: BatchNorm = "eval_frozen",
) -> Iterator[None]:
    """Freeze the blocks with multiplier 0 for as long as the context is open.

    Their parameters need no gradient (all others do), and their modules stay in eval mode,
    also when the loop calls ``model.train()``: statistics do not move, dropout is off. On exit
    every flag is as it was before, whatever was raised. Contexts may be nested; the inner one
    decides. A copy (deepcopy, pickle) made inside is an ordinary model, whose ``train()`` works.

    A module belongs to the blocks of the parameters in it. One without parameters (dropout, a
    norm without affine weights) belongs to the nearest parameter before it inside the closest
    enclosing module that has any, or else to the first one behind it there. A module in several
    blocks is frozen if all of them are.

    Args:
        model: The model that ``blocks`` came from.
        blocks: From `partition`.
        policy: For every block a multiplier; 0 is frozen.
        bn: ``eval_frozen``, as above; ``train`` freezes parameters only and leaves every module's
            mode to the loop (BioTune's code); ``eval_all`` also keeps every BatchNorm of the
            trained blocks in eval mode.

    Raises:
        ValueError: if ``blocks`` is no partition of the model, the policy has other blocks, or
            ``bn`` is unknown.

    Examples:
        >>> from optuna_layerwise.models import partition
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2))
        >>> with frozen(net, partition(net), {"0": 0.0, "head": 1.0}):
        ...     [module.training for module in net.train()], net[0].weight.requires_grad
        ([False, False, True], False)
    """
    check_partition(model, blocks)
    check_policy(blocks, policy)
    if bn not in get_args(BatchNorm):
        raise ValueError(f"bn must be one of {list(get_args(BatchNorm))}, got {bn!r}")
    parameters = dict(model.named_parameters())
    held = _held(model, blocks, policy, bn)
    needed = [(parameter, parameter.requires_grad) for parameter in parameters.values()]
    modes = [(m, m.training, m.__dict__.get("train")) for m in model.modules()]
    try:
        for block, names in blocks.items():
            for name in names:
                parameters[name].requires_grad_(policy[block] > 0)
        for module, _, override in modes:
            if isinstance(override, _StayInEval):  # of an enclosing context
                _override_train(module, None)
        for module in held:
            module.training = False
            _override_train(module, _StayInEval(module))
        yield
    finally:
        for parameter, flag in needed:
            parameter.requires_grad_(flag)
        for module, training, override in modes:
            module.training = training
            _override_train(module, override)


def module_blocks(
    model: nn.Module, blocks: Mapping[str, Sequence[str]]
) -> dict[nn.Module, set[str]]:
    """Every module with the blocks it belongs to, by the rule that `frozen` states."""
    block_of = {
        id(model.get_parameter(n)): block for block, names in blocks.items() for n in names
    }
    found: dict[nn.Module, set[str]] = {}
    within: dict[nn.Module, list[str]] = {}

    def blocks_of(module: nn.Module) -> list[str]:
        """Of its parameters, in their order."""
        if module not in within:
            own = [block_of[id(p)] for p in module._parameters.values() if p is not None]
            inner = (blocks_of(child) for child in module._modules.values() if child is not None)
            within[module] = [*own, *itertools.chain.from_iterable(inner)]
        return within[module]

    def visit(module: nn.Module, before: str) -> str:
        inside = blocks_of(module)
        if not inside:
            for m in module.modules():
                found.setdefault(m, set()).add(before)  # a module used twice gathers its blocks
            return before
        found[module] = set(inside)
        nearest = inside[0]
        for child in module._modules.values():  # children() skips a second use
            if child is not None:
                nearest = visit(child, nearest)
        return inside[-1]

    visit(model, next(iter(blocks)))
    return found


class _StayInEval:
    """Stands in for ``module.train`` in the instance; copies and pickles as the class's own."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        return self.module

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.module, "train")


def _override_train(module: nn.Module, override: Callable[..., nn.Module] | None) -> None:
    if override is None:
        module.__dict__.pop("train", None)
    else:
        module.__dict__["train"] = override


def _held(
    model: nn.Module,
    blocks: Mapping[str, Sequence[str]],
    policy: Mapping[str, float],
    bn: BatchNorm,
) -> set[nn.Module]:
    """The modules that stay in eval mode; with a module, everything in it."""
    if bn == "train":
        return set()
    held = {
        module
        for module, members in module_blocks(model, blocks).items()
        if all(policy[block] == 0 for block in members)
    }
    if bn == "eval_all":
        held.update(
            m for norm in model.modules() if isinstance(norm, _BatchNorm) for m in norm.modules()
        )
    return held
