"""Examples that stay in memory and become a network's input batch by batch.

Decoding dominates a small fine-tuning: a JPEG costs about 4 ms, a slice of decoded bytes with
its normalisation 0.25 ms. So images are decoded once, kept as uint8, and normalised per batch on
the device that trains.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from optuna_layerwise.data import Examples, Images
from optuna_layerwise.training.augmentation import augmented

_BATCHES_SORTED = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Resident:
    """A split whose values are on the device, or (``values`` is ``None``) stay in host memory."""

    images: Examples
    values: torch.Tensor | None
    labels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    memory_format: torch.memory_format = torch.contiguous_format
    _chunks: dict[int, list[Resident]] = dataclasses.field(default_factory=dict, init=False)
    _views: dict[tuple[str, int], View] = dataclasses.field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.labels)

    def inputs(self, rows: torch.Tensor) -> torch.Tensor:
        """What the network gets for some rows, on the device.

        Of images it is ``(x / 255 - mean) / std``, float32 [n, 3, H, W]; of other examples it is
        what they have.
        """
        values = self._values_of(rows)
        if not isinstance(self.images, Images):
            return values
        planes = values.permute(0, 3, 1, 2).to(torch.float32, memory_format=self.memory_format)
        return planes.div_(255).sub_(self.mean).div_(self.std)

    def _values_of(self, rows: torch.Tensor) -> torch.Tensor:
        """Numbers [n, ...] on the device; of images, pixels uint8 [n, H, W, 3]."""
        there = rows.to(self.labels.device)
        if self.values is None:
            return torch.from_numpy(self.images.batch(rows.numpy())).to(there.device)
        return self.values[there]

    def labels_of(self, rows: torch.Tensor) -> torch.Tensor:
        """Class indices, int64 [n], on the device."""
        return self.labels[rows.to(self.labels.device)]

    def chunks(self, size: int) -> list[Resident]:
        """The split in pieces of ``size`` images, in order; the same objects each time."""
        if size not in self._chunks:
            self._chunks[size] = [
                dataclasses.replace(
                    self,
                    images=self.images.subset(rows := slice(start, start + size)),
                    values=None if self.values is None else self.values[rows],
                    labels=self.labels[rows],
                )
                for start in range(0, len(self), size)
            ]
        return self._chunks[size]

    def view(self, augment: str, number: int, *, memory: int) -> View:
        """An augmented view of the split; the same object each time.

        Args:
            augment: A name in `AUGMENTATIONS`.
            number: Of the view, from 0.
            memory: Bytes for the pixels of all views of this kind. The first ones that fit are
                kept once they are made, and the others are made again in each epoch.
        """
        if (augment, number) not in self._views:
            shape = (len(self), *self.images.inputs.shape[1:])
            fits = (number + 1) * math.prod(shape) <= memory
            made = View(
                *(self.images, None, self.labels, self.mean, self.std, self.memory_format),
                augment=augment,
                number=number,
                kept=torch.empty(shape, dtype=torch.uint8) if fits else None,
                known=torch.zeros(len(self), dtype=torch.bool),
            )
            self._views.setdefault((augment, number), made)  # of two threads', the first one's
        return self._views[augment, number]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class View(Resident):
    """One augmented view of a split; each image's is made when a batch first asks for it.

    Args:
        augment: A name in `AUGMENTATIONS`.
        number: Of the view, from 0.
        kept: uint8 [N, H, W, 3] in host memory; ``None`` keeps nothing.
        known: bool [N], the images whose pixels are kept.
    """

    augment: str
    number: int
    kept: torch.Tensor | None
    known: torch.Tensor

    def _values_of(self, rows: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 [n, H, W, 3] of the view, on the device."""
        if self.kept is None:
            return self._made(rows).to(self.labels.device)
        missing = rows[~self.known[rows]]
        if len(missing):
            self.kept[missing] = self._made(missing)
            self.known[missing] = True
        return self.kept[rows].to(self.labels.device)

    def _made(self, rows: torch.Tensor) -> torch.Tensor:
        pixels = torch.from_numpy(self.images.batch(rows.numpy()))
        return torch.stack(
            [
                augmented(each, self.augment, image=image, view=self.number)
                for each, image in zip(pixels, rows.tolist(), strict=True)
            ]
        )


def reside(
    images: Examples,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    memory_format: torch.memory_format = torch.contiguous_format,
    budget: int | None = None,
) -> Resident:
    """Copy ``images`` to a CUDA device if they fit ``budget``, else slice them in host memory.

    Args:
        images: The split.
        mean: Per channel, of pixels in [0, 1].
        std: Per channel, of pixels in [0, 1].
        device: Where batches are wanted.
        memory_format: Of the batches.
        budget: Most bytes to hold on the device; default a quarter of what is free there.
    """
    values = None
    if device.type == "cuda":
        if budget is None:
            budget = torch.cuda.mem_get_info(device)[0] // 4
        if math.prod(images.inputs.shape) * images.inputs.dtype.itemsize <= budget:
            values = torch.from_numpy(images.batch()).to(device)
    return Resident(
        images=images,
        values=values,
        labels=torch.from_numpy(images.labels.copy()).to(device),
        mean=_per_channel("mean", mean, device),
        std=_per_channel("std", std, device),
        memory_format=memory_format,
    )


def split_batches(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Cut ``order`` into batches of ``size``; a last batch of a single image joins the one before.

    BatchNorm in train mode cannot take one image. No image is dropped, so the last batch holds
    between 2 and ``size + 1`` images (a size of 1 is taken at its word).
    """
    batches = list(torch.split(order, size))
    if len(batches) > 1 and len(batches[-1]) == 1 < size:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def batches_of(
    order: torch.Tensor,
    size: int,
    lengths: NDArray[np.int64] | None,
    generator: torch.Generator,
) -> list[torch.Tensor]:
    """The batches of an epoch.

    Inputs that are filled up to one length share a batch with others of about their length: each
    `_BATCHES_SORTED` batches are sorted by it, and then all batches are shuffled. A network that
    leaves the filling out of its pass has less to do.

    Args:
        order: A random order of all examples.
        size: Examples in a batch; see `split_batches`.
        lengths: Of the inputs, before they were filled up; ``None`` if they were not.
        generator: Shuffles the batches.
    """
    if lengths is None:
        return split_batches(order, size)
    known = torch.from_numpy(lengths)
    pools = torch.split(order, _BATCHES_SORTED * size)
    batches = split_batches(torch.cat([p[known[p].argsort(stable=True)] for p in pools]), size)
    return [batches[place] for place in torch.randperm(len(batches), generator=generator)]


def _per_channel(name: str, values: Sequence[float], device: torch.device) -> torch.Tensor:
    if len(values) != 3 or (name == "std" and not min(values) > 0):
        above = " above 0" if name == "std" else ""
        raise ValueError(f"{name} must be three numbers{above}, one per channel, got {values}")
    return torch.tensor(values, dtype=torch.float32, device=device).reshape(1, 3, 1, 1)
