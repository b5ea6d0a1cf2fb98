"""Masks: which blocks of a model are trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, ClassVar

from optuna.distributions import CategoricalDistribution, FloatDistribution

from optuna_layerwise.encodings.genes import Gene, Layout, Params, p_frozen
from optuna_layerwise.encodings.rates import importances

_LEAST = 1e-13  # an importance that a threshold lies below; changes the multiplier by 5e-13


@dataclasses.dataclass(frozen=True)
class All:
    """All blocks."""

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """None."""
        return {}

    def trained(self, params: Params, block: str) -> bool:
        """Always."""
        return True

    def encode(self, trained: Mapping[str, bool], rates: Params) -> dict[str, Any]:
        """Nothing to choose."""
        return {}


@dataclasses.dataclass(frozen=True)
class Only:
    """Blocks that are chosen in advance, beside those that are always trained."""

    blocks: tuple[str, ...] = ()

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """None."""
        return {}

    def trained(self, params: Params, block: str) -> bool:
        """Whether it is one of them."""
        return block in self.blocks

    def encode(self, trained: Mapping[str, bool], rates: Params) -> dict[str, Any]:
        """Nothing to choose."""
        return {}


@dataclasses.dataclass(frozen=True)
class Bits:
    """One bit a block, as in REVO-Tune's binary variant (eq. 1)."""

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """One category a block."""
        frozen = p_frozen(len(layout.optional))
        bit = Gene(CategoricalDistribution([False, True]), (frozen, 1 - frozen))
        return {f"train/{block}": bit for block in layout.optional}

    def trained(self, params: Params, block: str) -> bool:
        """The bit."""
        return bool(params[f"train/{block}"])

    def encode(self, trained: Mapping[str, bool], rates: Params) -> dict[str, Any]:
        """The bits."""
        return {f"train/{block}": on for block, on in trained.items()}


@dataclasses.dataclass(frozen=True)
class Threshold:
    """BioTune's mask (eq. 4): the blocks whose importance exceeds a threshold that is searched."""

    name: ClassVar[str] = "imp/__threshold__"

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """The threshold, and the importance genes that it is compared with.

        With importances ~ N(m, s^2) and a threshold ~ N(t, s'^2), a block is frozen with
        probability p for t = m + z sqrt(s^2 + s'^2), Phi(z) = p; p is `p_frozen`.
        """
        genes = importances(layout.blocks)
        mean, std = genes[f"imp/{layout.blocks[0]}"].start
        z = NormalDist().inv_cdf(p_frozen(len(layout.optional)))
        start = mean + z * math.hypot(std, std / 2)
        return {
            **{name: genes[name] for name in (f"imp/{block}" for block in layout.optional)},
            self.name: Gene(FloatDistribution(0.0, 1.0), (start, std / 2)),
        }

    def trained(self, params: Params, block: str) -> bool:
        """S_b = 1 if nu_b > epsilon else 0; equality freezes."""
        return bool(params[f"imp/{block}"] > params[self.name])

    def encode(self, trained: Mapping[str, bool], rates: Params) -> dict[str, Any]:
        """Half the lowest trained importance; frozen blocks get a quarter of it."""
        names = [f"imp/{block}" for block, on in trained.items() if on]
        genes = {name: max(float(rates.get(name, 1.0)), _LEAST) for name in names}
        lowest = min(genes.values(), default=1.0)
        frozen = {f"imp/{block}": lowest / 4 for block, on in trained.items() if not on}
        return {**genes, **frozen, self.name: lowest / 2}
