"""Gradual unfreezing: blocks join one after the other.

J. Howard, S. Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
https://arxiv.org/abs/1801.06146. They unfreeze a layer an epoch from the last on; from the first
on is BioTune's other baseline.
"""

from __future__ import annotations

import math
from typing import cast

from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.recipe_methods import Unfreezing
from optuna_layerwise.training.methods.course import Course


class UnfreezingCourse(Course):
    """The i-th of the policy's blocks, counted from 0, is trained from epoch ceil(i every) on.

    An optimizer has no state of a parameter before its first gradient, so that a block which
    joins begins anew, and those that are there keep theirs.
    """

    def __init__(self, policy: Policy, recipe: Recipe) -> None:
        super().__init__(policy, recipe)
        method = cast(Unfreezing, recipe.method)
        order = list(policy.trained)
        self._since: dict[str, int] = {}
        head = list(policy)[-1]
        if method.name == "last-to-first":
            order.reverse()
        elif head in order:
            order.remove(head)
            self._since[head] = 0
        every = recipe.epochs / (2 * len(policy)) if method.every is None else method.every
        if method.every is None and every > 1:
            every = math.floor(every)
        for index, block in enumerate(order):
            self._since[block] = math.ceil(index * every)
        self.settled = min(max(self._since.values()), recipe.epochs)

    def trained(self, epoch: int) -> Policy:
        """The blocks that have joined by then."""
        return Policy(
            {
                block: value if self._since.get(block, epoch) <= epoch else 0.0
                for block, value in self.policy.items()
            }
        )
