"""A batch's way through the network: whole, or from the stored output of its frozen prefix."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import torch
from torch import nn

from optuna_layerwise.training.compute import Compute
from optuna_layerwise.training.prefixes import Prefix, PrefixStore, Shelf
from optuna_layerwise.training.resident import Resident
from optuna_layerwise.training.stopwatch import Stopwatch


@dataclasses.dataclass(eq=False)
class Forward:
    """The forward pass of a model over resident images.

    Args:
        model: In its modes and frozen.
        compute: Settings of the device.
        device: Where the model is.
        watch: Counts the phases ``data`` and ``forward``.
        store: Of the frozen prefixes of this model with these weights, or ``None``.
        frozen: Names what is frozen; with the train mode, it decides where the prefix ends.
        saved_flops: Operations that stored outputs have saved so far.
    """

    model: nn.Module
    compute: Compute
    device: torch.device
    watch: Stopwatch
    store: PrefixStore | None = None
    frozen: Hashable = None
    saved_flops: float = 0.0

    def __call__(self, images: Resident, rows: torch.Tensor, share: float = 1.0) -> Any:
        """What the model returns for some rows of a split.

        ``share`` of the split's images pass in batches of this size in an epoch.
        """
        with self.compute.autocast(self.device):
            prefix = self.prefix(images)
            shelf = None
            if self.store is not None:
                shelf = self.store.shelf(prefix, self.model, images, len(rows), share)
            if prefix.cut is None or shelf is None:
                with self.watch.phase("data"):
                    inputs = images.inputs(rows)
                with self.watch.phase("forward"):
                    return self.model(inputs)
            with self.watch.phase("data"):
                features = shelf.read(rows, self.device)
            if features is None:
                features = self._computed(prefix, shelf, images, rows)
            else:
                self.saved_flops += len(rows) * prefix.flops
            with self.watch.phase("forward"):
                return prefix.cut.suffix(self.model, features)

    @torch.no_grad()
    def _computed(
        self, prefix: Prefix, shelf: Shelf, images: Resident, rows: torch.Tensor
    ) -> torch.Tensor:
        """The features of some rows; they are stored, and others that are due."""

        def compute(rows: torch.Tensor) -> torch.Tensor:
            with self.watch.phase("data"):
                inputs = images.inputs(rows)
            with self.watch.phase("forward"):
                features = prefix.cut.prefix(self.model, inputs)
                shelf.write(rows, features)
            return features

        features = compute(rows)
        for batch in shelf.due(len(rows)):
            compute(batch)
            self.saved_flops -= len(batch) * prefix.flops
        return features

    def prefix(self, images: Resident) -> Prefix:
        """Where the prefix ends, or why there is none."""
        if self.store is None:
            return Prefix(None, "not stored")
        return self.store.prefix(self.model, self.frozen, images)
