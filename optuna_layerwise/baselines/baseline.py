"""A published method: which blocks, what it changes in a recipe, and what one tunes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna_layerwise.encodings import All, Encoding, Gene, Global, Mask, Rate
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """A method without a search over blocks; its rate, and options of its own, can be tuned.

    Args:
        title: What it is called.
        source: The publication.
        mask: Of the blocks, in forward order with the head last, those that are trained; the head
            always is.
        rate: Of the blocks; searched when the method is tuned.
        recipe: Field to value: what the method changes in a recipe, the method itself included.
        tuned: What is tuned beside the rate, as `Encoding.tuned`; a search begins at the
            published values.
        pretrained: Whether it starts from the pretrained weights.

    Examples:
        >>> from optuna_layerwise.baselines import BASELINES
        >>> probe = BASELINES["probe"].encoding(["stem", "layer1", "head"], lr=1e-3)
        >>> probe.first
        {'lr': 0.001}
        >>> dict(probe.decode(probe.first))
        {'stem': 0.0, 'layer1': 0.0, 'head': 1.0}
    """

    title: str
    source: str = ""
    mask: Callable[[Sequence[str]], Mask] = lambda blocks: All()
    rate: Rate = Global()
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tuned: Mapping[str, Gene] = dataclasses.field(default_factory=dict)
    pretrained: bool = True

    def encoding(self, blocks: Sequence[str], *, lr: float) -> Encoding:
        """What is searched when the method is tuned; its `Encoding.first` is the method itself."""
        return Encoding(tuple(blocks), self.mask(blocks), self.rate, lr=lr, tuned=self.tuned)

    def policy(self, blocks: Sequence[str]) -> Policy:
        """The method's own, untuned; multipliers of the recipe's rate."""
        encoding = self.encoding(blocks, lr=1e-3)
        return encoding.decode(encoding.first)

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with what the method changes in it."""
        return dataclasses.replace(recipe, **self.recipe)
