"""Studies that differ only in their seed are shown as one: a line and a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from optuna_layerwise.analysis.history import History

Groups = Mapping[str, Sequence[History]]
"""Name of a group to its studies."""
Array = npt.NDArray[np.float64]


def alone(histories: Sequence[History]) -> dict[str, list[History]]:
    """Every study a group of its own; studies of the same name are told apart."""
    groups: dict[str, list[History]] = {}
    for history in histories:
        name, n = history.name, 1
        while name in groups:
            n += 1
            name = f"{history.name} ({n})"
        groups[name] = [history]
    return groups


def band(values: Array) -> tuple[Array, Array, Array]:
    """Lower end, middle and upper end over the first axis; NaN where all are.

    The middle is the median. The ends are the quartiles from four studies on, and of fewer the
    lowest and the highest.
    """
    low, middle, high = np.full((3, values.shape[1]), np.nan)
    some = ~np.isnan(values).all(axis=0)
    ends = (0.25, 0.75) if len(values) >= 4 else (0.0, 1.0)
    low[some], middle[some], high[some] = np.nanquantile(
        values[:, some], (ends[0], 0.5, ends[1]), axis=0
    )
    return low, middle, high


def band_name(groups: Groups) -> str:
    """What the bands of a figure are; empty if it has none."""
    sizes = [len(group) for group in groups.values()]
    if max(sizes, default=0) < 2:
        return ""
    few, many = min(s for s in sizes if s > 1) < 4, max(sizes) >= 4
    ends = " or ".join([*(["quartiles"] if many else []), *(["lowest to highest"] if few else [])])
    return f"Line: median over the studies of a group; band: {ends}."
