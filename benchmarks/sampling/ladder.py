"""Ten configurations that people try by hand: freeze the first k blocks, at two rates."""

from __future__ import annotations

from typing import Any

from benchmarks.sampling.problems import Instance
from optuna_layerwise.encodings import Encoding

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the blocks below the head, how many are frozen."""
RATES = (1.0, 0.1)
"""Multipliers of the recipe's learning rate."""
LOWEST = 0.01
"""In the place of freezing, where an encoding has no word for it."""


def ladder(instance: Instance) -> list[dict[str, Any]]:
    """The ten as parameters; none for a problem that knows nothing of blocks."""
    if (encoding := instance.encoding) is None:
        return []
    return [_nearest(encoding, share, rate) for share in SHARES for rate in RATES]


def _nearest(encoding: Encoding, share: float, rate: float) -> dict[str, Any]:
    blocks = encoding.blocks
    first = round(share * (len(blocks) - 1))
    try:
        return encoding.encode({b: rate * (k >= first) for k, b in enumerate(blocks)})
    except ValueError:
        return encoding.encode({b: rate if k >= first else LOWEST for k, b in enumerate(blocks)})
