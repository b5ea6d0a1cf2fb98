"""Rates: how fast the trained blocks of a model learn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from optuna.distributions import CategoricalDistribution, FloatDistribution

from optuna_layerwise.encodings.genes import Gene, Layout, Params, p_frozen

DECADES = 0.5
"""Standard deviation of a rate that all blocks share, where a search begins (REVO-Tune)."""


def spread(n: int) -> float:
    """Standard deviation of each of ``n`` rates where a search begins, as a share of its range.

    In simulated searches of 100 trials 0.2 was best for 6 rates and 1/12 for 20 and 54. Between
    them a draw keeps the distance from the mean that it has for 6: std sqrt(n) = 0.2 sqrt(6).
    """
    return min(0.2, max(1 / 12, 0.2 * math.sqrt(6 / n)))


@dataclasses.dataclass(frozen=True)
class Fixed:
    """One multiplier for all blocks, which is not searched."""

    value: float = 1.0
    absolute: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"the fixed multiplier must be finite and above 0, got {self.value}")

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """None."""
        return {}

    def names(self, block: str) -> frozenset[str]:
        """None."""
        return frozenset()

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """The value."""
        return self.value

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """Nothing to choose."""
        return {}


@dataclasses.dataclass(frozen=True)
class Global:
    """One searched learning rate for all trained blocks (REVO-Tune's joint rate)."""

    low: float = 1e-5
    high: float = 1e-1
    absolute: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range(self.low, self.high)

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """``lr``, log-uniform."""
        return {"lr": shared_rate(self.low, self.high, layout)}

    def names(self, block: str) -> frozenset[str]:
        """``lr``."""
        return frozenset({"lr"})

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """The rate, the same for each block."""
        return float(params["lr"]) / layout.lr

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """The geometric mean, which is nearest on a log scale."""
        logs = [math.log(value * layout.lr) for value in multipliers.values() if value]
        if not logs:
            logs = [math.log(self.low if multipliers else layout.lr)]
        return {"lr": clip(math.exp(math.fsum(logs) / len(logs)), self.low, self.high)}


@dataclasses.dataclass(frozen=True)
class Importance:
    """BioTune's rate (eq. 5): W_b = 10 ** (2 (nu_b - 0.5)), from 0.1 to 10."""

    absolute: ClassVar[bool] = False

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """One importance a block."""
        return importances(layout.blocks)

    def names(self, block: str) -> frozenset[str]:
        """The block's own."""
        return frozenset({f"imp/{block}"})

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """W_b."""
        return float(10.0 ** (2.0 * (params[f"imp/{block}"] - 0.5)))

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """nu_b = 0.5 + log10(W_b) / 2, in [0, 1]."""
        wanted = {block: multipliers.get(block, 1.0) for block in layout.blocks}
        return {
            f"imp/{block}": clip(0.5 + math.log10(value) / 2, 0.0, 1.0) if value else 0.0
            for block, value in wanted.items()
        }


@dataclasses.dataclass(frozen=True)
class PerBlock:
    """A learning rate for each block, on a log scale (REVO-Tune's continuous variant)."""

    low: float = 1e-5
    high: float = 1e-1
    absolute: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range(self.low, self.high)

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """``lr/<block>``; a search begins at the recipe's own rate."""
        start = (clip(layout.lr, self.low, self.high), spread(len(layout.blocks)))
        gene = Gene(FloatDistribution(self.low, self.high, log=True), start)
        return {f"lr/{block}": gene for block in layout.blocks}

    def names(self, block: str) -> frozenset[str]:
        """The block's own."""
        return frozenset({f"lr/{block}"})

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """The block's rate."""
        return float(params[f"lr/{block}"]) / layout.lr

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """The rates, clipped to what is searched."""
        wanted = {block: multipliers.get(block, 1.0) for block in layout.blocks}
        return {
            f"lr/{block}": clip(value * layout.lr, self.low, self.high)
            for block, value in wanted.items()
        }


@dataclasses.dataclass(frozen=True)
class Linear:
    """A rate for each block, on a linear scale from 0, which freezes (REVO-Tune, eq. 2).

    Args:
        high: The highest.
        absolute: Search learning rates, as eq. 2 literally says, instead of multipliers.
        least: The lowest of a block that is always trained.
    """

    high: float = 1.0
    absolute: bool = False
    least: float = 1e-4

    def __post_init__(self) -> None:
        check_range(self.least, self.high)

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """``lr/<block>``; a search begins at the centre, as REVO-Tune's and cmaes' do."""
        return {
            f"lr/{block}": Gene(
                FloatDistribution(self._low(block, layout), self.high), (self.high / 2, 1 / 12)
            )
            for block in layout.blocks
        }

    def names(self, block: str) -> frozenset[str]:
        """The block's own."""
        return frozenset({f"lr/{block}"})

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """The gene, or the learning rate that it is."""
        return float(params[f"lr/{block}"]) / self._unit(layout)

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """The genes, clipped to what is searched."""
        unit = self._unit(layout)
        wanted = {b: multipliers.get(b, self.high / 2 / unit) * unit for b in layout.blocks}
        return {f"lr/{b}": clip(v, self._low(b, layout), self.high) for b, v in wanted.items()}

    def _unit(self, layout: Layout) -> float:
        return layout.lr if self.absolute else 1.0

    def _low(self, block: str, layout: Layout) -> float:
        return self.least if block in layout.always else 0.0


@dataclasses.dataclass(frozen=True)
class FromSet:
    """A learning rate for each block from a finite set, where 0 freezes (P-Transfer, Shen 2021).

    Args:
        choices: Learning rates; these suit Adam, the paper's {0, 0.01, 0.1, 1} SGD.
    """

    choices: tuple[float, ...] = (0.0, 1e-4, 1e-3, 1e-2)
    absolute: ClassVar[bool] = True

    def __post_init__(self) -> None:
        fine = all(math.isfinite(rate) and rate >= 0 for rate in self.choices)
        if not fine or len(set(self.choices)) < len(self.choices) or not any(self.choices):
            raise ValueError(
                "choices must be different learning rates, finite, at least 0 and not all 0, "
                f"got {self.choices}"
            )

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """``lr_set/<block>``; 0 is no choice for a block that is always trained.

        A search begins with 0 as likely as a mask freezes, and all other rates alike: nothing
        is known about which of them suits a block.
        """
        genes = {}
        for block in layout.blocks:
            choices = self._choices(block, layout)
            zero = p_frozen(len(layout.optional)) if 0 in choices and len(choices) > 1 else 0.0
            other = (1 - zero) / sum(rate > 0 for rate in choices)
            start = tuple(other if rate else zero for rate in choices)
            genes[f"lr_set/{block}"] = Gene(CategoricalDistribution(choices), start)
        return genes

    def names(self, block: str) -> frozenset[str]:
        """The block's own."""
        return frozenset({f"lr_set/{block}"})

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """The chosen rate."""
        return float(params[f"lr_set/{block}"]) / layout.lr

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """The nearest choices on a log scale; a trained block stays trained."""
        wanted = {block: multipliers.get(block, 1.0) * layout.lr for block in layout.blocks}
        return {f"lr_set/{b}": self._nearest(rate, b, layout) for b, rate in wanted.items()}

    def _choices(self, block: str, layout: Layout) -> tuple[float, ...]:
        return tuple(rate for rate in self.choices if rate > 0 or block not in layout.always)

    def _nearest(self, rate: float, block: str, layout: Layout) -> float:
        choices = self._choices(block, layout)
        if rate == 0:
            return min(choices)
        positive = [choice for choice in choices if choice > 0]
        return min(positive, key=lambda choice: abs(math.log(choice / rate)))


def importances(blocks: Sequence[str]) -> dict[str, Gene]:
    """BioTune's genes ``imp/<block>``; 0.5 is the recipe's own rate."""
    gene = Gene(FloatDistribution(0.0, 1.0), (0.5, spread(len(blocks))))
    return {f"imp/{block}": gene for block in blocks}


def shared_rate(low: float, high: float, layout: Layout) -> Gene:
    """The gene of a rate that all blocks share."""
    start = (clip(layout.lr, low, high), DECADES / math.log10(high / low))
    return Gene(FloatDistribution(low, high, log=True), start)


def clip(value: float, low: float, high: float) -> float:
    """The nearest value in [low, high]."""
    return min(max(value, low), high)


def check_range(low: float, high: float) -> None:
    """Refuse rates that are not positive, or an empty range."""
    if not (0 < low < high < math.inf):
        raise ValueError(f"expected 0 < low < high, both finite, got {low} and {high}")
