"""All that the steps of a fit change, so that it can go on from between any two of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from optuna_layerwise.cost import Cost, added
from optuna_layerwise.training.checkpoint import differences
from optuna_layerwise.training.contents import same
from optuna_layerwise.training.devices import generator_states, set_generator_states
from optuna_layerwise.training.stopwatch import Stopwatch


@dataclasses.dataclass(kw_only=True)
class FitState:
    """Where a fit stands.

    Args:
        device: Whose global generator dropout draws from, beside the CPU's.
        started: `time.perf_counter` at the start; of a continued fit that much before now.
        watch: Counts the seconds of its phases.
        plan: What is trained, and how, as plain data; compared on restoring, changed by nothing.
        model: In train mode but for what is held in eval mode.
        names: Of the model's tensors that training changes, sooner or later.
        parts: What else has a ``state_dict``; among them ``optimizer`` and ``schedule``.
        total_loss: Sum over the images of the epoch so far.
        order: State at the epoch's start of the generator that shuffles the images.
        step: So many steps of the epoch are finished.
        images_seen: In all epochs.
        flops: As `Cost` has them.
        flops_of_all: As `Cost` has them.
        past_phases: Seconds of the phases before the fit was continued.
        history: Of the finished epochs.
        start: Validation metrics before the first step, where they are wanted.
        best_epoch: From 0, or `START`.
    """

    device: torch.device
    started: float
    watch: Stopwatch
    plan: dict[str, Any]
    model: nn.Module
    names: Collection[str]
    parts: dict[str, Any]
    total_loss: torch.Tensor
    order: torch.Tensor
    step: int = 0
    images_seen: int = 0
    flops: float = 0.0
    flops_of_all: float = 0.0
    past_phases: dict[str, float] = dataclasses.field(default_factory=dict)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    start: dict[str, float] = dataclasses.field(default_factory=dict)
    best_epoch: int | None = None

    def __post_init__(self) -> None:
        self.best = {name: tensor.detach().clone() for name, tensor in self.changing.items()}
        """Copies of what changes as it was at the best epoch, or at the start."""

    @property
    def changing(self) -> dict[str, torch.Tensor]:
        """The model's own tensors that training changes; modules may replace their buffers."""
        model = self.model
        own: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
        own |= model.named_buffers(remove_duplicate=False)
        return {name: own[name] for name in self.names}

    @property
    def epoch(self) -> int:
        """The one that is being trained, from 0; so many are finished."""
        return len(self.history)

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self.started

    @property
    def cost(self) -> Cost:
        """So far."""
        peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
        phases = added(self.past_phases, self.watch.seconds)
        return Cost(self.images_seen, self.flops, self.flops_of_all, self.seconds, phases, peak)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes, as plain data and tensors; these are not copied."""
        return {
            **{name: getattr(self, name) for name in (*_TENSORS, *_PLAIN)},
            "seconds": self.seconds,
            "past_phases": self.cost.phases,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "generators": generator_states(self.device),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, in this process or another.

        Raises:
            ValueError: if it is of another fit, or not whole; then nothing has changed.
        """
        self._verify(saved)
        for name, part in self.parts.items():
            part.load_state_dict(saved["parts"][name])
        copy_tensors(saved["changing"], self.changing)
        copy_tensors(saved["best"], self.best)
        set_generator_states(saved["generators"], self.device)
        self.total_loss.copy_(saved["total_loss"])
        self.order = saved["order"]
        for name in _PLAIN:
            setattr(self, name, saved[name])
        self.started = time.perf_counter() - saved["seconds"]

    def _verify(self, saved: Mapping[str, Any]) -> None:
        own = self.state_dict()
        if missing := sorted(own.keys() - saved.keys()):
            raise ValueError(f"it lacks {', '.join(missing)}")
        if different := differences(saved["plan"], self.plan):
            raise ValueError(f"it is of another fit: {different}")
        for name in ("changing", "best"):
            if different := differences(_shapes(saved[name]), _shapes(own[name])):
                raise ValueError(f"its tensors are of another network: {different}")
        for name in ("parts", "generators"):
            if saved[name].keys() != own[name].keys():
                raise ValueError(f"expected {name} {list(own[name])}, got {list(saved[name])}")
        rates = [group["lr"] for group in saved["parts"]["optimizer"]["param_groups"]]
        if not same(rates, saved["parts"]["schedule"]["_last_lr"]):
            raise ValueError(f"its learning rates {rates} are not those of its schedule")


_TENSORS = ("changing", "best", "total_loss", "order")
_COSTS = ("images_seen", "flops", "flops_of_all", "past_phases")
_PLAIN = ("plan", "step", *_COSTS, "history", "start", "best_epoch")


def changing_names(model: nn.Module) -> list[str]:
    """Names of what training can change: trained parameters, buffers of modules in train mode."""
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for path, module in model.named_modules():
        if module.training:
            names += [name for name, _ in module.named_buffers(path, recurse=False)]
    return names


def training_plan(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimizer trains, at which rates, and which modules are held in eval mode.

    Of a model in train mode, before the first step.
    """
    return {
        "trained parameters": [n for n, p in model.named_parameters() if p.requires_grad],
        "modules in eval mode": [n for n, module in model.named_modules() if not module.training],
        "groups": [
            {name: value for name, value in group.items() if name not in ("params", "lr")}
            for group in optimizer.param_groups
        ],
    }


@torch.no_grad()
def copy_tensors(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
    """Copy the values of each tensor to the one of its name."""
    for name, tensor in target.items():
        tensor.copy_(source[name])


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    return {name: f"{t.dtype} {tuple(t.shape)}" for name, t in tensors.items()}
