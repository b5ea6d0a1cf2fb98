"""The two axes of an encoding: which blocks are trained (mask), and how fast (rate).

A new mask or rate is one class here (or one file) and one line in `ENCODINGS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, FloatDistribution

Params = Mapping[str, Any]
SearchSpace = dict[str, BaseDistribution]


class Mask(Protocol):
    """Which blocks a trial trains."""

    def search_space(self, blocks: Sequence[str]) -> SearchSpace:
        """Parameters by name."""
        ...

    def gates(self, blocks: Sequence[str]) -> frozenset[str]:
        """The parameters that do nothing but decide what is trained."""
        ...

    def trained(self, params: Params, block: str) -> bool:
        """Whether a block is trained."""
        ...

    def encode(self, trained: Mapping[str, bool], rates: Params) -> dict[str, Any]:
        """Parameters for a mask, given those of the trained blocks' rates.

        Raises:
            ValueError: if there are none.
        """
        ...


class Rate(Protocol):
    """How fast a trained block learns."""

    def search_space(self, blocks: Sequence[str]) -> SearchSpace:
        """Parameters by name."""
        ...

    def genes(self, block: str) -> frozenset[str]:
        """The parameters that a block's rate depends on."""
        ...

    def multiplier(self, params: Params, block: str) -> float:
        """Multiplier of the recipe's learning rate, above 0."""
        ...

    def encode(self, multipliers: Mapping[str, float]) -> dict[str, Any]:
        """Parameters for the multipliers of the trained blocks; `nearest` says which ones."""
        ...

    def nearest(self, multiplier: float) -> float:
        """The nearest multiplier that can be expressed."""
        ...


class Threshold:
    """BioTune's mask (eq. 4): the blocks whose importance exceeds a threshold that is searched."""

    name = "imp/__threshold__"

    def search_space(self, blocks: Sequence[str]) -> SearchSpace:
        """The threshold, and the importance genes that it is compared with."""
        return {**_importances(blocks), self.name: FloatDistribution(0.0, 1.0)}

    def gates(self, blocks: Sequence[str]) -> frozenset[str]:
        """The threshold."""
        return frozenset({self.name})

    def trained(self, params: Params, block: str) -> bool:
        """S_b = 1 if nu_b > epsilon else 0; equality freezes."""
        return bool(params[f"imp/{block}"] > params[self.name])

    def encode(self, trained: Mapping[str, bool], rates: Params) -> dict[str, Any]:
        """A threshold at half the lowest trained importance, with the frozen blocks below it."""
        lowest = min((rates[f"imp/{b}"] for b, on in trained.items() if on), default=1.0)
        if not lowest > 0:
            raise ValueError("no threshold lies below an importance of 0")
        frozen = {f"imp/{block}": lowest / 4 for block, on in trained.items() if not on}
        return {**frozen, self.name: lowest / 2}


class Importance:
    """BioTune's rate (eq. 5): W_b = 10 ** (2 (nu_b - 0.5)), from 0.1 to 10."""

    def search_space(self, blocks: Sequence[str]) -> SearchSpace:
        """One importance gene a block."""
        return _importances(blocks)

    def genes(self, block: str) -> frozenset[str]:
        """The block's own."""
        return frozenset({f"imp/{block}"})

    def multiplier(self, params: Params, block: str) -> float:
        """W_b."""
        return float(10.0 ** (2.0 * (params[f"imp/{block}"] - 0.5)))

    def encode(self, multipliers: Mapping[str, float]) -> dict[str, Any]:
        """nu_b = 0.5 + log10(W_b) / 2."""
        return {f"imp/{b}": 0.5 + math.log10(value) / 2 for b, value in multipliers.items()}

    def nearest(self, multiplier: float) -> float:
        """Clipped to what a gene in (0, 1] gives."""
        return min(max(multiplier, 0.1 * (1 + 1e-6)), 10.0)


def _importances(blocks: Sequence[str]) -> SearchSpace:
    return {f"imp/{block}": FloatDistribution(0.0, 1.0) for block in blocks}
