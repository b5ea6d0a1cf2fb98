"""A rate that is a parabola over depth: three parameters for any number of blocks."""

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
class Profile:
    """Learning rates along a parabola on a log scale.

    The rate of block b of n (b = 0, ..., n - 1; the head is the last) is, with its relative
    depth t = b / (n - 1),

        log10 rate_b = log10 lr + slope (t - 1/2) + curvature (4 (t - 1/2)^2 - c),

    clipped to [low, high]. With c = (n + 1) / (3 (n - 1)) the last two terms have mean 0 over
    the blocks, and are orthogonal: ``lr`` is the geometric mean of the rates, ``slope`` the
    decades from the first block to the head (above 0: layer-wise decay), ``curvature`` the
    decades by which the ends exceed the middle. A search can thus change one of them without
    correcting another. Two decades of slope are a decay of 0.65 per layer over 12 layers, about
    the strongest in use.

    Args:
        low: Lowest learning rate of a block, and of ``lr``.
        high: Highest of both.
        slope: Searched in [-slope, slope].
        curvature: Searched in [-curvature, curvature].
    """

    low: float = 1e-5
    high: float = 1e-1
    slope: float = 2.0
    curvature: float = 1.0
    absolute: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range(self.low, self.high)
        for field in ("slope", "curvature"):
            if not 0 < getattr(self, field) < math.inf:
                raise ValueError(f"{field} must be finite and above 0: {getattr(self, field)}")

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """``lr``, ``slope`` and ``curvature``; a search begins at a flat profile.

        The standard deviations of the latter two are 0.6 and 0.3 decades by default: they move
        the first and last blocks by less than the start of ``lr`` moves all.
        """
        return {
            "lr": shared_rate(self.low, self.high, layout),
            "slope": Gene(FloatDistribution(-self.slope, self.slope), (0.0, 0.15)),
            "curvature": Gene(FloatDistribution(-self.curvature, self.curvature), (0.0, 0.15)),
        }

    def names(self, block: str) -> frozenset[str]:
        """All three."""
        return frozenset({"lr", "slope", "curvature"})

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """The block's point of the parabola."""
        _, line, parabola = _basis(block, layout)
        decades = params["slope"] * line + params["curvature"] * parabola
        return clip(float(params["lr"]) * 10.0**decades, self.low, self.high) / layout.lr

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """The parabola with the least squares on a log scale; of several, the flattest.

        A rate at ``low`` or ``high`` was perhaps clipped, so the parabola may lie beyond it by
        an excess e_b >= 0: one more unknown of a bounded linear problem.
        """
        flat = np.array([math.log10(clip(layout.lr, self.low, self.high)), 0.0, 0.0])
        if not multipliers:
            return self._params(flat)
        from scipy.optimize import lsq_linear  # takes as long to import as optuna

        low, high = math.log10(self.low), math.log10(self.high)
        basis = np.array([_basis(block, layout) for block in multipliers])
        wanted = np.array(
            [
                clip(math.log10(m * layout.lr), low, high) if m else low
                for m in multipliers.values()
            ]
        )
        side = np.select([wanted <= low + 1e-12, wanted >= high - 1e-12], [1.0, -1.0])
        excess = np.diag(side)[:, side != 0]
        ends = np.array([[low, high], *([-r, r] for r in (self.slope, self.curvature))])
        n = excess.shape[1]
        solution = lsq_linear(
            np.hstack([basis, excess]),
            wanted - basis @ flat,
            bounds=(
                np.concatenate([ends[:, 0] - flat, np.zeros(n)]),
                np.concatenate([ends[:, 1] - flat, np.full(n, np.inf)]),
            ),
            method="bvls",
            tol=1e-15,
            max_iter=100 * (n + 3),
        )
        return self._params(flat + solution.x[:3])

    def _params(self, x: npt.NDArray[np.float64]) -> dict[str, Any]:
        return {
            "lr": clip(10.0 ** float(x[0]), self.low, self.high),
            "slope": clip(float(x[1]), -self.slope, self.slope),
            "curvature": clip(float(x[2]), -self.curvature, self.curvature),
        }


def _basis(block: str, layout: Layout) -> tuple[float, float, float]:
    """What lr, slope and curvature are multiplied with, in decades."""
    n = len(layout.blocks)
    t = layout.blocks.index(block) / (n - 1)
    return 1.0, t - 0.5, 4 * (t - 0.5) ** 2 - (n + 1) / (3 * (n - 1))
