"""What families are written with: the parts of a network that own parameters, by their paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from torch import nn

from optuna_layerwise.models.layers import has_layer

Depth = Literal["stage", "block"]
Paths = dict[str, Sequence[str]]
"""Block name to the paths of its modules (or parameters), both in forward order."""
Family = Callable[[nn.Module, Depth], Paths]


def children(module: nn.Module) -> dict[str, nn.Module]:
    """The children that own parameters."""
    return {n: c for n, c in module.named_children() if next(c.parameters(), None) is not None}


def direct(module: nn.Module) -> list[str]:
    """The names of the parameters that the module itself owns."""
    return [name for name, _ in module.named_parameters(recurse=False)]


def merged(parts: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """Parts by the one that starts their block: those without a layer join the one before."""
    blocks: dict[str, list[str]] = {}
    for name, part in parts.items():
        if has_layer(part) or not blocks:
            blocks[name] = [name]
        else:
            blocks[next(reversed(blocks))].append(name)
    return blocks


def expanded(model: nn.Module, path: str) -> Paths:
    """One block per child of the module at ``path``."""
    return {f"{path}.{name}": [f"{path}.{name}"] for name in children(model.get_submodule(path))}


def quarters(blocks: Sequence[Sequence[str]]) -> Paths:
    """At most four stages of as many blocks each, give or take one.

    For networks that keep one resolution and one width, such as ViT, and so have no stages.
    """
    n, stages = min(4, len(blocks)), dict[str, list[str]]()
    for index, paths in enumerate(blocks):
        stages.setdefault(f"stage{n * index // len(blocks) + 1}", []).extend(paths)
    return dict(stages)
