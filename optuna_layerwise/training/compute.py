"""How trainings are computed, as against what is trained: precision, layout, memory."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import nn

from optuna_layerwise.models import Blocks
from optuna_layerwise.models.freezing import module_blocks

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compute:
    """Settings that change speed and rounding, and nothing that an experiment is about.

    ``None`` is the device's default: on CUDA mixed precision (bf16 where the GPU has it, else
    fp16) in channels-last order, elsewhere fp32 in torch's order. ``benchmarks/training`` has
    the measurements.

    Args:
        precision: ``fp32``, or autocast to ``bf16`` or ``fp16`` (with scaled gradients).
        channels_last: Memory order of images and convolutions.
        compile: Compile each block by `torch.compile`: graphs for its few states (trained or not,
            gradient of its input or not, training or evaluation), not for each policy, and the
            same network serves all trials. Worth its minutes for long searches on a GPU.
        micro_batch: Most images that go through the network at once (a single one that is left
            joins them); larger batches accumulate gradients. ``None`` is the whole batch. Out of
            memory halves it.
        deterministic: Only deterministic kernels, on a GPU too, at some cost.
        prefix_memory: Bytes for the outputs of frozen prefixes on the training device, and as
            much in host memory beside a GPU; 0 stores none there. As much again in host memory
            for the pixels of augmented views, for each split and kind; see `Resident.view`.
        prefix_disk: Bytes for those that memory has no room for, in the user's cache directory.

    Raises:
        ValueError: if a value is out of its range; the message names the field.
    """

    precision: Precision | None = None
    channels_last: bool | None = None
    compile: bool = False
    micro_batch: int | None = None
    deterministic: bool = False
    prefix_memory: int = 512 * 2**20
    prefix_disk: int = 4 * 2**30

    def __post_init__(self) -> None:
        if self.precision not in (None, *get_args(Precision)):
            raise ValueError(
                f"precision must be one of {list(get_args(Precision))}, got {self.precision!r}"
            )
        for name in ("channels_last", "compile", "deterministic"):
            if not isinstance(value := getattr(self, name), bool) and not self._is_default(name):
                raise ValueError(f"{name} must be true or false, got {value!r}")
        for name, least in (("micro_batch", 1), ("prefix_memory", 0), ("prefix_disk", 0)):
            value = getattr(self, name)
            if not (type(value) is int and value >= least) and not self._is_default(name):
                raise ValueError(f"{name} must be a whole number, at least {least}, got {value!r}")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Compute:
        """From fields as JSON has them; an unknown one is an error that names it."""
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(content).difference(known)):
            raise ValueError(f"unknown compute settings {unknown}; there are {known}")
        return cls(**content)

    def on(self, device: torch.device) -> Compute:
        """With the device's defaults in the place of ``None``."""
        cuda = device.type == "cuda"
        mixed: Precision = "bf16" if cuda and torch.cuda.is_bf16_supported(False) else "fp16"
        return dataclasses.replace(
            self,
            precision=self.precision or (mixed if cuda else "fp32"),
            channels_last=cuda if self.channels_last is None else self.channels_last,
        )

    def _is_default(self, name: str) -> bool:
        return getattr(self, name) is getattr(type(self), name) is None

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which the network runs."""
        if self.precision not in _DTYPES:
            return nullcontext()
        # Torch before 2.12 would keep casts made without gradients, when a cut is looked for.
        return torch.autocast(device.type, _DTYPES[self.precision], cache_enabled=False)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scales the loss where small gradients would vanish in fp16; else does nothing."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")

    def prepared(self, model: nn.Module, blocks: Blocks, device: torch.device) -> nn.Module:
        """The model itself: on the device, in its memory order, compiled."""
        placed(model, device, self.memory_format)
        if self.compile:
            _allow_graphs(_STATES * sum(1 for _ in model.modules()))
            owners = module_blocks(model, blocks)
            for module in _outermost(
                model, {m for m, members in owners.items() if len(members) == 1}
            ):
                module.compile()
        return model


def placed(model: nn.Module, device: torch.device, memory_format: torch.memory_format) -> None:
    """Move a model, in place, and order its convolutions' weights."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=memory_format)


_STATES = 8
"""Trained or not, its input with a gradient or not, training or evaluation."""


def _allow_graphs(number: int) -> None:
    """Modules of one class share their code, and torch counts graphs by code."""
    config: Any = torch._dynamo.config
    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, max(number, getattr(config, name)))


def _outermost(module: nn.Module, chosen: set[nn.Module]) -> Iterator[nn.Module]:
    """The chosen modules that have parameters and are in no other chosen one."""
    if module in chosen:
        if next(module.parameters(), None) is not None:
            yield module
        return
    for child in module.children():
        yield from _outermost(child, chosen)


_wanting = 0
_before = (False, False, False)
_lock = threading.Lock()


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """While active, torch uses deterministic kernels only, and raises where there is none.

    A switch of the whole process: it is put back when the last thread that wants it leaves.
    """
    global _wanting, _before
    if not wanted:
        yield
        return
    with _lock:
        if _wanting == 0:
            _before = (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
                torch.backends.cudnn.benchmark,
            )
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read as cuBLAS starts
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
        _wanting += 1
    try:
        yield
    finally:
        with _lock:
            _wanting -= 1
            if _wanting == 0:
                torch.use_deterministic_algorithms(_before[0], warn_only=_before[1])
                torch.backends.cudnn.benchmark = _before[2]


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's or the host's memory did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)


_NO_MEMORY = (
    "allocate memory",  # torch's allocator on the CPU, and the system's own words
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "could not create a primitive",  # oneDNN, where it cannot even hold its own code
)
