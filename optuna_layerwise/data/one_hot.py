"""Labels in columns of their own, one a class, as the tables of the ISIC challenges have them."""

from __future__ import annotations

from collections.abc import Sequence

_VALUES = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


def one_hot_labels(
    header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]
) -> tuple[list[str], str]:
    """Each row's label if exactly one of the columns of zeros and ones is 1, or why not.

    Args:
        header: The column names.
        rows: Line and cells of each row.

    Returns:
        The labels, or an empty list and what is wrong, if there are such columns.
    """
    marks = {
        name: column
        for place, name in enumerate(header)
        if None not in (column := [_VALUES.get(cells[place].lower()) for _, cells in rows])
    }
    if len(marks) < 2:
        return [], ""
    labels = []
    for place, (line, _) in enumerate(rows):
        ones = [name for name, column in marks.items() if column[place] == 1]
        if len(ones) != 1:
            return [], (
                f". Its columns {', '.join(marks)} hold 0 and 1, but in line {line} {len(ones)} "
                "of them are 1; as labels, exactly one would be"
            )
        labels.append(ones[0])
    return labels, ""
