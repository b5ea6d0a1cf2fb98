"""What counts as a layer: a convolution or linear map, with its norm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn
from torch.nn.modules.conv import _ConvNd


def is_layer(module: nn.Module) -> bool:
    """Whether the module itself is a convolution, a linear map, or another weight matrix.

    Norms and scales (a single dimension above 1) are not; the matrices of attention, embeddings
    and hand-written layers are. A module that contains layers counts only for a matrix called
    ``weight``: its position tables belong to them.
    """
    if isinstance(module, (_ConvNd, nn.Linear)):
        return True
    matrices = [
        name
        for name, parameter in module.named_parameters(recurse=False)
        if sum(size > 1 for size in parameter.shape) >= 2
    ]
    if not matrices or isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return False
    return any(name.endswith("weight") for name in matrices) or not any(
        has_layer(child) for child in module.children()
    )


def has_layer(module: nn.Module) -> bool:
    """Whether the module is or contains a layer."""
    return any(is_layer(m) for m in module.modules())


def split_layers(model: nn.Module, blocks: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Parameter names by layer, in the order of ``blocks``; no layer spans two of them.

    What is no layer joins the layer before it in its block, or at the block's start the first one;
    a table or scale of a module that contains layers (MaxViT's attention) the layer behind it.
    In a block that starts with a norm (DenseNet, the encoders of ViT and Swin), each norm belongs
    to the layer behind it: such blocks repeat norm, activation, layer. The blocks are ``stem``,
    the module paths of the layers between, and ``head``.
    """
    layers: list[tuple[str, list[str]]] = []
    waiting: list[str] = []
    for names in blocks.values():
        owners = {name: model.get_submodule(name.rpartition(".")[0]) for name in names}
        norm_first = _starts_with_norm(owners.values())
        before = len(layers)
        for name, owner in owners.items():
            path = name.rpartition(".")[0]
            if len(layers) > before and layers[-1][0] == path:
                layers[-1][1].append(name)
            elif is_layer(owner):
                layers.append((path, [*waiting, name]))
                waiting = []
            elif len(layers) == before or (norm_first and is_norm(owner)) or has_layer(owner):
                waiting.append(name)
            else:
                layers[-1][1].append(name)
        if layers:
            layers[-1][1].extend(waiting)
            waiting = []
    if not layers:
        return {"head": waiting}
    paths = [path for path, _ in layers]
    paths[0] = "stem"
    paths[-1] = "head"
    found: dict[str, list[str]] = {}
    for path, (_, members) in zip(paths, layers, strict=True):
        found.setdefault(path, []).extend(members)  # a layer before the last may be called head
    return found


def _starts_with_norm(owners: Iterable[nn.Module]) -> bool:
    return next((is_norm(m) for m in owners if is_norm(m) or is_layer(m)), False)


def is_norm(module: nn.Module) -> bool:
    """Whether the module is called a norm."""
    return "norm" in type(module).__name__.lower()
