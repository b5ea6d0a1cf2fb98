"""The baselines that are nothing but a policy: what a search has to beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from optuna_layerwise.policy import Policy


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A fixed policy for any blocks, from pretrained or from random weights."""

    title: str
    policy: Callable[[Sequence[str]], Policy]
    pretrained: bool = True


BASELINES: dict[str, Baseline] = {
    "full": Baseline("full fine-tuning", Policy.uniform),
    "probe": Baseline("linear probe", lambda blocks: Policy.uniform(blocks, blocks[-1:])),
    "scratch": Baseline("from scratch", Policy.uniform, pretrained=False),
}
"""Name to baseline; the last block is the head."""
