"""A network of the user's own, as a module or as what makes it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.heads import find_heads, replace_head
from optuna_layerwise.models.seeding import drawing, seeded
from optuna_layerwise.models.sources import Preprocessing
from optuna_layerwise.models.spec import ModelSpec

OWN = "own/"
"""What the name of an own network begins with."""
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OwnModel(ModelSpec):
    """A pretrained network of your own, in the place of a `ModelSpec`.

    It lives in this process: commands and workers cannot build it, and a file of its weights is
    loaded with ``load_exported(file, build=...)``.

    Args:
        make: The network, of which copies are trained; or a function that makes it, of no argument
            or of the number of classes. Without that number, a classifier of another size is
            replaced (see `replace_head`).
        name: What it is called in messages and records; by default the name of ``make``.
        args: Not used.
        weights: Not used: the weights are those that ``make`` has.
        mean: Per channel, of pixels in [0, 1]; by default ImageNet's.
        std: Per channel, of pixels in [0, 1]; by default ImageNet's.
        image_size: Side of the square input in pixels; by default 224.
        granularity: How fine the blocks are; see `partition`.
        patterns: Your own blocks; see `partition`.

    Raises:
        ValueError: if ``make`` is neither, or a value is out of its range.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 10))
        >>> spec = OwnModel(make=net, image_size=8)
        >>> spec.name, spec.build(4)[2].out_features
        ('own/Sequential', 4)
    """

    make: nn.Module | Callable[..., nn.Module]
    name: str = ""
    weights: Any = "own"

    def __post_init__(self) -> None:
        if not callable(self.make):
            raise ValueError(
                f"make must be a torch.nn.Module or a function that makes one, got {self.make!r}"
            )
        if self.weights is None:
            raise ValueError(
                f"{self.name or 'an own network'} has no version with random weights: leave out "
                "what trains from scratch"
            )
        kind = type(self.make) if isinstance(self.make, nn.Module) else self.make
        name = self.name or getattr(kind, "__name__", type(kind).__name__)
        usual = Preprocessing()
        given = {"name": OWN + name.removeprefix(OWN), "weights": "own"}
        for field in ("mean", "std", "image_size"):
            given[field] = getattr(usual, field) if (v := getattr(self, field)) is None else v
        for field, value in given.items():
            object.__setattr__(self, field, value)
        self._check_input()

    def build(self, num_classes: int) -> nn.Module:
        """A copy of the network in float32, with a head for ``num_classes``, on the CPU.

        Raises:
            ValueError: if ``make`` makes no module, or its classifier cannot be told.
        """
        if isinstance(self.make, nn.Module):
            made: object = copy.deepcopy(self.make)
            asked = None
        else:
            asked = _takes_classes(self.make)
            made = self.make(**({asked: num_classes} if asked else {}))
        if not isinstance(made, nn.Module):
            raise ValueError(f"{self.name}: expected a torch.nn.Module to be made, got {made!r}")
        sizes = {getattr(made.get_submodule(p), "out_features", None) for p in find_heads(made)}
        if asked is None and sizes != {num_classes}:
            replace_head(made, num_classes)
        return made.cpu().float()

    @property
    def resize(self) -> None:
        """Images are resized to the input, and nothing is cut off."""

    @property
    def takes_texts(self) -> bool:
        """What it takes is what the data have."""
        return False

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all fields but ``make``, and of what it makes for two classes."""
        with drawing, seeded(0, torch.device("cpu")):
            state = self.build(2).state_dict()
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["make"]
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode())
        for name, tensor in state.items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _takes_classes(make: Callable[..., nn.Module]) -> str | None:
    """The name of a function's argument for the number of classes: the one that it needs."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except ValueError:  # of a function in C
        return None
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in _REST]
    return next(iter(needed), None)
