"""A table of images: a CSV (or tab-separated) file with a row per image.

Columns: the image's path relative to the table, its label, perhaps a group (images that belong
together, such as those of one patient) and perhaps the split it is in.
"""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optuna_layerwise.data.folder import SPLIT_FOLDERS
from optuna_layerwise.data.groups import refuse_leaks
from optuna_layerwise.data.raw import Part, RawData

COLUMNS = ("image", "label", "split")


@dataclass(frozen=True)
class Row:
    """What one line of a table says."""

    line: int
    image: str
    label: str
    group: str | None
    split: str | None


def read_table(
    path: Path, *, columns: Mapping[str, str] | None = None, group_by: str | None = "auto"
) -> RawData:
    """Read ``path``; the images of a table without splits are one pool.

    Args:
        path: Of the table.
        columns: Names of the columns that are not called ``image``, ``label`` and ``split``; only
            ``split`` may be missing in the table, unless it is named here.
        group_by: Column of the groups; ``auto`` takes ``group`` if there is one.

    Raises:
        FileNotFoundError: if there is no such table, or images of it are missing.
        ValueError: if a line or a column is not as expected.
    """
    columns = dict(columns or {})
    if unknown := sorted(columns.keys() - set(COLUMNS)):
        raise ValueError(f"columns can name {', '.join(COLUMNS)}, got {unknown}")
    rows = read_rows(
        path,
        image=columns.get("image", "image"),
        label=columns.get("label", "label"),
        split=columns.get("split", "split?"),
        group="group?" if group_by == "auto" else group_by,
    )
    column = "group" if group_by == "auto" else group_by
    return table_data(path, rows, lambda image: path.parent / image, column or "")


def read_rows(
    path: Path, *, image: str, label: str, group: str | None = None, split: str | None = None
) -> list[Row]:
    """The rows of a table, given its columns' names; one that ends in ``?`` may be missing.

    Raises:
        FileNotFoundError: if there is no such table.
        ValueError: with the line, if the table is broken or a cell is empty.
    """
    lines = _lines(path)
    _, header = next(lines, (0, []))
    if not header:
        raise ValueError(f"{path} is empty; expected a line of column names and a row each image")
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: each column name must occur once, got {header}")
    wanted = {"image": image, "label": label, "group": group, "split": split}
    places: dict[str, int | None] = {}
    for field, name in wanted.items():
        if name is None or (name.endswith("?") and name[:-1] not in header):
            places[field] = None
        elif (name := name.removesuffix("?")) in header:
            places[field] = header.index(name)
        else:
            how = "group_by" if field == "group" else f"columns={{{field!r}: ...}}"
            raise ValueError(
                f"{path} has no column {name!r} for the {field}; it has {header}. Say with {how} "
                "which it is"
            )
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: expected {len(header)} cells as in the first line, got "
                f"{len(cells)}; correct the line"
            )
        values = {f: None if p is None else cells[p].strip() for f, p in places.items()}
        if empty := [wanted[f] for f, value in values.items() if value == ""]:
            raise ValueError(f"{path}, line {line}: the cell of {empty[0]!r} is empty; fill it in")
        rows.append(
            Row(
                line,
                values["image"] or "",
                values["label"] or "",
                values["group"],
                values["split"],
            )
        )
    if not rows:
        raise ValueError(f"{path} has column names and no row; expected a row for each image")
    return rows


def table_data(
    path: Path, rows: list[Row], locate: Callable[[str], Path | None], group_column: str
) -> RawData:
    """The data of a table's rows, given where an image lies (or ``None`` if nowhere).

    An image that is listed twice alike counts once, with a warning.

    Raises:
        FileNotFoundError: if images are missing.
        ValueError: if rows contradict each other, or the splits do not fit together.
    """
    rows = _each_once(path, rows)
    files = {row.image: locate(row.image) for row in rows}
    missing = [row for row in rows if (file := files[row.image]) is None or not file.exists()]
    if missing:
        shown = ", ".join(f"{row.image} (line {row.line})" for row in missing[:3])
        raise FileNotFoundError(
            f"{len(missing)} of {len(rows)} images of {path} are not there: {shown}"
            f"{', ...' if len(missing) > 3 else ''}; expected them by their names below "
            f"{path.absolute().parent}. Put them there, or remove their rows"
        )
    classes = _classes(path, rows)
    splits = {
        name: [row for row in rows if _split(path, row) == name] for name in _names(path, rows)
    }
    parts = {}
    for name, members in splits.items():
        labels = np.asarray([classes.index(row.label) for row in members], dtype=np.int64)
        groups = tuple(row.group for row in members if row.group is not None)
        items = [file for row in members if (file := files[row.image]) is not None]
        names = tuple(Path(os.path.normpath(row.image)).as_posix() for row in members)
        parts[name] = Part(items, labels, names, groups or None)
    if len(parts) > 1:
        _refuse_lonely_classes(path, classes, parts)
        grouped = {name: part.groups for name, part in parts.items() if part.groups is not None}
        refuse_leaks(grouped, group_column, str(path))
    return RawData(classes, parts)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank; comma or tab, as the first line has it."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r} (looked for {path.absolute()})")
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            delimiter = "\t" if "\t" in file.readline() else ","
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except (csv.Error, UnicodeDecodeError) as error:
            line = f", line {reader.line_num}" if isinstance(error, csv.Error) else ""
            raise ValueError(
                f"{path}{line} cannot be read as UTF-8 comma- or tab-separated text: {error}"
            ) from error


def _each_once(path: Path, rows: list[Row]) -> list[Row]:
    first: dict[str, Row] = {}
    again: list[Row] = []
    for row in rows:
        key = os.path.normpath(row.image)
        known = first.setdefault(key, row)
        if known is row:
            continue
        for field in ("label", "group", "split"):
            one, other = getattr(known, field), getattr(row, field)
            if one != other:
                raise ValueError(
                    f"{path} lists {row.image} in line {known.line} with the {field} {one!r} and "
                    f"in line {row.line} with {other!r}; keep the right one"
                )
        again.append(row)
    if again:
        shown = ", ".join(f"{row.image} (line {row.line})" for row in again[:3])
        warnings.warn(
            f"{len(again)} rows of {path} repeat an image and count once: {shown}"
            f"{', ...' if len(again) > 3 else ''}",
            stacklevel=2,
        )
    return list(first.values())


def _classes(path: Path, rows: list[Row]) -> tuple[str, ...]:
    found = {row.label for row in rows}
    if len(found) < 2:
        raise ValueError(f"{path}: expected at least two labels, got only {found.pop()!r}")
    numbers = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=(lambda label: (int(label), label)) if numbers else None))


def _split(path: Path, row: Row) -> str:
    if row.split is None:
        return "pool"
    if (name := SPLIT_FOLDERS.get(row.split.lower())) is None:
        raise ValueError(
            f"{path}, line {row.line}: the split must be one of {', '.join(SPLIT_FOLDERS)}, "
            f"got {row.split!r}"
        )
    return name


def _names(path: Path, rows: list[Row]) -> list[str]:
    names = sorted({_split(path, row) for row in rows})
    if names != ["pool"] and not {"train", "test"} <= set(names):
        raise ValueError(f"{path}: the split column must have train and test, got only {names}")
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
