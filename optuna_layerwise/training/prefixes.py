"""The outputs of frozen prefixes, computed once and shared by epochs, seeds and trials.

Below the lowest trained block a network is a fixed function of each image. What it gives for an
image is stored and served in later epochs and trainings. Kernels may round differently in batches
of another size, so outputs are kept by the size that they were computed in: in float32 a served
batch has the bits of a live one.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
import threading
from collections.abc import Collection, Hashable
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import nn

from optuna_layerwise.models.cutting import Cut, find_cut
from optuna_layerwise.models.flops import counting_flops
from optuna_layerwise.training.compute import ran_out_of_memory
from optuna_layerwise.training.resident import Resident

LEAST_FLOPS_PER_BYTE = {
    ("cpu", "memory"): 20.0,
    ("cpu", "disk"): 100.0,
    ("cuda", "device"): 300.0,
    ("cuda", "memory"): 2e4,
    ("cuda", "disk"): 1e5,
    ("mps", "memory"): 100.0,
    ("mps", "disk"): 1e4,
}
"""Device and place to the saved operations per byte from which reading beats computing.

The device's arithmetic over the rate of reading, both roughly: a CPU core 40 GFLOP/s over 2 GB/s,
a GPU 300 TFLOP/s over 1 TB/s there and 15 GB/s from the host.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Prefix:
    """What is known of one state of a network.

    Args:
        cut: Where its frozen prefix ends; ``None`` if it has none.
        where: The same in words; without a cut, why.
        flops: Floating-point operations of one image up to there.
    """

    cut: Cut | None
    where: str
    flops: float = 0.0


@dataclasses.dataclass(eq=False)
class Shelf:
    """What one prefix gives for the images of a split, in batches of one size.

    Args:
        place: ``device``, ``memory`` or ``disk``.
        value: Operations saved by a stored byte and epoch.
        features: [N, ...]; of features in channels-last order, [N, H, W, C].
        known: bool [N], on the CPU.
        computed: Images that went through the prefix for it.
    """

    place: str
    value: float
    features: torch.Tensor
    known: torch.Tensor
    channels_last: bool = False
    computed: int = 0

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return self.features.numel() * self.features.element_size()

    def read(self, rows: torch.Tensor, device: torch.device) -> torch.Tensor | None:
        """The features of some rows, or ``None`` unless all of them are known."""
        if not self.known[rows].all():
            return None
        features = self.features[rows.to(self.features.device)].to(device)
        return features.permute(0, 3, 1, 2) if self.channels_last else features

    def write(self, rows: torch.Tensor, features: torch.Tensor) -> None:
        """Store what was computed for some rows."""
        place = self.features.device
        ordered = features.permute(0, 2, 3, 1) if self.channels_last else features
        self.features[rows.to(place)] = ordered.to(place)
        self.known[rows] = True
        self.computed += len(rows)

    def due(self, size: int) -> list[torch.Tensor]:
        """Batches to compute for later: what is missing, once as much has been computed.

        The rest of a first epoch is needed anyway. Of an epoch's ragged end, which meets other
        images each time, this makes at most twice the work of the better of always and never.
        """
        missing = (~self.known).nonzero().flatten()
        if not 0 < len(missing) <= self.computed:
            return []
        others = self.known.nonzero().flatten()
        batches = torch.split(missing, size)
        return [torch.cat([batch, others[: size - len(batch)]]) for batch in batches]


class PrefixStore:
    """Shelves of one network with its pretrained weights, within budgets of bytes.

    The places are tried in the order device (beside a GPU), memory, disk, and one is taken where
    reading is quicker than computing. There, what saves more operations a byte displaces what
    saves less. For any number of threads.

    Args:
        device: Where the network runs.
        memory: Bytes on the device, and as many in the host's memory beside a GPU.
        disk: Bytes in files of the user's cache directory; they have no names, so that they are
            gone with the process.
    """

    def __init__(self, device: torch.device, *, memory: int, disk: int) -> None:
        self._device = device
        self._budgets = {"memory": memory, "disk": disk}
        if device.type == "cuda":
            self._budgets = {"device": memory, **self._budgets}
        self._prefixes: dict[Hashable, Prefix] = {}
        self._shelves: dict[tuple[str, Resident, int], Shelf | None] = {}
        self._lock = threading.RLock()

    def prefix(
        self,
        model: nn.Module,
        frozen: Hashable,
        images: Resident,
        moving: Collection[nn.Module],
    ) -> Prefix:
        """Where the model can be cut in the state that ``frozen`` and its train mode name.

        ``moving`` are the modules whose buffers training moves.
        """
        with self._lock:
            if (key := (frozen, model.training)) not in self._prefixes:
                self._prefixes[key] = _find(model, images, moving)
            return self._prefixes[key]

    def shelf(
        self, prefix: Prefix, model: nn.Module, images: Resident, size: int, share: float
    ) -> Shelf | None:
        """Where features of a split in batches of ``size`` are; ``None`` if they are not kept.

        Args:
            prefix: Of `prefix`.
            model: In the same state.
            images: The split.
            size: Images in a batch.
            share: Of the split's images that an epoch sees in batches of this size.
        """
        if prefix.cut is None:
            return None
        with self._lock:
            if (key := (prefix.cut.at, images, size)) not in self._shelves:
                like = prefix.cut.prefix(model, images.inputs(torch.tensor([0])))
                value = share * prefix.flops / (like.numel() * like.element_size())
                self._shelves[key] = self._make(value, len(images), like)
            return self._shelves[key]

    def clear(self) -> None:
        """Give all memory back."""
        with self._lock:
            self._shelves.clear()

    @property
    def used(self) -> dict[str, int]:
        """Bytes in each place."""
        shelves = [shelf for shelf in self._shelves.values() if shelf is not None]
        return {p: sum(s.n_bytes for s in shelves if s.place == p) for p in self._budgets}

    def _make(self, value: float, n: int, like: torch.Tensor) -> Shelf | None:
        channels_last = like.ndim == 4 and not like.is_contiguous()
        like = like.permute(0, 2, 3, 1) if channels_last else like
        shape = (n, *like.shape[1:])
        n_bytes = math.prod(shape) * like.element_size()
        for place, budget in self._budgets.items():
            if value < LEAST_FLOPS_PER_BYTE[self._device.type, place]:
                continue
            less = [
                (shelf.value, key)
                for key, shelf in self._shelves.items()
                if shelf is not None and shelf.place == place and shelf.value < value
            ]
            free = budget - self.used[place]
            displaced = []
            for _, key in sorted(less, key=lambda entry: entry[0]):
                if free >= n_bytes:
                    break
                displaced.append(key)
                free += self._shelves[key].n_bytes  # type: ignore[union-attr]
            if free < n_bytes:
                continue
            for key in displaced:
                self._shelves[key] = None
            try:
                features = self._allocate(place, shape, like.dtype)
            except Exception as error:
                if not (isinstance(error, OSError) or ran_out_of_memory(error)):
                    raise
                continue  # the place is fuller than its budget says
            known = torch.zeros(n, dtype=torch.bool)
            return Shelf(place, value, features, known, channels_last)
        return None

    def _allocate(self, place: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        if place != "disk":
            device = self._device if place == "device" else torch.device("cpu")
            return torch.empty(shape, dtype=dtype, device=device)
        folder = Path(platformdirs.user_cache_path("optuna-layerwise")) / "prefixes"
        folder.mkdir(parents=True, exist_ok=True)
        n_bytes = math.prod(shape) * dtype.itemsize
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # a full disk raises here, not when it is written
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
            mapped = np.memmap(file, np.uint8, "r+", shape=(n_bytes,))
        return torch.from_numpy(mapped).view(dtype).reshape(shape)


def _find(model: nn.Module, images: Resident, moving: Collection[nn.Module]) -> Prefix:
    like = images.inputs(torch.tensor([0]))
    noise = torch.randn(3, *like.shape[1:], generator=torch.Generator().manual_seed(0)).to(like)
    if like.ndim == 4:
        noise = noise.to(memory_format=images.memory_format)
    cut, where = find_cut(model, noise, moving=moving)
    if cut is None:
        return Prefix(None, where)
    with counting_flops() as counter:
        cut.prefix(model, like)
    return Prefix(cut, where, float(counter.get_total_flops()))
