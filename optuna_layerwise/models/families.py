"""Which modules make up the blocks of a known network: one row of `FAMILIES` per model class.

A family answers with the module paths of each block; `partition` turns them into parameters. The
first block is called ``stem`` and the last ``head``. Networks without a row are split by
`split_children`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from torch import nn

from optuna_layerwise.models.layers import has_layer

Depth = Literal["stage", "block"]
Paths = dict[str, Sequence[str]]
"""Block name to the paths of its modules (or parameters)."""


def block_paths(model: nn.Module, depth: Depth) -> Paths:
    """The module paths of each block, by the model's family or by its children.

    A model that wraps another one (all parameters in one child) is split like that child.
    """
    for cls in type(model).__mro__:
        if family := FAMILIES.get(f"{cls.__module__}.{cls.__qualname__}"):
            return family(model, depth)
    children = _children(model)
    if len(children) == 1 and not _direct(model):
        ((name, child),) = children.items()
        if _children(child):
            inner = block_paths(child, depth)
            return {block: [f"{name}.{path}" for path in paths] for block, paths in inner.items()}
    return split_children(model, depth)


def split_children(model: nn.Module, depth: Depth) -> Paths:
    """One block per child that owns parameters (or per child of these), in module order.

    A child without a convolution or linear layer, such as a norm, joins the block before it.
    Parameters of the model itself are the block ``root``. The last child is the ``head``.
    """
    stages = _merged(_children(model))
    last = next(reversed(stages), None)
    paths: Paths = {"root": direct} if (direct := _direct(model)) else {}
    for stage, members in stages.items():
        inner = _merged(_children(model.get_submodule(stage)))
        if stage == last:
            paths["head"] = members
        elif depth == "stage" or not inner:
            paths[stage] = members
        else:
            if direct := _direct(model.get_submodule(stage)):
                paths[stage] = [f"{stage}.{name}" for name in direct]
            for child, grandchildren in inner.items():
                paths[f"{stage}.{child}"] = [f"{stage}.{name}" for name in grandchildren]
            tail = next(reversed(paths))
            paths[tail] = [*paths[tail], *members[1:]]
    if last is not None and "head" in stages and last != "head":
        raise ValueError(
            f"the last block is called 'head' by convention, but this {type(model).__name__} has "
            f"a child 'head' before its last child {last!r}; pass patterns={{block: regex}}"
        )
    return paths


def resnet(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each ``layer`` or each of its residual blocks, and ``fc``."""
    stages = ["layer1", "layer2", "layer3", "layer4"]
    if depth == "block":
        stages = [f"{s}.{name}" for s in stages for name in _children(model.get_submodule(s))]
    return {"stem": ["conv1", "bn1"], **{stage: [stage] for stage in stages}, "head": ["fc"]}


def mobilenet_v2(model: nn.Module, depth: Depth) -> Paths:
    """The trunk cut where the resolution halves, its last convolution, and the classifier."""
    paths: dict[str, list[str]] = {}
    *trunk, last = _children(model.get_submodule("features")).items()
    for index, (name, module) in enumerate(trunk):
        if index == 0:
            block = "stem"
        elif depth == "block":
            block = f"features.{name}"
        elif getattr(module, "stride", 1) == 2:
            block = f"stage{len(paths)}"
        paths.setdefault(block, []).append(f"features.{name}")
    return {**paths, "last_conv": [f"features.{last[0]}"], "head": ["classifier"]}


FAMILIES: Mapping[str, Callable[[nn.Module, Depth], Paths]] = {
    "torchvision.models.resnet.ResNet": resnet,
    "torchvision.models.mobilenetv2.MobileNetV2": mobilenet_v2,
}
"""Model class, by its full name (so that a row needs no import), to its family."""


def _children(module: nn.Module) -> dict[str, nn.Module]:
    """The children that own parameters."""
    return {n: c for n, c in module.named_children() if next(c.parameters(), None) is not None}


def _direct(module: nn.Module) -> list[str]:
    """The names of the parameters that the module itself owns."""
    return [name for name, _ in module.named_parameters(recurse=False)]


def _merged(children: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """Children by the one that starts their block: those without a layer join the one before."""
    merged: dict[str, list[str]] = {}
    for name, child in children.items():
        if has_layer(child) or not merged:
            merged[name] = [name]
        else:
            merged[next(reversed(merged))].append(name)
    return merged
