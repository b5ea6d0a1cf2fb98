"""How much each block matters: PED-ANOVA of its parameters, and what freezing it changes.

PED-ANOVA (https://arxiv.org/abs/2304.10255) is Optuna's own importance; a block has the sum of
its parameters.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial
from plotly.subplots import make_subplots
from scipy.stats import t as student

from optuna_layerwise.analysis.guessing import block_of
from optuna_layerwise.analysis.history import History, Row
from optuna_layerwise.visualization.look import (
    GREY,
    SERIES,
    empty_figure,
    labels,
    new_figure,
    short,
    thinned,
)
from optuna_layerwise.visualization.plans import plan_height

TITLE = "Which blocks matter"
ALL_BLOCKS = "shared by all blocks"
MIN_TRIALS = 4
MAX_CELLS = 30_000
"""Trials times parameters: a few seconds of PED-ANOVA."""
_TOP = 5
"""Trials that PED-ANOVA should at least compare with the others."""
_LEAST = 100
_DECIMALS = 12
"""Of a difference of means: what is behind them is noise of the last bits."""
_OPTUNA_4 = optuna.__version__.startswith("4.")


def block_importance(
    history: History, *, max_cells: int = MAX_CELLS, max_blocks: int | None = None
) -> go.Figure:
    """Left the importance; right what trials with the block frozen are better or worse by.

    The right panel is a difference of means with its 95 % interval (Welch), over trials that
    differ in other blocks as well: a hint, not an effect.

    Args:
        history: A study.
        max_blocks: Leave out those that matter least.
        max_cells: Trials times parameters of the importance; more trials are thinned out evenly.
    """
    rows = [row for row in history.rows if row.counts]
    if len(rows) < MIN_TRIALS:
        return empty_figure(TITLE, f"Needs {MIN_TRIALS} trials with a value, has {len(rows)}.")
    n_params = max(len(row.trial.params) for row in rows)
    limit = max(_LEAST, max_cells // max(1, n_params))
    used = [rows[i] for i in thinned(len(rows), limit)]
    shares, effects = importances(history, used), freeze_effects(history)
    if not shares and not effects:
        return empty_figure(TITLE, "The values or the parameters of all trials are the same.")
    blocks = [*history.blocks, *(name for name in shares if name not in history.blocks)]
    n_blocks = len(blocks)
    if max_blocks is not None and n_blocks > max_blocks:
        most = sorted(blocks, key=lambda block: -shares.get(block, 0.0))[:max_blocks]
        blocks = [block for block in blocks if block in most]
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.06)
    base = new_figure(
        TITLE,
        f"Right: mean {history.metric} with the block frozen minus that with it trained, and "
        "95 % interval.",
        f"The {len(blocks)} of {n_blocks} that matter most." if len(blocks) < n_blocks else "",
        f"Importance from {len(used)} of {len(rows)} trials." if len(used) < len(rows) else "",
        height=plan_height(len(blocks)),
    )
    figure.update_layout(base.layout)
    names = labels(blocks)
    figure.add_bar(
        x=[short(shares.get(block, 0.0)) for block in blocks],
        y=names,
        orientation="h",
        marker_color=SERIES[0],
        name="importance",
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        showlegend=False,
        row=1,
        col=1,
    )
    present = [(name, effects[b]) for name, b in zip(names, blocks, strict=True) if b in effects]
    figure.add_scatter(
        x=[short(effect) for _, (effect, _) in present],
        y=[name for name, _ in present],
        error_x={
            "type": "data",
            "array": [short(half) if math.isfinite(half) else 0 for _, (_, half) in present],
            "thickness": 1.5,
        },
        mode="markers",
        marker={"color": SERIES[1], "size": 8, "symbol": "diamond"},
        name="freezing",
        showlegend=False,
        hovertemplate="%{y} frozen: %{x:+}<extra></extra>",
        row=1,
        col=2,
    )
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": GREY}, row=1, col=2)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names)
    figure.update_xaxes(title_text="importance", tickformat=".0%", rangemode="tozero", col=1)
    figure.update_xaxes(title_text="change when frozen", col=2)
    return figure


def importances(history: History, rows: Sequence[Row]) -> dict[str, float]:
    """Block to its share; what belongs to no block is `ALL_BLOCKS`; empty if nothing differs.

    Args:
        history: A study.
        rows: Those of its trials that are looked at.
    """
    costs = sorted(-history.sign * (row.value or 0.0) for row in rows)
    top = min(0.5, max(0.1, _TOP / len(rows)))
    if costs[math.ceil(top * len(costs)) - 1] == costs[-1]:  # no trial is below the top ones
        return {}
    if _OPTUNA_4 and history.n_objectives > 1:
        return {}
    chosen = copy.copy(history.study)
    trials = [row.trial for row in rows]
    setattr(chosen, "get_trials", lambda *_, **__: trials)  # noqa: B010
    found = PedAnovaImportanceEvaluator(target_quantile=top).evaluate(
        chosen, params=_comparable(trials)
    )
    shares: dict[str, float] = {}
    for name, share in found.items():
        if math.isfinite(share):
            block = block_of(name) or ALL_BLOCKS
            shares[block] = shares.get(block, 0.0) + share
    total = sum(shares.values())
    return {block: share / total for block, share in shares.items()} if total > 0 else {}


def _comparable(trials: Sequence[FrozenTrial]) -> list[str]:
    """Parameters of which no range, nor their absence, is that of a single trial.

    Optuna 4 compares only trials that have all parameters: there it is those that all have.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.distributions)
    if _OPTUNA_4:
        names = {n: None for n in names if all(n in trial.distributions for trial in trials)}
    counts = {name: Counter(trial.distributions.get(name) for trial in trials) for name in names}
    return [name for name, found in counts.items() if min(found.values()) > 1]


def freeze_effects(history: History) -> dict[str, tuple[float, float]]:
    """Block to mean value frozen minus mean value trained, and half its 95 % interval.

    Only blocks that at least two trials freeze and two train.
    """
    rows = [row for row in history.rows if row.counts and row.policy]
    effects = {}
    for block in history.blocks:
        having = [
            (row.value or 0.0, (row.policy or {})[block])
            for row in rows
            if block in (row.policy or {})
        ]
        frozen = np.array([value for value, multiplier in having if multiplier == 0])
        trained = np.array([value for value, multiplier in having if multiplier > 0])
        if len(frozen) < 2 or len(trained) < 2:
            continue
        change, half = float(frozen.mean() - trained.mean()), _welch(frozen, trained)
        effects[block] = (round(change, _DECIMALS), round(half, _DECIMALS))
    return effects


def _welch(a: np.ndarray, b: np.ndarray) -> float:
    parts = [x.var(ddof=1) / len(x) for x in (a, b)]
    variance = sum(parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(p**2 / (len(x) - 1) for p, x in zip(parts, (a, b), strict=True))
    return float(student.ppf(0.975, freedom) * math.sqrt(variance))
