"""A search of layers with Hugging Face's Trainer, by its own ``hyperparameter_search``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import optuna
import torch
from torch import nn
from transformers import TrainerCallback

from optuna_layerwise.encodings import Encoding
from optuna_layerwise.models import Patterns, frozen, param_groups, partition
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import BatchNorm, Granularity


class LayerwiseSearch(TrainerCallback):
    """What a Trainer needs to search which layers to train; it is a callback of the Trainer, too.

    Frozen blocks need no gradient, are in no group of the optimizer, and stay in eval mode, also
    when the Trainer calls ``model.train()`` and after it has resumed from a checkpoint. The
    Trainer itself reports every evaluation to Optuna, and prunes.

    Args:
        make_model: Makes the pretrained model; called once for each training.
        encoding: The name of an encoding, or an `Encoding` of the model's blocks.
        lr: The learning rate of a block with multiplier 1.
        optimizer: Makes the optimizer from parameter groups, such as `torch.optim.AdamW`.
        weight_decay: The weight decay of all groups.
        granularity: How fine the blocks are; see `partition`.
        patterns: Your own blocks; see `partition`.
        bn: What frozen norms do; see `frozen`.

    Attributes:
        encoding: The encoding, whose ``search_space`` a sampler may be given.
        policy: The policy of the current training; ``None`` trains all blocks at ``lr``. Set it
            to train a policy without a search.

    Examples:
        >>> from transformers import ResNetConfig, ResNetForImageClassification
        >>> config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1])
        >>> search = LayerwiseSearch(lambda: ResNetForImageClassification(config))
        >>> list(search.encoding.search_space)[:2]
        ['train/stem', 'train/stage1']
    """

    def __init__(
        self,
        make_model: Callable[[], nn.Module],
        encoding: str | Encoding = "binary",
        *,
        lr: float = 1e-4,
        optimizer: Callable[[Any], torch.optim.Optimizer] = torch.optim.AdamW,
        weight_decay: float = 0.0,
        granularity: Granularity = "stage",
        patterns: Patterns | None = None,
        bn: BatchNorm = "eval_frozen",
    ) -> None:
        self._make_model, self._make_optimizer = make_model, optimizer
        self._lr, self._weight_decay = lr, weight_decay
        self._bn: BatchNorm = bn
        self.blocks = partition(make_model(), granularity=granularity, patterns=patterns)
        if isinstance(encoding, str):
            encoding = Encoding.preset(encoding, self.blocks, lr=lr)
        self.encoding = encoding
        self.policy: Mapping[str, float] | None = None
        self._stage = ExitStack()

    def hp_space(self, trial: optuna.Trial) -> dict[str, Any]:
        """Suggest a policy, which the training of this trial has; no field of the arguments."""
        self.policy = self.encoding.suggest(trial)
        return {}

    def model_init(self, trial: optuna.Trial | None = None) -> nn.Module:
        """A new model."""
        return self._make_model()

    @property
    def optimizer_cls_and_kwargs(self) -> tuple[Callable[[], Any], dict[str, Any]]:
        """For the Trainer's argument of this name."""
        return lambda: self._optimizer, {}

    def _optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        groups = param_groups(
            *(model, self.blocks, self._policy), lr=self._lr, weight_decay=self._weight_decay
        )
        return self._make_optimizer(groups)

    @property
    def _policy(self) -> Policy:
        return Policy.uniform(self.blocks) if self.policy is None else Policy(self.policy)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Freeze what the policy freezes."""
        self._stage.close()
        model = kwargs["model"]
        self._stage.enter_context(frozen(model, self.blocks, self._policy, bn=self._bn))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Give the model back as it was; also before a trial is pruned."""
        self._stage.close()

    @staticmethod
    def trials_left(total: int, *, study_name: str, storage: Any) -> int:
        """How many trials a study lacks, for ``n_trials``, which counts those of one call alone.

        Args:
            total: The number of finished trials that the study shall have.
            study_name: The name of the study, which may not exist so far.
            storage: The storage that the search is given.
        """
        if study_name not in optuna.get_all_study_names(storage):
            return total
        study = optuna.load_study(study_name=study_name, storage=storage)
        finished = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
        return max(0, total - finished)
