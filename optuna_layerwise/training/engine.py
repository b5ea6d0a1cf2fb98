"""What the trainings of one network on one device share, so that each pays only for its own."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import nn

from optuna_layerwise.data import Examples
from optuna_layerwise.models import head_layers
from optuna_layerwise.models.flops import block_flops
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.tasks import task_of
from optuna_layerwise.training.compute import Compute, placed, ran_out_of_memory
from optuna_layerwise.training.devices import resolve_device
from optuna_layerwise.training.evaluation import EVALUATION_BATCH, eval_mode, evaluate, outputs
from optuna_layerwise.training.fitted_head import Linear, fit_heads
from optuna_layerwise.training.forward import Forward
from optuna_layerwise.training.prefixes import PrefixStore
from optuna_layerwise.training.resident import Resident, reside
from optuna_layerwise.training.stopwatch import Stopwatch

Result = TypeVar("Result")


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
        self.micro_batch: int | None = self.compute.micro_batch
        self.evaluation_batch: int = EVALUATION_BATCH
        self._residents: dict[int, Resident] = {}
        self._heads: dict[Resident, dict[str, Linear]] = {}
        self._lock = threading.Lock()

    def resident(self, images: Examples) -> Resident:
        """A split in its place; brought there once, and kept."""
        with self._lock:
            if id(images) not in self._residents:  # they hold the images, so the id stays theirs
                self._residents[id(images)] = self._reside(images)
            return self._residents[id(images)]

    def evaluate(self, model: nn.Module, images: Examples) -> dict[str, float]:
        """All metrics of a model, which is moved to the device, on images that are not kept."""
        outputs = self.outputs(model, images)
        return task_of(images).measure(outputs, images.labels, images.classes)

    def outputs(self, model: nn.Module, images: Examples) -> torch.Tensor:
        """Its logits instead, float32 [n, classes]."""
        placed(model, self.device, self.compute.memory_format)
        forward = Forward(model, self.device, self.compute, Stopwatch(self.device))
        resident = self._reside(images)
        return self._again_where_memory_runs_out(lambda size: outputs(forward, resident, size))

    def flops(
        self, model: nn.Module, blocks: Mapping[str, Sequence[str]], images: Resident
    ) -> dict[str, float]:
        """Operations of one of these images in each block."""
        with eval_mode(model):
            return block_flops(model, blocks, images.inputs(torch.tensor([0])))

    def fit_head(
        self,
        model: nn.Module,
        blocks: Mapping[str, Sequence[str]],
        images: Resident,
        watch: Stopwatch,
        *,
        shared: bool,
    ) -> bool:
        """Give the head the weights of `fit_linear`; a head that is not linear stays, and warns.

        Args:
            model: The network, on the device, before its training.
            blocks: Its parameters by block.
            images: The training images.
            watch: Counts the phase ``head``.
            shared: Whether all trainings that share heads start from the same weights, so that
                one computation for these images serves them all.

        Returns:
            Whether the images went through the network for it.
        """
        fitted = self._heads.get(images) if shared else None
        if is_new := fitted is None:
            with watch.phase("head"):
                fitted = self._again_where_memory_runs_out(
                    lambda size: fit_heads(
                        Forward(model, self.device, self.compute, watch),
                        head_layers(model, blocks),
                        images,
                        size,
                    )
                )
            if shared:
                self._heads[images] = fitted
        for path, (weight, bias) in fitted.items():
            layer = model.get_submodule(path)
            layer.load_state_dict({"weight": weight, "bias": bias})
        return is_new

    def validate(self, forward: Forward, images: Resident) -> dict[str, float]:
        """All metrics on a split; where memory runs out, again in smaller batches."""
        return self._again_where_memory_runs_out(lambda size: evaluate(forward, images, size))

    def largest(self, recipe: Recipe) -> int:
        """Most images of a training that go through the network at once."""
        return min(self.micro_batch or recipe.batch_size, recipe.batch_size)

    def shrink(self, recipe: Recipe) -> None:
        """After memory ran out: free what can be freed, and halve what goes through at once."""
        self._free()
        self.micro_batch = -(-self.largest(recipe) // 2)
        warnings.warn(
            f"out of memory on {self.device}: batches of {recipe.batch_size} go on in parts of at "
            f"most {self.micro_batch}, which norms in train mode then see",
            stacklevel=2,
        )

    def unshrink(self) -> None:
        """Take all halving back."""
        self.micro_batch = self.compute.micro_batch

    def _again_where_memory_runs_out(self, run: Callable[[int], Result]) -> Result:
        """Call it with the number of images that may pass at once, until that is small enough."""
        while True:
            try:
                return run(self.evaluation_batch)
            except Exception as error:
                if not ran_out_of_memory(error) or self.evaluation_batch == 1:
                    raise
            self._free()
            self.evaluation_batch = -(-self.evaluation_batch // 2)

    def _free(self) -> None:
        self.store.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _reside(self, images: Examples) -> Resident:
        return reside(
            images,
            mean=self.mean,
            std=self.std,
            device=self.device,
            memory_format=self.compute.memory_format,
        )
