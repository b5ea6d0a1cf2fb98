"""Pretrained weights from a local file: all but a head of another size."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from optuna_layerwise.models.heads import find_head


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a ``.safetensors`` file or a state dict saved by torch into the model, in place.

    ``{"state_dict": ...}`` is unwrapped and a leading ``module.`` stripped. The head (see
    `replace_head`) is loaded if the file has it in the same shapes, and left alone otherwise.
    Nothing is loaded if anything else does not fit, and no code of the file is run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds no weights, or the weights are of another model.
    """
    path = Path(path)
    state = _read(path)
    target = {
        name: tensor for name, tensor in model.state_dict().items() if torch.is_tensor(tensor)
    }
    head = find_head(model) + "."
    own = {name for name in target if name.startswith(head)}
    if any(name not in state or state[name].shape != target[name].shape for name in own):
        state = {name: tensor for name, tensor in state.items() if not name.startswith(head)}
    else:
        own = set()

    missing = [
        name
        for name in target
        # Files from before torch 0.4.1 do not count batches.
        if name not in state and name not in own and not name.endswith(".num_batches_tracked")
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
            "check the model's name and arguments (width, depth)"
        )
    model.load_state_dict(state, strict=False)


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of weights, found none at {path}")
    content: object
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # unpickling raises almost anything
        raise ValueError(
            f"cannot read weights from {path}: expected a .safetensors file or a state dict saved "
            f"by torch.save, got {type(error).__name__}: {str(error).strip().splitlines()[:1]}"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(torch.is_tensor(t) for t in content.values()):
        raise ValueError(
            f"expected {path} to hold a state dict (name to tensor), got {type(content).__name__}"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _few(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    if not names:
        return ""
    return f" ({', '.join(names[:most])}{', ...' if len(names) > most else ''})"
