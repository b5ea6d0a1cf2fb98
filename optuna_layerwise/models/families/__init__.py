"""Which modules make up the blocks of a known network: one row of `FAMILIES` per model class.

A family answers with the module paths of each block, in forward order; `partition` turns them
into parameters. The last block is called ``head``, a separate first one ``stem``. Networks of
timm and transformers answer by the structure that their library gives them; whatever is left is
split by `split_children`.
"""

from __future__ import annotations

from torch import nn

from optuna_layerwise.models.families import own, timm, torchvision, transformers
from optuna_layerwise.models.families.paths import Depth, Paths, children, direct, merged

FAMILIES = {**own.FAMILIES, **torchvision.FAMILIES}
"""Model class, by its full name (so that a row needs no import), to its family."""

LIBRARIES = {"timm": timm.blocks, "transformers": transformers.blocks}
"""Package of the model's class to what answers for all its models, or ``None`` if it cannot."""


def block_paths(model: nn.Module, depth: Depth) -> Paths:
    """The module paths of each block, by the model's family or by its children.

    A model that wraps another one (all parameters in one child) is split like that child.
    """
    for cls in type(model).__mro__:
        if family := FAMILIES.get(f"{cls.__module__}.{cls.__qualname__}"):
            return family(model, depth)
        library = LIBRARIES.get(cls.__module__.partition(".")[0])
        if library and (paths := library(model, depth)):
            return paths
    inside = children(model)
    if len(inside) == 1 and not direct(model):
        ((name, child),) = inside.items()
        if children(child):
            inner = block_paths(child, depth)
            return {block: [f"{name}.{path}" for path in paths] for block, paths in inner.items()}
    return split_children(model, depth)


def split_children(model: nn.Module, depth: Depth) -> Paths:
    """One block per child that owns parameters (or per child of these), in module order.

    A child without a convolution or linear layer, such as a norm, joins the block before it.
    Parameters of the model itself are the block ``root``. The last child is the ``head``.
    """
    stages = merged(children(model))
    last = next(reversed(stages), None)
    paths: Paths = {"root": owned} if (owned := direct(model)) else {}
    for stage, members in stages.items():
        inner = merged(children(model.get_submodule(stage)))
        if stage == last:
            paths["head"] = members
        elif depth == "stage" or not inner:
            paths[stage] = members
        else:
            if owned := direct(model.get_submodule(stage)):
                paths[stage] = [f"{stage}.{name}" for name in owned]
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
