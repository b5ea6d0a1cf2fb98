"""What people fine-tune without a search: policies to evaluate first."""

from __future__ import annotations

from collections.abc import Sequence

from optuna_layerwise.policy import Policy

RATES = (1.0, 0.1)
"""Multipliers of the recipe's rate that each is tried at."""
_FIRST = 4  # shapes that come before all others, at both rates


def known_policies(blocks: Sequence[str]) -> list[Policy]:
    """Full, head only, layer-wise decay and the last k blocks, most useful first.

    The decay leaves the first block a tenth of the head's rate.
    """
    n = len(blocks)
    shapes = [
        Policy.uniform(blocks),
        Policy.uniform(blocks, blocks[-1:]),
        Policy({block: 10 ** (i / (n - 1) - 1) for i, block in enumerate(blocks)}),
        *(Policy.uniform(blocks, blocks[-k:]) for k in range(2, n)),
    ]
    return [
        Policy({block: rate * value for block, value in shape.items()})
        for group in (shapes[:_FIRST], shapes[_FIRST:])
        for rate in RATES
        for shape in group
    ]
