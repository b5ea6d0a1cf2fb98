"""Where a search begins that follows another one, from the best trials of that.

WS-CMA-ES (Nomura et al. 2021, https://arxiv.org/abs/2012.06932), with frequencies for categories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna import Study

from optuna_layerwise.samplers._algorithm import Genes
from optuna_layerwise.storage import best_first

GAMMA = 0.1
"""Share of the finished trials that counts as good."""
ALPHA = 0.1
"""Standard deviation that is added: how different the optimum may be."""
_LEAST, _MOST = 4, 50
_VALUES = 3000  # stored in one attribute, which may have 64 KiB in MySQL

Params = tuple[tuple[str, Any], ...]


def best_params(study: Study) -> tuple[Params, ...]:
    """Parameters of the best tenth of a study's finished trials, best first; at least 4.

    Raises:
        ValueError: if no trial has finished with a finite value, or for several objectives.
    """
    if len(study.directions) != 1:
        raise ValueError(f"init_from must have one objective, got {len(study.directions)}")
    finished = [trial for trial in best_first(study) if trial.params]
    if not finished:
        raise ValueError(
            f"init_from: study {study.study_name!r} has no finished trial with parameters and a "
            "finite value; run it first"
        )
    n = max(math.floor(GAMMA * len(finished)), _LEAST)
    n = min(n, _MOST, max(_VALUES // max(len(t.params) for t in finished), 1))
    return tuple(tuple(sorted(trial.params.items())) for trial in finished[:n])


def promising(points: Genes) -> tuple[Genes, Genes]:
    """Mean [n] and covariance [n, n] of good points [k, n]; NaN is absent, not in all of them.

    Sigma = alpha^2 I + the points' covariance (eq. 8), in the unit cube.
    """
    points = np.where(np.isnan(points), np.nanmean(points, axis=0), points)
    mean = points.mean(axis=0)
    centred = points - mean
    return mean, ALPHA**2 * np.eye(len(mean)) + centred.T @ centred / len(points)


def frequencies(choices: Sequence[int], n: int) -> npt.NDArray[np.float64]:
    """Probability [n] of each choice among those made, as if each had been made once more."""
    counts = np.bincount(np.asarray(choices, dtype=int), minlength=n) + 1.0
    return np.asarray(counts / counts.sum())
