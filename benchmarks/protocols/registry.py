"""The tables that there are."""

from __future__ import annotations

import dataclasses

from benchmarks.protocols import biotune, methods, revo
from benchmarks.protocols.table import Table


def _with_digits(table: Table) -> Table:
    small = table.experiments["small"].on_digits()
    words = ("On the digits 5 to 9, with a small network pretrained on 0 to 4: a rehearsal.",)
    return dataclasses.replace(
        table,
        experiments={**table.experiments, "digits": small},
        differences={**table.differences, "digits": words + tuple(table.differences["small"])},
    )


TABLES: dict[str, Table] = {
    table.name: _with_digits(table)
    for table in (
        *(biotune.TABLE_1, biotune.TABLE_2, biotune.TABLE_3),
        *(revo.TABLE_1, revo.TABLE_2, revo.TABLE_3),
        methods.TABLE,
    )
}
"""Name to table."""
