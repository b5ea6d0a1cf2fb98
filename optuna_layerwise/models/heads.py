"""The classification head: a new one for n classes, and its reset before each training.

What happens to the head happens to a distilled model's second one and to Inception's auxiliary
classifiers, too.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.classifiers import classifiers, library_of
from optuna_layerwise.models.layers import is_layer
from optuna_layerwise.models.resizing import resized
from optuna_layerwise.models.seeding import drawing


def find_heads(model: nn.Module) -> list[str]:
    """The paths of all classifiers, as `classifiers` finds them; none if they cannot be told."""
    try:
        return classifiers(model)
    except ValueError:
        return []


def replace_head(model: nn.Module, num_classes: int) -> None:
    """Put fresh layers with ``num_classes`` outputs in the place of all classifiers, in place.

    These are the layers that make the logits, linear ones or 1 x 1 convolutions: mostly one, two
    in distilled models and CrossViT, and auxiliary ones. What a network of timm, torchvision or
    transformers says of its classes agrees afterwards (``num_classes``; ``config.num_labels`` and
    names). The weights come from torch's global generator; `reset_head` makes them repeatable.

    Raises:
        ValueError: if it cannot be told which layers these are, or ``num_classes`` is below 1;
            nothing was changed.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    paths = classifiers(model)
    resized(model, paths, num_classes)
    for above, module in model.named_modules():
        if any(not above or path.startswith(f"{above}.") for path in paths):
            _agree(module, num_classes)


def _agree(module: nn.Module, num_classes: int) -> None:
    """Let a network of a library say how many classes it has; any other is left alone."""
    network: Any = module
    library = library_of(module)
    homes = {cls.__module__.partition(".")[0] for cls in type(module).__mro__}
    if homes & {"timm", "torchvision"} and isinstance(vars(module).get("num_classes"), int):
        network.num_classes = num_classes
    if library == "timm":
        for name in ("pretrained_cfg", "default_cfg"):
            if isinstance(known := getattr(network, name, None), dict):
                named = {"num_classes": num_classes, "label_names": None}
                setattr(network, name, {**known, **{n: v for n, v in named.items() if n in known}})
    elif library == "transformers":
        network.config.num_labels = num_classes
        if network.config.problem_type == "regression" and num_classes > 1:
            network.config.problem_type = None  # the loss decides by the labels
        if hasattr(network, "num_labels"):
            network.num_labels = num_classes


def classifier_parameters(model: nn.Module, blocks: Mapping[str, Sequence[str]]) -> set[str]:
    """The names of the parameters that are new: the last block's, and those of all classifiers."""
    paths = find_heads(model)
    names = (name for members in blocks.values() for name in members)
    return {*blocks[[*blocks][-1]], *(n for n in names if n.rpartition(".")[0] in paths)}


def head_layers(model: nn.Module, blocks: Mapping[str, Sequence[str]]) -> list[str]:
    """The paths of all classifiers, one of the last block first.

    Where they cannot be told (see `replace_head`), it is the last layer of the last block.

    Raises:
        ValueError: if that block has no layer with ``reset_parameters``, or the layer's weights
            are tied to another block.
    """
    *_, (block, names) = blocks.items()
    owners = dict.fromkeys(name.rpartition(".")[0] for name in names)
    heads = find_heads(model)
    layers = [path for path in owners if is_layer(model.get_submodule(path))]
    layers.sort(key=heads.__contains__)
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
    return [layers[-1], *(path for path in heads if path != layers[-1])]


def reset_head(model: nn.Module, blocks: Mapping[str, Sequence[str]], seed: int) -> None:
    """Re-initialise the layers of `head_layers`, in place and from ``seed`` alone.

    Other layers of the last block are pretrained (VGG's ``classifier.0``) and stay. The values
    are drawn on the CPU, so they are the same on every device, and no generator of torch is moved.

    Raises:
        ValueError: see `head_layers`.
    """
    with drawing, torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        for old in map(model.get_submodule, head_layers(model, blocks)):
            fresh: Any = copy.deepcopy(old).cpu()
            fresh.reset_parameters()
            old.load_state_dict(fresh.state_dict())
