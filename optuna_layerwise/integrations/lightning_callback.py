"""A policy in Lightning: what is frozen stays frozen, also after a resume."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from lightning.pytorch import Callback, LightningModule, Trainer

from optuna_layerwise.models import Blocks, frozen, partition
from optuna_layerwise.recipe import BatchNorm


class LayerFinetuning(Callback):
    """Freezes the blocks whose multiplier is 0 for as long as the Trainer fits.

    Their parameters need no gradient, and their modules stay in eval mode: statistics of norms do
    not move, dropout is off. The freezing is made anew whenever a fit begins, from a checkpoint or
    not, and needs nothing of the checkpoint. Return the groups of `layer_groups` with the same
    policy from ``configure_optimizers``.

    Args:
        policy: For every block of the module a multiplier of the learning rate; 0 is frozen.
        blocks: The parameters of each block, by their names in the `LightningModule`; by default
            those of `partition`.
        bn: What norms do; see `frozen`.

    Raises:
        ValueError: when a fit begins, if the policy has other blocks than the module.
    """

    def __init__(
        self,
        policy: Mapping[str, float],
        *,
        blocks: Blocks | None = None,
        bn: BatchNorm = "eval_frozen",
    ) -> None:
        self._policy, self._blocks, self._stage = dict(policy), blocks, ExitStack()
        self._bn: BatchNorm = bn

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Freeze, before the optimizers are configured."""
        self._stage.close()
        if stage == "fit":
            blocks = partition(pl_module) if self._blocks is None else self._blocks
            self._stage.enter_context(frozen(pl_module, blocks, self._policy, bn=self._bn))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the module back as it was, after an error as well."""
        self._stage.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """See `teardown`, which Lightning calls only where nothing was raised."""
        self._stage.close()
