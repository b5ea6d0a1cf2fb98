"""A rate that decays from the head to the first block."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from optuna.distributions import FloatDistribution

from optuna_layerwise.encodings.genes import Gene, Layout, Params
from optuna_layerwise.encodings.rates import check_range, clip, shared_rate


@dataclasses.dataclass(frozen=True)
class Decay:
    """Layer-wise decay (discriminative fine-tuning): each block learns slower than the next.

    Block b of n (b = 0, ..., n - 1; the head is the last) learns at lr decay^(n - 1 - b). Howard
    and Ruder (2018, https://arxiv.org/abs/1801.06146) take decay = 1 / 2.6.

    Args:
        low: Lowest learning rate of the head.
        high: Highest.
        least: Lowest decay; the highest is 1, one rate for all.
    """

    low: float = 1e-5
    high: float = 1e-1
    least: float = 0.3
    absolute: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range(self.low, self.high)
        if not 0 < self.least < 1:
            raise ValueError(f"least must be above 0 and below 1, got {self.least}")

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """``lr`` and ``decay``; a search begins where the first block has a tenth of the rate."""
        start = clip(10 ** (-1 / (len(layout.blocks) - 1)), self.least, 1.0)
        return {
            "lr": shared_rate(self.low, self.high, layout),
            "decay": Gene(FloatDistribution(self.least, 1.0), (start, 0.2)),
        }

    def names(self, block: str) -> frozenset[str]:
        """Both."""
        return frozenset({"lr", "decay"})

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """The rate of the block's depth."""
        return float(params["lr"] * params["decay"] ** _above(block, layout)) / layout.lr

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """The line of least squares on a log scale, of several the nearest to one rate for all."""
        rated = {block: value for block, value in multipliers.items() if value}
        low, high = math.log(self.low), math.log(self.high)
        flat = np.array([clip(math.log(layout.lr), low, high), 0.0])
        if not rated:
            return self._params(flat)
        from scipy.optimize import lsq_linear  # takes as long to import as optuna

        line = np.array([(1.0, _above(block, layout)) for block in rated])
        logs = np.log([value * layout.lr for value in rated.values()])
        ends = np.array([(low, high), (math.log(self.least), 0.0)]) - flat[:, None]
        solution = lsq_linear(
            line, logs - line @ flat, bounds=(ends[:, 0], ends[:, 1]), method="bvls", tol=1e-15
        )
        return self._params(flat + solution.x)

    def _params(self, x: npt.NDArray[np.float64]) -> dict[str, Any]:
        return {
            "lr": clip(math.exp(x[0]), self.low, self.high),
            "decay": clip(math.exp(x[1]), self.least, 1.0),
        }


def _above(block: str, layout: Layout) -> int:
    """Blocks between this one and the end."""
    return len(layout.blocks) - 1 - layout.blocks.index(block)
