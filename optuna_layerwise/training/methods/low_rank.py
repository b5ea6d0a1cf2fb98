"""LoRA: adapters of low rank beside weights that stay.

E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022,
https://arxiv.org/abs/2106.09685; for convolutions as the library peft has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from optuna_layerwise.models import Blocks
from optuna_layerwise.models.lora import adapted
from optuna_layerwise.recipe_methods import LowRank
from optuna_layerwise.training.methods.course import Course


class LowRankCourse(Course):
    """Trains the adapters of the policy's blocks, and the head; see `adapted`."""

    @contextmanager
    def prepared(self, model: nn.Module, blocks: Blocks, seed: int) -> Iterator[Blocks]:
        """With adapters, which are merged at the end."""
        method = cast(LowRank, self.recipe.method)
        with adapted(
            model,
            blocks,
            rank=method.rank,
            alpha=method.alpha,
            trained=self.policy.trained,
            generator=torch.Generator().manual_seed(seed),
        ) as adaptation:
            self._trained = adaptation.trained
            yield adaptation.blocks

    def begin(self, model: nn.Module, blocks: Blocks) -> None:
        """Nothing else of the blocks is trained."""
        own = {name for names in self._trained.values() for name in names}
        for name, parameter in model.named_parameters():
            if name not in own:
                parameter.requires_grad_(False)
