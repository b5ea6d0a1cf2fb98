"""The rows of a comma- or tab-separated file that describes an image each, with their lines."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """What one line of a table says."""

    line: int
    image: str
    label: str
    group: str | None
    split: str | None
    cells: Mapping[str, str]  # all of the line, by column


def read_rows(
    path: Path, columns: Mapping[str, str | None], *, optional: Collection[str] = ()
) -> list[Row]:
    """The rows of a table.

    Args:
        path: Of the table.
        columns: The fields ``image``, ``label``, ``group`` and ``split`` to their columns' names,
            or ``None`` for a field that is not wanted.
        optional: Fields whose column may be missing.

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
    places: dict[str, int] = {}
    for field, name in columns.items():
        if name in header:
            places[field] = header.index(name)
        elif name is not None and field not in optional:
            how = "group_by (--group-by)" if field == "group" else "columns (--column)"
            raise ValueError(
                f"{path} has no column {name!r} for the {field}; it has {header}. The {field}s of "
                f"a table of your own may have another name: say which with {how}"
            )
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: expected {len(header)} cells as in the first line, got "
                f"{len(cells)}; correct the line"
            )
        values = {field: cells[place].strip() for field, place in places.items()}
        if empty := [columns[field] for field, value in values.items() if not value]:
            raise ValueError(f"{path}, line {line}: the cell of {empty[0]!r} is empty; fill it in")
        group, split = values.get("group"), values.get("split")
        every = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        rows.append(Row(line, values["image"], values["label"], group, split, every))
    if not rows:
        raise ValueError(f"{path} has column names and no row; expected a row for each image")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank; comma or tab, as the first line has it."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r} (looked for {path.absolute()})")
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)  # a comma where none is there
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
