"""A batch's way through the network: whole, or from the stored output of its frozen prefix."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import torch
from torch import nn

from optuna_layerwise.models.cutting import Cut
from optuna_layerwise.training.compute import Compute
from optuna_layerwise.training.prefixes import Prefix, PrefixStore, Shelf
from optuna_layerwise.training.resident import Resident
from optuna_layerwise.training.stopwatch import Stopwatch


@dataclasses.dataclass(eq=False)
class Forward:
    """The forward pass of a model over resident images.

    Args:
        model: In its modes, frozen where it is.
        device: Where it is.
        compute: The device's settings.
        watch: Counts the phases ``data`` and ``forward``.
        flops: Operations of each block, for `spent`.
        store: Of this model's frozen prefixes with these weights; ``None`` runs it whole.
        frozen_as: Names what is frozen; with the train mode it decides where the prefix ends.
        moving: The modules whose buffers training moves.
    """

    model: nn.Module
    device: torch.device
    compute: Compute
    watch: Stopwatch
    flops: Mapping[str, float] = dataclasses.field(default_factory=dict)
    store: PrefixStore | None = None
    frozen_as: Hashable = None
    moving: Collection[nn.Module] = ()
    _spent: float = 0.0

    def __call__(self, images: Resident, rows: torch.Tensor, share: float = 1.0) -> Any:
        """What the model returns for some rows of a split.

        In an epoch, ``share`` of the split's images pass in batches of this size.
        """
        with self.compute.autocast(self.device):
            prefix, shelf = self.prefix(images), None
            if self.store is not None:
                shelf = self.store.shelf(prefix, self.model, images, len(rows), share)
            self._spent += len(rows) * sum(self.flops.values())
            if prefix.cut is None or shelf is None:
                with self.watch.phase("data"):
                    inputs = images.inputs(rows)
                with self.watch.phase("forward"):
                    return self.model(inputs)
            with self.watch.phase("data"):
                features = shelf.read(rows, self.device)
            if features is None:
                features = self._features(prefix, prefix.cut, shelf, images, rows)
            else:
                self._spent -= len(rows) * prefix.flops
            with self.watch.phase("forward"):
                return prefix.cut.suffix(self.model, features)

    def prefix(self, images: Resident) -> Prefix:
        """Where the frozen prefix ends, or why there is none."""
        if self.store is None:
            return Prefix(None, "none is stored")
        return self.store.prefix(self.model, self.frozen_as, images, self.moving)

    def spent(self) -> float:
        """Operations since it was asked last."""
        spent, self._spent = self._spent, 0.0
        return spent

    @torch.no_grad()
    def _features(
        self, prefix: Prefix, cut: Cut, shelf: Shelf, images: Resident, rows: torch.Tensor
    ) -> torch.Tensor:
        """Features of some rows; they are stored, and with them others that are due."""

        def compute(rows: torch.Tensor) -> torch.Tensor:
            with self.watch.phase("data"):
                inputs = images.inputs(rows)
            with self.watch.phase("forward"):
                features = cut.prefix(self.model, inputs)
                shelf.write(rows, features)
            return features

        features = compute(rows)
        for batch in shelf.due(len(rows)):
            compute(batch)
            self._spent += len(batch) * prefix.flops
        return features
