"""The methods that BioTune and REVO-Tune compare themselves with, and layer-wise decay."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from optuna.distributions import CategoricalDistribution, FloatDistribution

from optuna_layerwise.baselines.baseline import Baseline
from optuna_layerwise.encodings import Decay, Fixed, Gene, Only
from optuna_layerwise.recipe_methods import GradientNorms, LowRank, Penalty, Regression, Unfreezing

REFERENCES = ("full", "probe-fitted", "lp-ft", "surgical")
"""What every search is compared with when it is finalized."""


def _middle(blocks: Sequence[str]) -> tuple[str, ...]:
    """The middle half of the blocks between stem and head: of four the second and third."""
    trunk = blocks[1:-1] or blocks[:-1]
    first = len(trunk) // 3
    return tuple(trunk[first : first + max(1, len(trunk) // 2)])


_WEIGHT_DECAY = Gene(FloatDistribution(1e-6, 1e-2, log=True), (1e-4, 0.25))

BASELINES: dict[str, Baseline] = {
    "full": Baseline(title="full fine-tuning"),
    "full-wd": Baseline(
        title="full fine-tuning, weight decay tuned",
        recipe={"optimizer": "adamw", "weight_decay": 1e-4},
        tuned={"weight_decay": _WEIGHT_DECAY},
    ),
    "probe": Baseline(
        title="linear probe",
        source="https://arxiv.org/abs/2202.10054",
        mask=lambda blocks: Only(),
    ),
    "probe-fitted": Baseline(
        title="logistic regression on the frozen features",
        mask=lambda blocks: Only(),
        rate=Fixed(),
        recipe={"head_start": "fitted", "method": Regression()},
    ),
    "lp-ft": Baseline(
        title="full fine-tuning from a fitted head",
        source="https://arxiv.org/abs/2202.10054",
        recipe={"head_start": "fitted"},
    ),
    "surgical": Baseline(
        title="the middle blocks from a fitted head",
        source="https://arxiv.org/abs/2210.11466",
        mask=lambda blocks: Only(_middle(blocks)),
        recipe={"head_start": "fitted"},
    ),
    "first": Baseline(
        title="first layer and head",
        source="https://arxiv.org/abs/2210.11466",
        mask=lambda blocks: Only((blocks[0],)),
    ),
    "last": Baseline(
        title="last layer, norms in train mode",
        source="https://arxiv.org/abs/2210.11466",
        mask=lambda blocks: Only(),
        recipe={"bn": "train"},
    ),
    "scratch": Baseline(title="from scratch", pretrained=False, recipe={"head_start": "random"}),
    "l2-sp": Baseline(
        title="L2-SP",
        source="https://arxiv.org/abs/1802.01483",
        recipe={"method": Penalty(name="l2-sp", weight=0.1, head_weight=0.01)},
        tuned={"method.weight": Gene(FloatDistribution(1e-3, 1.0, log=True), (0.1, 1 / 6))},
    ),
    "l1-sp": Baseline(
        title="L1-SP",
        source="https://arxiv.org/abs/1802.01483",
        recipe={"method": Penalty(name="l1-sp", weight=1e-3, head_weight=0.01)},
        tuned={"method.weight": Gene(FloatDistribution(1e-4, 0.1, log=True), (1e-3, 1 / 6))},
    ),
    "gradual-lf": Baseline(
        title="gradual unfreezing, last to first",
        source="https://arxiv.org/abs/1801.06146",
        recipe={"method": Unfreezing(name="last-to-first")},
    ),
    "gradual-fl": Baseline(
        title="gradual unfreezing, first to last",
        recipe={"method": Unfreezing(name="first-to-last")},
    ),
    "auto-rgn": Baseline(
        title="AutoRGN",
        source="https://arxiv.org/abs/2210.11466",
        recipe={"optimizer": "adam", "weight_decay": 1e-4, "method": GradientNorms()},
    ),
    "lora": Baseline(
        title="LoRA",
        source="https://arxiv.org/abs/2106.09685",
        recipe={"method": LowRank()},
        tuned={
            "method.rank": Gene(CategoricalDistribution([4, 8, 16]), (0.25, 0.5, 0.25)),
        },
    ),
    "llrd": Baseline(
        title="layer-wise decay of the rate",
        source="https://arxiv.org/abs/1801.06146",
        rate=Decay(),
    ),
}
"""Name to method, with its publication's values where a search of its options begins."""


def baseline_named(name: str) -> Baseline:
    """The baseline of this name.

    Raises:
        ValueError: for an unknown one; the message has the nearest.
    """
    if name not in BASELINES:
        near = difflib.get_close_matches(name, BASELINES, n=1, cutoff=0.0)
        raise ValueError(
            f"unknown baseline {name!r}; did you mean {near[0]!r}? "
            f"There are {', '.join(BASELINES)}"
        )
    return BASELINES[name]
