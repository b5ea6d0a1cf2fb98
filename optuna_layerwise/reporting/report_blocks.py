"""What a report says of single blocks: which to train or to freeze, and what cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

from optuna_layerwise.analysis.history import History
from optuna_layerwise.reporting.report_facts import Facts
from optuna_layerwise.reporting.report_grid import Grid, clean, interval, signed_number
from optuna_layerwise.reporting.report_page import Section
from optuna_layerwise.visualization import figures
from optuna_layerwise.visualization.block_importance import freeze_effects

TRAIN, FREEZE, UNKNOWN = "better trained", "better frozen", "cannot be told"
_FEW_BLOCKS = 12
"""That a sentence names."""
_ROWS = 40
_LEAST_HALF = 0.001
"""Half of an interval that three digits show."""


def blocks_section(facts: Facts) -> Section:
    """What trials with a block frozen are worth beside those that train it."""
    history = facts.history
    if facts.best is None:
        return Section("Which blocks matter")
    drawn = [figures.block_importance(history), figures.accuracy_cost(history)]
    if any(row.trial.intermediate_values for row in history.rows):
        drawn.append(figures.learning_curves(history))
    if len({row.generation for row in facts.finished}) > 1:
        drawn.append(figures.population(history))
    if not any(row.policy for row in history.rows):
        return Section("Which blocks matter", figures=drawn)
    effects = freeze_effects(history)
    told = {block: _told(history, effects.get(block)) for block in history.blocks}
    grids = [_grid(history, effects, told)] if effects else []
    return Section("Which blocks matter", _words(told), grids=grids, figures=drawn)


def _told(history: History, effect: tuple[float, float] | None) -> str:
    """What the interval of a difference says; an interval of no width says nothing."""
    if effect is None:
        return UNKNOWN
    change, half = effect
    if not 0 < half < abs(change):
        return UNKNOWN
    return FREEZE if change * history.sign > 0 else TRAIN


def _words(told: dict[str, str]) -> list[str]:
    kinds = {kind: [b for b, k in told.items() if k == kind] for kind in (TRAIN, FREEZE, UNKNOWN)}
    unknown = kinds[UNKNOWN]
    if len(unknown) == len(told):
        return ["These trials cannot tell for any block whether it is better trained or frozen."]
    words = [
        f"Trials that {verb} {_listed(kinds[kind])} are better than those that {other}."
        for kind, verb, other in (
            (TRAIN, "train", "freeze it"),
            (FREEZE, "freeze", "train it"),
        )
        if kinds[kind]
    ]
    if unknown:
        words.append(f"It cannot be told for {_listed(unknown)}.")
    return words


def _listed(blocks: Sequence[str]) -> str:
    if len(blocks) > _FEW_BLOCKS:
        return f"{len(blocks)} blocks"
    names = [clean(block) for block in blocks]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _grid(history: History, effects: dict[str, tuple[float, float]], told: dict[str, str]) -> Grid:
    order = sorted(told, key=lambda block: told[block] == UNKNOWN)[:_ROWS]
    rows = []
    for block in (block for block in told if block in order):
        shown = ["-", "-"]
        if block in effects:
            change, half = effects[block]
            bounds = (change - half, change + half)
            shown = [signed_number(change), interval(bounds, signed=True)]
            if half >= _LEAST_HALF:
                shown = [f"{change:+.3f}", f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"]
        rows.append([clean(block), told[block], *shown])
    dropped = len(told) - len(rows)
    more = f" {dropped} blocks of which it cannot be told are left out." if dropped else ""
    return Grid(
        f"Mean {clean(history.metric)} with the block frozen minus with it trained",
        ["block", "so it is", "difference", "95 % interval"],
        rows,
        note="An interval that holds zero tells nothing; of 20 blocks that do not matter, one "
        "misses zero by chance. Trials differ in other blocks, too, and the search chose them: "
        f"this is a hint, not an effect.{more}",
    )
