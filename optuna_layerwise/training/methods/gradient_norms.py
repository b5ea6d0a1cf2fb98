"""AutoRGN: each tensor learns at its relative gradient norm.

Y. Lee et al., "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts", ICLR 2023,
https://arxiv.org/abs/2210.11466, and what their code does where the paper is silent.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from optuna_layerwise.models import Blocks
from optuna_layerwise.models.layers import is_norm
from optuna_layerwise.recipe_methods import GradientNorms
from optuna_layerwise.training.methods.course import Course, Joint
from optuna_layerwise.training.optimizers import relative_rate


class GradientNormCourse(Course):
    """r_p = mean over batches of ||dL/dp|| / ||p||; tensor p learns at r_p / max_q r_q.

    A tensor that is all zeros (a new bias) has no such ratio and learns at its block's full rate.
    The passes that measure gradients are passes of the training: they move BatchNorm's statistics
    as steps do, and count as its operations. A batch whose gradients are not finite is left
    out, for another; in fp16 it lowers the scale, as its step would.
    """

    group_per_tensor = True

    def begin(self, model: nn.Module, blocks: Blocks) -> None:
        """Norm layers are not trained, unless the method says so."""
        if not cast(GradientNorms, self.recipe.method).norms:
            for module in model.modules():
                if is_norm(module):
                    for parameter in module.parameters(recurse=False):
                        parameter.requires_grad_(False)

    def begin_epoch(self, joint: Joint) -> None:
        """Measures the ratios, and sets the rates."""
        method = cast(GradientNorms, self.recipe.method)
        if joint.epoch and method.every == "once":
            return
        optimizer = joint.optimizer
        tensors = [p for group in optimizer.param_groups for p in group["params"]]
        sums = torch.zeros(len(tensors), dtype=torch.float64)
        measured = 0
        for batch in joint.batches:
            if measured == method.batches:
                break
            joint.backward(batch)
            joint.scaler.unscale_(optimizer)
            norms = torch.stack(
                [p.new_zeros(()) if p.grad is None else p.grad.norm() for p in tensors]
            ).cpu()
            if norms.isfinite().all():
                sums += norms
                measured += 1
            joint.scaler.update()
            optimizer.zero_grad(set_to_none=True)
        sizes = torch.stack([p.detach().norm() for p in tensors]).cpu().double()
        shares = relative(sums, sizes)  # as of the means: the number of batches cancels
        if method.reset:
            optimizer.state.clear()
        self._set_rates(joint, shares)

    def _set_rates(self, joint: Joint, shares: torch.Tensor) -> None:
        schedule = joint.schedule
        now = relative_rate(schedule)
        for group, share in zip(joint.optimizer.param_groups, shares.tolist(), strict=True):
            group.setdefault("full_lr", group["initial_lr"])
            group["initial_lr"] = group["full_lr"] * share
            group["lr"] = group["initial_lr"] * now
        schedule.base_lrs = [group["initial_lr"] for group in joint.optimizer.param_groups]
        schedule._last_lr = [group["lr"] for group in joint.optimizer.param_groups]


def relative(gradients: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Norms of gradients over those of their tensors, as shares of the largest ratio.

    1 where the tensor is zero, or where all gradients are zero or not finite.
    """
    ratios = torch.where(sizes > 0, gradients / sizes, torch.nan)
    largest = ratios[ratios.isfinite()].max() if ratios.isfinite().any() else torch.tensor(0.0)
    if not largest > 0:
        return torch.ones_like(ratios)
    return torch.where(ratios.isfinite(), ratios / largest, 1.0)
