"""The rows of a comma-, semicolon- or tab-separated file, an item each, with their lines."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna_layerwise.data.labels import MISSING
from optuna_layerwise.data.notices import notice
from optuna_layerwise.data.one_hot import one_hot_labels

_NO_TEXT = (
    "cannot be read as UTF-8 text with commas, semicolons or tabs: {}. Save the table as CSV "
    "in UTF-8"
)


@dataclass(frozen=True)
class Row:
    """What one line of a table says."""

    line: int
    item: str  # an image's path or id, or a text
    label: str
    group: str | None
    split: str | None
    cells: Mapping[str, str]  # all of the line, by column


def read_rows(
    path: Path,
    columns: Mapping[str, str | None],
    *,
    optional: Collection[str] = (),
    item: str = "image",
    targets: Sequence[str] = (),
) -> list[Row]:
    """The rows of a table.

    Args:
        path: Of the table.
        columns: The fields ``item``, ``label``, ``group`` and ``split`` to their columns' names,
            or ``None`` for a field that is not wanted.
        optional: Fields whose column may be missing.
        item: What the field of the items is called, ``image`` or ``text``.
        targets: Columns that take the place of the label: a row's label is then their cells,
            one behind the other.

    Raises:
        ValueError: with the line, if the table is broken or a cell has no value.
    """
    lines = _lines(path)
    _, header = next(lines, (0, []))
    if not header:
        raise ValueError(f"{path} is empty; expected a line of column names and a row each {item}")
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        raise ValueError(f"{path}: each column name must occur once, got {header}")
    table = list(lines)
    for line, cells in table:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: expected {len(header)} cells as in the first line, got "
                f"{len(cells)}; correct the line"
            )
    if not table:
        raise ValueError(f"{path} has column names and no row; expected a row for each {item}")
    columns = {field: None if targets and field == "label" else n for field, n in columns.items()}
    if missing := [name for name in targets if name not in header]:
        raise ValueError(
            f"{path} has no column {missing[0]!r} for the label; it has {header}. Say which "
            "columns have the labels or targets, with commas between, with columns (--column "
            "label=FIRST,SECOND)"
        )
    places: dict[str, int] = {}
    labels: list[str] = []
    for field, name in columns.items():
        if name in header:
            places[field] = header.index(name)
        elif name is not None and field not in optional:
            why = ""
            if field == name == "label":
                labels, why = one_hot_labels(header, table)
            if labels:
                continue
            how = "group_by (--group-by)" if field == "group" else "columns (--column)"
            raise ValueError(
                f"{path} has no column {name!r} for the {field}; it has {header}. The {field}s of "
                f"a table of your own may have another name: say which with {how}{why}"
            )
    if labels:
        notice(f"{path} has no column 'label': the class is the column that is 1")
    rows, empty = [], []
    for place, (line, cells) in enumerate(table):
        values = {field: cells[column] for field, column in places.items()}
        if labels:
            values["label"] = labels[place]
        for field, value in values.items():
            if not value or (field in (item, "label") and value.lower() in MISSING):
                empty.append((line, columns[field], f"is {value!r}" if value else "is empty"))
        group, split = values.get("group"), values.get("split")
        every = dict(zip(header, cells, strict=True))
        label = " ".join(every[name] for name in targets) or values.get("label", "")
        rows.append(Row(line, values[item], label, group, split, every))
    if empty:
        line, column, found = empty[0]
        more = f", and so are {len(empty) - 1} others" if len(empty) > 1 else ""
        raise ValueError(
            f"{path}, line {line}: the cell of {column!r} {found}{more}; fill it in, or remove "
            "the row"
        )
    return rows


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank, split as the first line has it."""
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        line = content[: getattr(error, "start", 0)].count(b"\n") + 1
        raise ValueError(f"{path}, line {line} {_NO_TEXT.format(error)}") from error
    first = text.lstrip().splitlines()[:1]
    delimiter = max(",;\t", key="".join(first).count)  # a comma where none is there
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num} {_NO_TEXT.format(error)}") from error
