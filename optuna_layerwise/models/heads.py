"""The classification head: a new one for n classes, and its reset before each training.

What happens to the head happens to a distilled model's second one and to Inception's auxiliary
classifiers, too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.layers import is_layer
from optuna_layerwise.models.outputs import auxiliary_heads
from optuna_layerwise.models.seeding import drawing


def find_head(model: nn.Module) -> str:
    """The path of the classifier: the last ``nn.Linear``, or a 1 x 1 convolution at the very end.

    The first is ``fc`` of a ResNet and ``classifier[-1]`` of most other networks, the second
    SqueezeNet's ``classifier[1]``; both by module order.

    Raises:
        ValueError: if the model has neither below its root.
    """
    owners = [(path, m) for path, m in model.named_modules() if path and m._parameters]
    found: list[str] = [path for path, m in owners if isinstance(m, nn.Linear)]
    found += [path for path, m in owners[-1:] if _is_pointwise(m)]
    if not found:
        raise ValueError(
            "expected a linear layer, or a 1 x 1 convolution at the end, as the head of this "
            f"{type(model).__name__}, found none; set the classifier yourself"
        )
    return found[-1]


def find_heads(model: nn.Module) -> list[str]:
    """The paths of all classifiers: the one of `find_head`, then those trained beside it.

    These are the second head of a distilled model, whose logits are averaged with the first one's
    (DeiT's ``head`` and ``head_dist``), and Inception's auxiliary classifiers.
    """
    head = find_head(model)
    return [head, *_beside(model, head)]


def _beside(model: nn.Module, head: str) -> list[str]:
    twin = _DISTILLED.sub("", head)
    modules = dict(model.named_modules())
    twins = [twin] if twin != head and isinstance(modules.get(twin), nn.Linear) else []
    return [*twins, *auxiliary_heads(model).values()]


_DISTILLED = re.compile(r"_distill|_dist|dist_")
"""What sets the name of a distilled head apart from the first one's, in timm and transformers."""


def _is_pointwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1


def replace_head(model: nn.Module, num_classes: int) -> None:
    """Put a fresh layer with ``num_classes`` outputs in the place of the head, in place.

    A linear layer, or a 1 x 1 convolution where the head is one; also in the place of the other
    classifiers of a model that has several. The weights come from torch's global generator;
    `reset_head` makes them repeatable.

    Raises:
        ValueError: if the model has no such layer, or ``num_classes`` is below 1.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    for path in find_heads(model):
        old = model.get_submodule(path)
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, _like(old, num_classes).train(old.training))


def _like(old: nn.Module, outputs: int) -> nn.Module:
    assert isinstance(old, (nn.Linear, nn.Conv2d))
    place: Any = {"device": old.weight.device, "dtype": old.weight.dtype}
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, outputs, bias=old.bias is not None, **place)
    return nn.Conv2d(old.in_channels, outputs, 1, bias=old.bias is not None, **place)


def reset_head(model: nn.Module, blocks: Mapping[str, Sequence[str]], seed: int) -> None:
    """Re-initialise the last layer of the last block, in place and from ``seed`` alone.

    Earlier layers of that block are pretrained (VGG's ``classifier.0``) and stay. The values are
    drawn on the CPU, so they are the same on every device, and no generator of torch is moved.

    Raises:
        ValueError: if that block has no layer with ``reset_parameters``, or the layer's weights
            are tied to another block.
    """
    *_, (block, names) = blocks.items()
    owners = dict.fromkeys(name.rpartition(".")[0] for name in names)
    layers = [path for path in owners if is_layer(model.get_submodule(path))]
    if not layers or not hasattr(layer := model.get_submodule(layers[-1]), "reset_parameters"):
        raise ValueError(
            f"expected a layer with reset_parameters() in the last block {block!r}, "
            f"got {[type(model.get_submodule(path)).__name__ for path in owners]}"
        )
    inside = {id(model.get_parameter(name)) for name in names}
    if any(id(parameter) not in inside for parameter in layer.parameters()):
        raise ValueError(
            f"the layer {layers[-1]!r} shares weights with a block other than {block!r}, "
            "so it cannot be reset alone; call replace_head(model, num_classes) first"
        )
    others = [model.get_submodule(path) for path in _beside(model, layers[-1])]
    with drawing, torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        for old in (layer, *others):
            fresh: Any = copy.deepcopy(old).cpu()
            fresh.reset_parameters()
            old.load_state_dict(fresh.state_dict())
