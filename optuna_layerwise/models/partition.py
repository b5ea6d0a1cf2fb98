"""A model as named blocks: every parameter in exactly one of them, by identity.

Blocks are what a policy freezes or speeds up: the groups of BioTune (ResNet-50: stem, four
stages, head), the residual blocks, or the layers of REVO-Tune.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from torch import nn

from optuna_layerwise.models.families import Depth, block_paths
from optuna_layerwise.models.layers import split_layers
from optuna_layerwise.recipe import Granularity

Blocks = dict[str, tuple[str, ...]]
"""Block name to parameter names as ``named_parameters`` gives them, in forward order."""

Patterns = Mapping[str, "str | Sequence[str]"]
"""Block name to one or more regular expressions."""


def partition(
    model: nn.Module, *, granularity: Granularity = "stage", patterns: Patterns | None = None
) -> Blocks:
    """Cut a model into blocks, in forward order.

    The last block is by convention called ``head``: the part that `replace_head` makes new.
    Tied weights belong to the block of their first name.

    Args:
        model: Any module that owns parameters. The families of `FAMILIES` are cut as in their
            papers, timm's and transformers' models as these libraries structure them. Others are
            cut by their lists of blocks and an empty pass, in the order in which blocks run.
        granularity: ``stage`` (where the resolution changes, or else the width), ``block``
            (residual blocks and the like) or ``layer`` (convolution or linear, with its norm; see
            `split_layers`). Each is a refinement of the one before.
        patterns: Your own blocks instead: the expressions that the whole parameter name must
            match (`re.fullmatch`). The first that matches wins.

    Raises:
        ValueError: if the model has no parameters, a pattern matches nothing, or a parameter
            is in no block.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 2))
        >>> partition(net)
        {'0': ('0.weight', '0.bias', '1.weight', '1.bias'), 'head': ('2.weight', '2.bias')}
        >>> list(partition(net, patterns={"trunk": "[01].*", "head": ["2.weight", "2.bias"]}))
        ['trunk', 'head']
    """
    names = [name for name, _ in model.named_parameters()]
    if not names:
        raise ValueError(f"this {type(model).__name__} has no parameters, so it has no blocks")
    if granularity not in get_args(Granularity):
        raise ValueError(
            f"granularity must be one of {list(get_args(Granularity))}, got {granularity!r}"
        )
    found: Mapping[str, Sequence[str]]
    if patterns is not None:
        found = _in_forward_order(_match(names, patterns), model)
    elif granularity == "layer":
        found = split_layers(model, _members(model, "block"))
    else:
        found = _members(model, granularity)
    blocks = {block: tuple(members) for block, members in found.items() if members}
    check_partition(model, blocks)
    return blocks


def check_partition(model: nn.Module, blocks: Mapping[str, Sequence[str]]) -> None:
    """Verify that every parameter of the model is in exactly one block.

    Raises:
        ValueError: if a block is empty, or a parameter is missing, twice, or not the model's.
    """
    names = dict.fromkeys(name for name, _ in model.named_parameters())
    counts = Counter(name for members in blocks.values() for name in members)
    kind = type(model).__name__
    if empty := [block for block, members in blocks.items() if not members]:
        raise ValueError(f"every block needs a parameter, {_few(empty)} have none")
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"every parameter belongs to one block, {_few(twice)} are in several")
    if unknown := [name for name in counts if name not in names]:
        raise ValueError(
            f"the blocks name {_few(unknown)}, which this {kind} does not have "
            f"(tied weights go by their first name); its parameters are {_few(list(names))}"
        )
    if missing := [name for name in names if name not in counts]:
        raise ValueError(
            f"{_few(missing)} of this {kind} are in none of the blocks {list(blocks)}; "
            "add a block or pattern for them"
        )


def check_policy(blocks: Mapping[str, Sequence[str]], policy: Mapping[str, float]) -> None:
    """Verify that a policy speaks of these blocks, with finite multipliers of at least 0.

    Raises:
        ValueError: naming what is missing, unknown or out of range.
    """
    missing = [block for block in blocks if block not in policy]
    unknown = [block for block in policy if block not in blocks]
    if missing or unknown:
        raise ValueError(
            f"the policy must have the blocks of the model, {list(blocks)}: "
            f"missing {missing}, unknown {unknown}"
        )
    for block, value in policy.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(
                f"the multiplier of block {block!r} must be finite and at least 0, got {value}"
            )


def _members(model: nn.Module, depth: Depth) -> dict[str, list[str]]:
    """The parameters of each block, in the order of its paths."""
    parameters = [name for name, _ in model.named_parameters()]
    blocks: dict[str, list[str]] = {}
    for block, paths in block_paths(model, depth).items():
        inside = [n for p in paths for n in parameters if n == p or n.startswith(f"{p}.")]
        blocks[block] = [*dict.fromkeys(inside)]
    return blocks


def _in_forward_order(
    groups: Mapping[str, Sequence[str]], model: nn.Module
) -> dict[str, Sequence[str]]:
    """Groups by the place of their first parameter; as registered, if there is no better order."""
    try:
        names = [name for members in _members(model, "block").values() for name in members]
    except ValueError:  # without patterns it could not be split, which is why there are some
        names = [name for name, _ in model.named_parameters()]
    place = {name: index for index, name in enumerate(names)}
    found = {block: members for block, members in groups.items() if members}
    return dict(sorted(found.items(), key=lambda item: min(place[n] for n in item[1])))


def _match(names: Sequence[str], patterns: Patterns) -> dict[str, list[str]]:
    rules = [
        (block, pattern)
        for block, given in patterns.items()
        for pattern in ([given] if isinstance(given, str) else given)
    ]
    if bare := [block for block, given in patterns.items() if not given]:
        raise ValueError(f"every block needs a pattern, {_few(bare)} have none")
    compiled = [_compile(block, pattern) for block, pattern in rules]
    groups: dict[str, list[str]] = {block: [] for block in patterns}
    used = set()
    for name in names:
        for place, expression in enumerate(compiled):
            if expression.fullmatch(name):
                groups[rules[place][0]].append(name)
                used.add(place)
                break
    for place, (block, pattern) in enumerate(rules):
        if place not in used:
            taken = any(compiled[place].fullmatch(name) for name in names)
            raise ValueError(
                f"pattern {pattern!r} of block {block!r} matched no parameter"
                + (" that an earlier pattern had left" if taken else "")
                + f"; the parameters are {_few(names)}"
            )
    return groups


def _compile(block: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"pattern {pattern!r} of block {block!r} is no regular expression: {error}"
        ) from error


def _few(names: Sequence[str], most: int = 4) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{list(names[:most])}{rest}"
