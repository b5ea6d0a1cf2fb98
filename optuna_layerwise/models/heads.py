"""The classification head: a new one for n classes, and its reset before each training.

What happens to the head happens to Inception's auxiliary classifiers, too.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.layers import is_layer
from optuna_layerwise.models.outputs import auxiliary_heads


def find_head(model: nn.Module) -> str:
    """The path of the classifier: the last ``nn.Linear`` in module order.

    That is ``fc`` of a ResNet and ``classifier[-1]`` of torchvision's other networks.

    Raises:
        ValueError: if the model has no linear layer below its root.
    """
    found: list[str] = [
        path for path, m in model.named_modules() if path and isinstance(m, nn.Linear)
    ]
    if not found:
        raise ValueError(
            f"expected a linear layer as the head of this {type(model).__name__}, found none; "
            "set the classifier yourself"
        )
    return found[-1]


def replace_head(model: nn.Module, num_classes: int) -> None:
    """Put a fresh linear layer with ``num_classes`` outputs in the place of the head, in place.

    Its weights come from torch's global generator; `reset_head` makes them repeatable.

    Raises:
        ValueError: if the model has no linear layer, or ``num_classes`` is below 1.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    for path in (find_head(model), *auxiliary_heads(model).values()):
        old = model.get_submodule(path)
        assert isinstance(old, nn.Linear)
        new = nn.Linear(
            old.in_features,
            num_classes,
            bias=old.bias is not None,
            device=old.weight.device,
            dtype=old.weight.dtype,
        )
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, new.train(old.training))


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
    auxiliary = [model.get_submodule(path) for path in auxiliary_heads(model).values()]
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        for old in (layer, *auxiliary):
            fresh: Any = copy.deepcopy(old).cpu()
            fresh.reset_parameters()
            old.load_state_dict(fresh.state_dict())
