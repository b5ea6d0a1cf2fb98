"""What an encoding is made of: genes, and the two axes that use them, mask and rate.

A mask or rate of one's own is a class with the methods of `Mask` or `Rate`:
``Encoding(blocks, OwnMask(), PerBlock())``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from optuna.distributions import BaseDistribution

Params = Mapping[str, Any]
SearchSpace = dict[str, BaseDistribution]


def p_frozen(n: int) -> float:
    """Chance that each of ``n`` blocks is frozen where a search begins: three of them on average.

    Between 0.2 and 0.5: after 20 trials on tables of real trainings (`docs/layerbench.md`, 6
    blocks) 0.5 is better than 0.2, and on synthetic masks of 18 and 54 blocks 0.2 is better.

    Examples:
        >>> p_frozen(6), p_frozen(10), p_frozen(54)
        (0.5, 0.3, 0.2)
    """
    return min(0.5, max(0.2, 3 / max(n, 1)))


@dataclasses.dataclass(frozen=True)
class Gene:
    """A searched parameter.

    Args:
        distribution: Its values.
        start: Where a sampler that has a mean begins. Of a number: value, and standard
            deviation as a share of the range, both on the searched scale (log where it is log).
            Of a category: the probability of each choice.
    """

    distribution: BaseDistribution
    start: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """What masks and rates know about the model and its recipe.

    Args:
        blocks: Names in forward order; the last is the head.
        always: Blocks that are trained whatever the mask says.
        lr: The recipe's learning rate, which policies hold multipliers of.
    """

    blocks: tuple[str, ...]
    always: frozenset[str]
    lr: float

    @property
    def optional(self) -> tuple[str, ...]:
        """The blocks that the mask decides about."""
        return tuple(block for block in self.blocks if block not in self.always)


class Mask(Protocol):
    """Which blocks a trial trains."""

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """Parameters by name; those that are not also the rate's are gates."""
        ...

    def trained(self, params: Params, block: str) -> bool:
        """Whether an optional block is trained."""
        ...

    def encode(self, trained: Mapping[str, bool], rates: Params) -> dict[str, Any]:
        """Parameters that come nearest to training these of the optional blocks.

        ``rates`` are the rate's parameters; what is returned takes precedence over them.
        """
        ...


class Rate(Protocol):
    """How fast a trained block learns."""

    @property
    def absolute(self) -> bool:
        """Whether learning rates are searched, and not multipliers of the recipe's."""
        ...

    def genes(self, layout: Layout) -> dict[str, Gene]:
        """Parameters by name."""
        ...

    def names(self, block: str) -> frozenset[str]:
        """The parameters that a block's rate depends on."""
        ...

    def multiplier(self, params: Params, block: str, layout: Layout) -> float:
        """Multiplier of the recipe's learning rate; 0 freezes."""
        ...

    def encode(self, multipliers: Mapping[str, float], layout: Layout) -> dict[str, Any]:
        """Values for all parameters that come nearest to the multipliers of some blocks.

        The other blocks are frozen by the mask. A multiplier of 0 is that of a block which the
        mask cannot freeze.
        """
        ...
