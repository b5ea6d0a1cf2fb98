"""A classifier of texts: a transformer, the mean of what it says of the tokens, a linear head."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class TextNetwork(nn.Module):
    """Classifies texts by the mean of a transformer's last vectors.

    The mean over the tokens is what sentence encoders are trained for, and serves any other
    encoder.

    Args:
        network: A model of transformers without a head, whose outputs have ``last_hidden_state``.
        num_classes: The number of outputs.
    """

    base_model_prefix = "network"

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network = network
        config: Any = network.config
        self.head = nn.Linear(config.hidden_size, num_classes)
        self._padding = max(0, getattr(config, "pad_token_id", None) or 0)

    @property
    def config(self) -> Any:
        """That of the transformer."""
        return self.network.config

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes].

        Args:
            tokens: int64 [n, length], filled up with a negative number; for pairs of texts
                [n, 2, length], the tokens and which of the two texts each is of.
        """
        ids, texts = (tokens, None) if tokens.ndim == 2 else tokens.unbind(1)
        there = ids >= 0
        if not ids.is_meta:  # columns that are padding in the whole batch say nothing
            longest = int(there.sum(1).max())
            ids, there = ids[:, :longest], there[:, :longest]
        given = {"input_ids": ids.where(there, self._padding), "attention_mask": there.long()}
        if texts is not None:
            given["token_type_ids"] = texts[:, : ids.shape[1]].clamp(min=0)
        vectors = self.network(**given).last_hidden_state
        weights = there.unsqueeze(-1).to(vectors.dtype)
        logits: torch.Tensor = self.head((vectors * weights).sum(1) / weights.sum(1))
        return logits
