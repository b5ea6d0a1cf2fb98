"""What the trainings of one network on one device share, so that each pays only for its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from optuna_layerwise.data import Images
from optuna_layerwise.models import Blocks
from optuna_layerwise.training.compute import Compute
from optuna_layerwise.training.devices import resolve_device
from optuna_layerwise.training.evaluation import evaluate_resident
from optuna_layerwise.training.forward import Forward
from optuna_layerwise.training.prefixes import PrefixStore
from optuna_layerwise.training.resident import Resident, reside
from optuna_layerwise.training.stopwatch import Stopwatch


class Engine:
    """A device with its settings, the images on it, and the outputs of frozen prefixes.

    Args:
        mean: Per channel, of pixels in [0, 1].
        std: Per channel, of pixels in [0, 1].
        device: See `resolve_device`.
        compute: Settings; default those of the device.

    Raises:
        ValueError: if the device is missing.
    """

    def __init__(
        self,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        device: str | torch.device = "auto",
        compute: Compute | None = None,
    ) -> None:
        self.mean, self.std = mean, std
        self.device = resolve_device(device)
        self.compute = (compute or Compute()).on(self.device)
        self.store = PrefixStore(
            self.device, memory=self.compute.prefix_memory, disk=self.compute.prefix_disk
        )
        self._residents: dict[int, Resident] = {}

    def resident(self, images: Images) -> Resident:
        """A split in its place; brought there once, and kept."""
        if id(images) not in self._residents:
            self._residents[id(images)] = reside(  # holds the images, so that the id stays theirs
                images,
                mean=self.mean,
                std=self.std,
                device=self.device,
                memory_format=self.compute.memory_format,
            )
        return self._residents[id(images)]

    def evaluate(self, model: nn.Module, images: Images) -> dict[str, float]:
        """All metrics of a model of this engine, on images that are not kept."""
        split = reside(
            images,
            mean=self.mean,
            std=self.std,
            device=self.device,
            memory_format=self.compute.memory_format,
        )
        forward = Forward(model, self.compute, self.device, Stopwatch(self.device))
        return evaluate_resident(forward, split)
