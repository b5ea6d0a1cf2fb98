"""What counts as a layer: a convolution or linear map, followed by its norm."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.conv import _ConvNd


def is_layer(module: nn.Module) -> bool:
    """Whether the module itself is a convolution, a linear map, or another weight matrix.

    Norms and scales (a single dimension above 1) are not; the matrices of attention, embeddings
    and hand-written layers are.
    """
    if isinstance(module, (_ConvNd, nn.Linear)):
        return True
    return not isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and any(
        sum(size > 1 for size in parameter.shape) >= 2
        for parameter in module.parameters(recurse=False)
    )


def has_layer(module: nn.Module) -> bool:
    """Whether the module is or contains a layer."""
    return any(is_layer(m) for m in module.modules())


def split_layers(model: nn.Module) -> dict[str, list[str]]:
    """Parameter names by layer, in module order; what is no layer joins the one before it.

    The blocks are ``stem``, the module paths of the layers between, and ``head``. Parameters
    that come before the first layer join it.
    """
    starts: list[tuple[str, list[str]]] = []
    waiting: list[str] = []
    for name, _ in model.named_parameters():
        path = name.rpartition(".")[0]
        if starts and starts[-1][0] == path:
            starts[-1][1].append(name)
        elif is_layer(model.get_submodule(path)):
            starts.append((path, [*waiting, name]))
            waiting = []
        else:
            (starts[-1][1] if starts else waiting).append(name)
    if not starts:
        return {"head": waiting}
    names = [path for path, _ in starts]
    names[0] = "stem"
    names[-1] = "head"
    return {block: members for block, (_, members) in zip(names, starts, strict=True)}
