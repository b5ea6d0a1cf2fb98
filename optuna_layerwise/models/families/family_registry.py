"""Which modules make up the blocks of a known network: one row of `FAMILIES` per model class.

A family answers with the module paths of each block, in forward order; `partition` turns them
into parameters. The last block is called ``head``, a separate first one ``stem``. Networks of
timm and transformers answer by the structure that their library gives them; whatever is left is
split by `split_unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from optuna_layerwise.models.families import (
    own,
    timm_blocks,
    torchvision_blocks,
    transformers_blocks,
)
from optuna_layerwise.models.families.generic import split_unknown
from optuna_layerwise.models.families.paths import Depth, Paths, children, direct

FAMILIES: Mapping[str, Callable[[nn.Module, Depth], Paths | None]] = {
    **own.FAMILIES,
    **torchvision_blocks.FAMILIES,
    "optuna_layerwise.models.text_network.TextNetwork": transformers_blocks.text_blocks,
}
"""Model class, by its full name (so that a row needs no import), to its family."""

LIBRARIES = {"timm": timm_blocks.blocks, "transformers": transformers_blocks.blocks}
"""Package of the model's class to what answers for all its models, or ``None`` if it cannot."""


def block_paths(model: nn.Module, depth: Depth) -> Paths:
    """The module paths of each block, by the model's family or by its structure.

    A model that wraps another one (all parameters in one child) is split like that child.
    """
    for cls in type(model).__mro__:
        family = FAMILIES.get(f"{cls.__module__}.{cls.__qualname__}")
        if family and (paths := family(model, depth)):
            return paths
        library = LIBRARIES.get(cls.__module__.partition(".")[0])
        if library and (paths := library(model, depth)):
            return paths
    inside = children(model)
    if len(inside) == 1 and not direct(model):
        ((name, child),) = inside.items()
        if children(child):
            inner = block_paths(child, depth)
            return {block: [f"{name}.{path}" for path in paths] for block, paths in inner.items()}
    return split_unknown(model, depth)
