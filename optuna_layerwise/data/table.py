"""A table of images: a CSV (or tab-separated) file with a row per image.

Columns: the image's path or id (see `locate`), its label, perhaps a group (images that belong
together, such as those of one patient) and perhaps the split it is in. Which column is the group
is found in `found_groups` if nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optuna_layerwise.data.folder import SPLIT_NAMES, split_named
from optuna_layerwise.data.found_groups import OWN, looks_like_groups, without_blanks
from optuna_layerwise.data.grouped_splits import refuse_leaks
from optuna_layerwise.data.labels import PERHAPS_MISSING
from optuna_layerwise.data.locate import Locate, locator, plain_path, why_missing
from optuna_layerwise.data.names import GROUP_RULE
from optuna_layerwise.data.notices import notice
from optuna_layerwise.data.raw import Part, RawData
from optuna_layerwise.data.rows import Row, read_rows
from optuna_layerwise.data.targets import Labels, column_labels, label_sets

COLUMNS = ("image", "label", "split")


def read_table(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    group_by: str | None = "auto",
    group_rule: int = GROUP_RULE,
    image_root: Sequence[Path] = (),
    task: str = "classification",
) -> RawData:
    """Read ``path``; the images of a table without splits are one pool.

    Args:
        path: Of the table.
        columns: Names of the columns that are not called ``image``, ``label`` and ``split``; only
            ``split`` may be missing in the table, unless it is named here.
        group_by: Column of the groups; with ``auto`` the parts have all that look like groups.
        group_rule: By rule 1, ``auto`` is ``group`` if there is such a column.
        image_root: Folders of the images that do not lie where the table does.
        task: See `load_data`.

    Raises:
        FileNotFoundError: if there is no such table, or images of it are missing.
        ValueError: if a line or a column is not as expected.
    """
    columns = dict(columns or {})
    if unknown := sorted(columns.keys() - set(COLUMNS)):
        raise ValueError(f"columns can name {', '.join(COLUMNS)}, got {unknown}")
    auto = group_by == "auto"
    group = (OWN if group_rule == 1 else None) if auto else group_by
    optional = {"group"} if auto else set()
    named = {field: columns.get(field, field) for field in COLUMNS}
    targets = target_columns(task, named)
    rows = read_rows(
        path,
        {**named, "group": group},
        optional=optional if "split" in columns else optional | {"split"},
        targets=targets,
    )
    taken = {group, *named.values(), *targets}
    perhaps = [name for name in rows[0].cells if name not in taken and looks_like_groups(name)]
    locate = locator(path.parent, image_root)
    return table_data(
        path, rows, locate, group or "", perhaps if auto else (), task=task, targets=targets
    )


def table_data(
    path: Path,
    rows: list[Row],
    locate: Locate,
    group_column: str,
    perhaps_groups: Sequence[str] = (),
    *,
    task: str = "classification",
    targets: Sequence[str] = (),
) -> RawData:
    """The data of a table's rows, given where an image lies.

    An image that is listed twice alike counts once, with a warning.

    Raises:
        FileNotFoundError: if images are missing.
        ValueError: if rows contradict each other, or the splits do not fit together.
    """
    rows, clashing = _each_once(path, rows)
    files = {row.item: locate(row.item) for row in rows}
    for row in rows:
        if len(found := files[row.item]) > 1:
            raise ValueError(
                f"{path}, line {row.line}: {row.item} may be {found[0]} or {found[1]}; write the "
                "path in full, or remove the image that is not meant"
            )
    if missing := [row for row in rows if not files[row.item]]:
        shown = ", ".join(f"{row.item} (line {row.line})" for row in missing[:3])
        raise FileNotFoundError(
            f"{len(missing)} of {len(rows)} images of {path} are not there: {shown}"
            f"{', ...' if len(missing) > 3 else ''}; expected them by their names below "
            f"{path.absolute().parent}. {why_missing(missing[0].item)}"
        )
    return rows_as_data(
        path,
        rows,
        [files[row.item][0] for row in rows],
        [plain_path(row.item) for row in rows],
        group_column,
        [column for column in perhaps_groups if column not in clashing],
        task=task,
        targets=targets,
    )


def rows_as_data(
    path: Path,
    rows: Sequence[Row],
    items: Sequence[Any],
    names: Sequence[str],
    group_column: str,
    perhaps_groups: Sequence[str] = (),
    *,
    task: str = "classification",
    targets: Sequence[str] = (),
) -> RawData:
    """The data of a table, given what each row's item is and is called in messages.

    Args:
        path: Of the table.
        rows: Its rows.
        items: One per row.
        names: One per row.
        group_column: The column of the groups, for messages.
        perhaps_groups: Columns that look like groups.
        task: See `load_data`.
        targets: The columns of its labels or targets; see `target_columns`.

    Raises:
        ValueError: if the splits do not fit together.
    """
    perhaps = {
        column: without_blanks([row.cells[column] for row in rows]) for column in perhaps_groups
    }
    classes, of_rows = _labels(path, rows, task, targets)
    parts = {}
    for name in _names(path, rows):
        members = [place for place, row in enumerate(rows) if _split(path, row) == name]
        labels = of_rows[members]
        groups = tuple(group for i in members if (group := rows[i].group) is not None)
        looks = {column: tuple(cells[i] for i in members) for column, cells in perhaps.items()}
        parts[name] = Part(
            [items[i] for i in members],
            labels,
            tuple(names[i] for i in members),
            groups or None,
            looks,
        )
    if len(parts) > 1:
        if task == "classification":
            _refuse_lonely_classes(path, classes, parts)
        grouped = {name: part.groups for name, part in parts.items() if part.groups is not None}
        refuse_leaks(grouped, group_column, str(path))
        if len(set(perhaps.get(OWN, ()))) > 1:
            own = {name: part.perhaps_groups[OWN] for name, part in parts.items()}
            refuse_leaks(own, OWN, str(path))
    return RawData(classes, parts)


def _each_once(path: Path, rows: list[Row]) -> tuple[list[Row], set[str]]:
    """Each image's first row, and the columns that differ in another row of it."""
    clashing: set[str] = set()
    first: dict[str, Row] = {}
    again: list[Row] = []
    for row in rows:
        key = plain_path(row.item)
        known = first.setdefault(key, row)
        if known is row:
            continue
        clashing |= {name for name, cell in row.cells.items() if cell != known.cells[name]}
        for field in ("label", "group", "split"):
            one, other = (getattr(some, field) or some.cells.get(field) for some in (known, row))
            if one != other:
                raise ValueError(
                    f"{path} lists {row.item} in line {known.line} with the {field} {one!r} and "
                    f"in line {row.line} with {other!r}; keep the right one"
                )
        again.append(row)
    if again:
        shown = ", ".join(f"{row.item} (line {row.line})" for row in again[:3])
        notice(
            f"{len(again)} rows of {path} repeat an image and count once: {shown}"
            f"{', ...' if len(again) > 3 else ''}",
        )
    return list(first.values()), clashing


def target_columns(task: str, columns: Mapping[str, str]) -> list[str]:
    """The columns of several labels or of targets: names with commas between; else none."""
    if task == "classification":
        return []
    return [name.strip() for name in columns["label"].split(",")]


def _labels(
    path: Path, rows: Sequence[Row], task: str, targets: Sequence[str]
) -> tuple[tuple[str, ...], Labels]:
    """The names of classes, labels or targets, and the labels of all rows."""
    if not targets:
        classes = _classes(path, rows)
        return classes, np.array([classes.index(row.label) for row in rows], np.int64)
    where = [f"{path}, line {row.line}" for row in rows]
    if task == "multilabel" and len(targets) == 1:
        return label_sets([row.cells[targets[0]] for row in rows], where)
    cells = {name: [row.cells[name] for row in rows] for name in targets}
    return column_labels(task, cells, where)


def _classes(path: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    found = {row.label for row in rows}
    if len(found) < 2:
        raise ValueError(f"{path}: expected at least two labels, got only {found.pop()!r}")
    if doubtful := sorted(label for label in found if label.lower() in PERHAPS_MISSING):
        notice(
            f"the label {doubtful[0]!r} of {path} is taken as a class like any other; if it says "
            "that there is no label, remove those rows"
        )
    numbers = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=(lambda label: (int(label), label)) if numbers else None))


def _split(path: Path, row: Row) -> str:
    if row.split is None:
        return "pool"
    if (name := split_named(row.split)) is None:
        names = ", ".join(name for names in SPLIT_NAMES.values() for name in names)
        raise ValueError(
            f"{path}, line {row.line}: the split must be one of {names}, got {row.split!r}"
        )
    return name


def _names(path: Path, rows: Sequence[Row]) -> list[str]:
    names = sorted({_split(path, row) for row in rows})
    if names != ["pool"] and "train" not in names:
        raise ValueError(f"{path}: the split column must have train, got only {names}")
    return names


def _refuse_lonely_classes(
    path: Path, classes: tuple[str, ...], parts: Mapping[str, Part]
) -> None:
    for label, name in enumerate(classes):
        if len(ins := [split for split, part in parts.items() if label in part.labels]) == 1:
            raise ValueError(
                f"{path}: the class {name!r} is in the split {ins[0]} only; put images of it in "
                "the others, or leave its rows out"
            )
