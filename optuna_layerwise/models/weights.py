"""Pretrained weights from a local file: all but a head of another size."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from optuna_layerwise.models.heads import find_heads

_WRAPPERS = (
    *("model_ema", "state_dict_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model", "net"),
)
"""Keys of a training checkpoint that hold weights; an average of them comes first."""
_PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.")
_OLD_NAMES = (
    (r"\.(norm|conv)\.(\d)\.", r".\1\2."),  # DenseNet
    (r"\.linear_1\.", ".0."),  # ViT
    (r"\.linear_2\.", ".3."),
)
"""Names in files that torchvision published, and what they are in its networks now."""


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a ``.safetensors`` file or a state dict saved by torch into the model, in place.

    Training checkpoints such as ``{"state_dict": ...}`` or ``{"model": ...}`` are unwrapped (where
    they hold an average of the weights, that is taken), and prefixes that wrappers leave in names,
    such as ``module.`` or ``backbone.``, are stripped. The head (see `replace_head`) is loaded
    if the file has it in the same shapes, and left alone otherwise. Nothing is loaded if anything
    else does not fit, and no code of the file is run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds no weights, or the weights are of another model.
    """
    path = Path(path)
    target = {
        name: tensor for name, tensor in model.state_dict().items() if torch.is_tensor(tensor)
    }
    state = {_current_name(name, target): tensor for name, tensor in _read(path).items()}
    fresh: set[str] = set()
    for head in find_heads(model):
        own = {name for name in target if name.startswith(f"{head}.")}
        if any(name not in state or state[name].shape != target[name].shape for name in own):
            state = {n: tensor for n, tensor in state.items() if not n.startswith(f"{head}.")}
            fresh |= own
    state = {  # a network without auxiliary classifiers takes a file with them, but for these
        name: tensor
        for name, tensor in state.items()
        if name in target or not re.match(r"AuxLogits\.|aux[12]\.", name)
    }

    missing = [
        name
        for name in target
        # Files from before torch 0.4.1 do not count batches.
        if name not in state and name not in fresh and not name.endswith(".num_batches_tracked")
    ]
    unexpected = [name for name in state if name not in target]
    shapes = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(target[name].shape)}"
        for name, tensor in state.items()
        if name in target and tensor.shape != target[name].shape
    ]
    if missing or unexpected or shapes:
        raise ValueError(
            f"the weights in {path} are not of this {type(model).__name__}: "
            f"{len(missing)} missing{_few(missing)}, "
            f"{len(unexpected)} unexpected{_few(unexpected)}, "
            f"{len(shapes)} of another shape{_few(shapes)}; "
            "check the model's name and arguments, such as --model-arg width_mult=0.35"
        )
    load_tensors(model, state)


def load_tensors(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Load some or all tensors of a network's state dict into it, by name.

    A plain mapping lacks the versions that networks note in their state dicts, and without which
    some of torchvision, such as MNASNet, load nothing; so the network's own state dict is filled.

    Raises:
        RuntimeError: if a tensor has another shape, or the network has none of its name.
    """
    state = model.state_dict()
    state.update(tensors)
    model.load_state_dict(state)


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"weights must be a file, found none at {path}")
    content: object
    try:
        if path.suffix.lower() == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # unpickling raises almost anything
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"cannot read weights from {path}: expected a .safetensors file or a state dict saved "
            f"by torch.save, got {type(error).__name__} ({reason}); the file may be cut short"
        ) from error
    if (state := _state_in(content)) is None:
        raise ValueError(
            f"expected {path} to hold a state dict (name to tensor), got {type(content).__name__}"
        )
    return state


def _state_in(content: object) -> dict[str, torch.Tensor] | None:
    """The state dict that a saved object is or holds."""
    if not isinstance(content, dict):
        return None
    for key in _WRAPPERS:
        if (inner := _state_in(content.get(key))) is not None:
            return inner
    state = {str(name): tensor for name, tensor in content.items() if name != "n_averaged"}
    return state if state and all(map(torch.is_tensor, state.values())) else None


def _current_name(name: str, target: Container[str]) -> str:
    """The name without the prefixes of wrappers and as torchvision spells it today."""
    short = name
    while short not in target and (prefix := next(filter(short.startswith, _PREFIXES), None)):
        short = short.removeprefix(prefix)
    current = short
    for old, new in _OLD_NAMES:
        current = re.sub(old, new, current)
    return current if current in target else short


def _few(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    if not names:
        return ""
    return f" ({', '.join(names[:most])}{', ...' if len(names) > most else ''})"
