"""What trainings cost."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Literal

Unit = Literal["seconds", "flops", "trainings"]
_UNITS: dict[str, tuple[Unit, float]] = {
    "s": ("seconds", 1),
    "m": ("seconds", 60),
    "h": ("seconds", 3600),
    "flops": ("flops", 1),
    "trainings": ("trainings", 1),
}


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one training, or of several together.

    Args:
        images_seen: Training images that went forward and backward.
        flops: Floating-point operations of training and validation; see `training_flops`. What
            stored outputs of a frozen prefix have saved is not in them.
        flops_of_all: The operations that the same images would have cost with every block trained.
        seconds: Wall time, validation included; of a continued training without what was lost.
        phases: Seconds of ``data``, ``forward``, ``backward``, ``optimizer``, ``evaluation``.
        peak_memory_bytes: Most that tensors held on a CUDA device; ``None`` elsewhere, where
            torch does not count it.
    """

    images_seen: int = 0
    flops: float = 0.0
    flops_of_all: float = 0.0
    seconds: float = 0.0
    phases: dict[str, float] = dataclasses.field(default_factory=dict)
    peak_memory_bytes: int | None = None

    def __add__(self, other: Cost) -> Cost:
        peaks = [p for p in (self.peak_memory_bytes, other.peak_memory_bytes) if p is not None]
        return Cost(
            self.images_seen + other.images_seen,
            self.flops + other.flops,
            self.flops_of_all + other.flops_of_all,
            self.seconds + other.seconds,
            added(self.phases, other.phases),
            max(peaks, default=None),
        )


@dataclasses.dataclass(frozen=True)
class Budget:
    """A limit for what all trainings of a study cost together.

    Args:
        amount: Above 0.
        unit: ``seconds`` of all workers' trainings added together, as in `Cost`; ``flops``, as in
            `Cost`; or ``trainings``, of one seed each.
    """

    amount: float
    unit: Unit

    @classmethod
    def parsed(cls, text: str) -> Budget:
        """From a number with its unit: s, m (minutes), h, flops or trainings.

        Raises:
            ValueError: for anything else.

        Examples:
            >>> Budget.parsed("1.5h"), Budget.parsed("60trainings")
            (Budget(amount=5400.0, unit='seconds'), Budget(amount=60.0, unit='trainings'))
        """
        found = re.fullmatch(r"(\d+\.?\d*(?:e\+?\d{1,3})?) ?([a-z]+)", str(text), re.ASCII)
        amount = float(found[1]) if found and found[2] in _UNITS else 0.0
        if not found or not 0 < amount < math.inf:
            raise ValueError(
                f"--budget must be a number above 0 with one of {', '.join(_UNITS)}, such as 30m, "
                f"1e13flops or 60trainings, got {str(text)[:40]!r}"
            )
        unit, times = _UNITS[found[2]]
        return cls(amount * times, unit)

    def spent(self, cost: Cost, trainings: int) -> float:
        """How much of the budget some trainings have used, in its unit."""
        return {"seconds": cost.seconds, "flops": cost.flops, "trainings": trainings}[self.unit]

    def words(self, amount: float | None = None) -> str:
        """An amount in its unit, for people; all of it by default."""
        amount = self.amount if amount is None else amount
        if self.unit == "trainings":
            return f"{amount:.0f} trainings"
        if self.unit == "flops":
            return f"{amount:.3g} operations"
        return f"{amount:.3g} seconds" if amount < 120 else f"{amount / 60:.3g} minutes"


def added(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Sums by name."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}


def training_flops(flops: Mapping[str, float], policy: Mapping[str, float]) -> float:
    """Operations to train on one image: forward, and backward as far as the policy needs it.

    A block's forward pass, the gradient of its weights and that of its input cost the same.
    Weight gradients are those of trained blocks, input gradients those of all blocks behind the
    lowest trained one; within that, between its own layers, they are left out (2 to 11 % of what
    a training computes).
    """
    order = list(flops)
    lowest = min((order.index(block) for block in order if policy[block] > 0), default=len(order))
    weights = sum(flops[block] for block in order if policy[block] > 0)
    inputs = sum(flops[block] for block in order[lowest + 1 :])
    return sum(flops.values()) + weights + inputs
