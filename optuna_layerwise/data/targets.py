"""Labels of each task: what they may be, and what of them is spread evenly over splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.recipe import TaskName

Labels: TypeAlias = "NDArray[Any]"
"""int64 [N], the class of each example; uint8 [N, labels], 1 where it has the label; or float32
[N, targets]."""
_FEWEST, _PARTS = 5, 5


def task_named(labels: Labels) -> TaskName:
    """The task that labels of this shape and type are for."""
    if labels.ndim == 1:
        return "classification"
    return "multilabel" if labels.dtype == np.uint8 else "regression"


def check_labels(labels: Labels, n: int, classes: Sequence[str], field: str) -> None:
    """Refuse labels that do not fit n inputs, or the classes.

    Raises:
        ValueError: if they do not.
    """
    task, width = task_named(labels), len(classes)
    dtype = {"classification": np.int64, "multilabel": np.uint8, "regression": np.float32}[task]
    shape = (n,) if task == "classification" else (n, width)
    if labels.dtype != dtype or labels.shape != shape:
        raise ValueError(
            f"labels must be {np.dtype(dtype)} {list(shape)} like the {field}, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    if not n:
        return
    if task == "classification" and not 0 <= labels.min() <= labels.max() < width:
        raise ValueError(
            f"labels must be 0 to {width - 1} ({width} classes), "
            f"got {labels.min()} to {labels.max()}"
        )
    if task == "multilabel" and labels.max() > 1:
        raise ValueError(f"labels must be 0 or 1, got {labels.max()}")
    if task == "regression" and not np.isfinite(labels).all():
        raise ValueError("labels must be finite numbers, got NaN or infinity")


def strata(labels: Labels) -> NDArray[np.int64]:
    """What splits and folds spread evenly, int64 [N].

    * The class of each example.
    * Of several labels the set that it has, where at least `_FEWEST` examples have the same set;
      otherwise the rarest of its labels, and together those of which there are fewer.
    * Of numbers the fifth, by rank, of the direction in which the standardised targets vary most.
    """
    task = task_named(labels)
    if task == "classification":
        return labels
    if task == "regression":
        return _fifths(labels)
    of_label = labels.sum(axis=0)
    sets = [tuple(np.flatnonzero(row)) for row in labels]
    often = Counter(sets)
    rarest = [
        each
        if often[each] >= _FEWEST or not each
        else (-1 - int(min(each, key=lambda i: (of_label[i], i))),)
        for each in sets
    ]
    again = Counter(rarest)
    kept = [each if again[each] >= _FEWEST else (-1 - labels.shape[1],) for each in rarest]
    numbers = {each: number for number, each in enumerate(sorted(set(kept)))}
    found = np.array([numbers[each] for each in kept], np.int64)
    return _without_few(found)


def _fifths(targets: Labels) -> NDArray[np.int64]:
    n = len(targets)
    n_parts = max(1, min(_PARTS, n // _FEWEST))
    spread = targets.std(axis=0)
    z = (targets - targets.mean(axis=0)) / np.where(spread > 0, spread, 1)
    direction = np.linalg.svd(z.astype(np.float64), full_matrices=False)[2][0] if n else [0.0]
    order = np.argsort(z @ direction, kind="stable")
    found = np.empty(n, np.int64)
    found[order] = np.arange(n) * n_parts // max(n, 1)
    return found


def _without_few(found: NDArray[np.int64]) -> NDArray[np.int64]:
    """With the smallest stratum joined to the largest, if it is too small to be spread."""
    counts = np.bincount(found) if len(found) else np.zeros(0, np.int64)
    for number in np.flatnonzero((counts > 0) & (counts < _FEWEST)):
        found[found == number] = counts.argmax()
    return found


def scale_of(labels: Labels, names: Sequence[str]) -> tuple[tuple[float, float], ...]:
    """Mean and standard deviation of each target of training examples; empty for other tasks.

    Raises:
        ValueError: if a target is the same number everywhere.
    """
    if task_named(labels) != "regression":
        return ()
    wide = labels.astype(np.float64)
    mean, std = wide.mean(axis=0), wide.std(axis=0)
    for name, centre, spread in zip(names, mean, std, strict=True):
        if not spread > 1e-6 * max(abs(centre), 1e-30):
            raise ValueError(
                f"the target {name!r} is {centre:g} for every training example, so there is "
                "nothing to learn; expected numbers that differ"
            )
    return tuple(zip(mean.tolist(), std.tolist(), strict=True))


def lacking(labels: Labels, classes: Sequence[str]) -> list[str]:
    """The classes, or labels, that no example has."""
    counts = counts_of(labels, len(classes))
    return [name for name, count in zip(classes, counts, strict=False) if not count]


def counts_of(labels: Labels, width: int) -> list[int]:
    """How many examples each class, or label, has; empty for targets."""
    task = task_named(labels)
    if task == "regression":
        return []
    if task == "multilabel":
        return [int(n) for n in labels.sum(axis=0)]
    return [int(n) for n in np.bincount(labels, minlength=width)]


def label_sets(cells: Sequence[str], where: Sequence[str]) -> tuple[tuple[str, ...], Labels]:
    """Names and uint8 [N, labels] of cells such as ``sky;road``; an empty cell has no label.

    Args:
        cells: The names in each are separated by ``;`` or ``|``.
        where: What each cell is called in messages.

    Raises:
        ValueError: if there is no label at all, or a name is empty.
    """
    sets = [cell.replace("|", ";").split(";") if cell.strip() else [] for cell in cells]
    for names, place in zip(sets, where, strict=True):
        if not all(name.strip() for name in names):
            raise ValueError(
                f"{place}: expected labels separated by ; or |, got an empty one in "
                f"{';'.join(names)!r}"
            )
    return names_as_labels([[name.strip() for name in names] for names in sets])


def names_as_labels(
    sets: Sequence[Sequence[str]], told: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Labels]:
    """Names and uint8 [N, labels] of sets of names."""
    known = tuple(told or sorted({name for names in sets for name in names}))
    if not known:
        raise ValueError("no example has a label; expected at least one that has")
    place = {name: index for index, name in enumerate(known)}
    labels = np.zeros((len(sets), len(known)), np.uint8)
    for row, names in zip(labels, sets, strict=True):
        for name in names:
            if name not in place:
                raise ValueError(f"expected labels among {[*known][:10]}, got {name!r}")
            row[place[name]] = 1
    return known, labels


def column_labels(
    task: str, columns: Mapping[str, Sequence[str]], where: Sequence[str]
) -> tuple[tuple[str, ...], Labels]:
    """Names and labels of columns of cells: 0 or 1 for several labels, or numbers.

    Args:
        task: ``multilabel`` or ``regression``.
        columns: Name to cells.
        where: What each row is called in messages.

    Raises:
        ValueError: if a cell is something else.
    """
    table = np.empty((len(where), len(columns)))
    for place, (name, cells) in enumerate(columns.items()):
        for row, cell in enumerate(cells):
            try:
                table[row, place] = float(cell)
            except ValueError:
                table[row, place] = np.nan
            bad = table[row, place] not in (0, 1) if task == "multilabel" else None
            if bad or not np.isfinite(table[row, place]):
                wanted = "0 or 1" if task == "multilabel" else "a number"
                raise ValueError(f"{where[row]}: expected {wanted} in {name!r}, got {cell!r}")
    return tuple(columns), table.astype(np.uint8 if task == "multilabel" else np.float32)
