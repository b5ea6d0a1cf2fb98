"""L2-SP and L1-SP: weights are pulled to where they started.

X. Li, Y. Grandvalet, F. Davoine, "Explicit Inductive Bias for Transfer Learning with
Convolutional Networks", ICML 2018, https://arxiv.org/abs/1802.01483.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from optuna_layerwise.models import Blocks, classifier_parameters
from optuna_layerwise.recipe_methods import Penalty
from optuna_layerwise.training.methods.course import Course


class PenaltyCourse(Course):
    """Omega(w) = alpha / 2 ||w - w0||_2^2 (or alpha ||w - w0||_1) + beta / 2 ||w_head||_2^2.

    Over the weights of convolutions and linear layers; where a frozen one is, there is nothing
    to pull. The L1 norm's gradient at w0 is 0.
    """

    def begin(self, model: nn.Module, blocks: Blocks) -> None:
        """Remembers where the weights start."""
        weights = {
            id(module.weight): module.weight
            for module in model.modules()
            if isinstance(module, (_ConvNd, nn.Linear)) and module.weight.requires_grad
        }
        new = classifier_parameters(model, blocks)
        head = {id(model.get_parameter(name)) for name in new}
        self._trunk = [w for key, w in weights.items() if key not in head]
        self._head = [w for key, w in weights.items() if key in head]
        self._start = [w.detach().clone() for w in self._trunk]

    def penalty(self) -> torch.Tensor | None:
        """Omega of the weights as they are."""
        method = cast(Penalty, self.recipe.method)
        moved = [w - start for w, start in zip(self._trunk, self._start, strict=True)]
        if method.name == "l1-sp":
            trunk = [difference.abs().sum() for difference in moved]
        else:
            trunk = [difference.square().sum() / 2 for difference in moved]
        head = [w.square().sum() / 2 for w in self._head]
        terms = [method.weight * term for term in trunk]
        terms += [method.head_weight * term for term in head]
        return torch.stack(terms).sum() if terms else None
